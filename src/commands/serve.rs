//! Models over HTTP, until the process is told to end.

use super::held::{self, Purpose};
use crate::cli::Serve as Flags;
use crate::usage::usage;
use anyhow::{Context, Result, bail};
use kollama_engine::Engine;
use kollama_kernels::Device;
use kollama_llama::LlamaConfig;
use kollama_server::{ServedModel, Settings, serve as serve_models};
use kollama_tokenizer::Tokenizer;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable that may hold the key.
const KEY_VARIABLE: &str = "KOLLAMA_API_KEY";

/// Serves what the flags name.
pub fn serve(flags: Flags, device: &Device) -> Result<()> {
    let address = address(&flags)?;
    let named = named_folders(&flags.model)?;
    let api_key = api_key(flags.api_key_file.as_deref())?;
    if !address.ip().is_loopback() && api_key.is_none() {
        eprintln!(
            "kollama: whoever reaches {address} may use this server; --api-key-file asks for a key"
        );
    }
    let compare: Vec<_> =
        flags.compare_tokenizer.iter().map(|path| other(path)).collect::<Result<_>>()?;
    let settings = Settings {
        address,
        api_key,
        allowed_origin: flags.allow_origin.clone(),
        queue: flags.queue as usize,
        request_timeout: Duration::from_secs(flags.request_timeout),
        read_timeout: Duration::from_secs(flags.idle_timeout),
        write_timeout: Duration::from_secs(flags.idle_timeout),
        shutdown_timeout: Duration::from_secs(flags.shutdown_timeout),
    };
    let models = named.into_iter().map(|(name, folder)| model(name, folder, &flags, device));
    let models = models.collect::<Result<Vec<_>>>()?;
    serve_models(models, compare, settings, |address| {
        eprintln!("kollama: listening on http://{address}");
    })?;
    Ok(())
}

fn address(flags: &Flags) -> Result<SocketAddr> {
    let host = flags.host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, flags.port).to_socket_addrs().ok().and_then(|mut all| all.next());
    match found {
        Some(address) => Ok(address),
        None => usage(format!("--host {}: no address of this machine", flags.host)),
    }
}

/// `NAME=DIR`, or a folder whose last part is its name.
fn named_folders(models: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let mut named: Vec<(String, PathBuf)> = Vec::new();
    for model in models {
        let (name, folder) = match model.split_once('=') {
            Some((name, folder)) if !name.contains('/') => (name.to_owned(), PathBuf::from(folder)),
            _ => (name_of(Path::new(model)), PathBuf::from(model)),
        };
        if name.is_empty() || named.iter().any(|(other, _)| *other == name) {
            return usage(format!(
                "--model {model}: every model needs a name of its own, as NAME=DIR"
            ));
        }
        named.push((name, folder));
    }
    Ok(named)
}

fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    whole.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn other(path: &Path) -> Result<(String, Tokenizer)> {
    Ok((name_of(path), Tokenizer::open(path)?))
}

fn api_key(file: Option<&Path>) -> Result<Option<String>> {
    let key = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("--api-key-file {}", file.display()))?;
            Some(text.lines().next().unwrap_or_default().trim().to_owned())
        }
        None => std::env::var(KEY_VARIABLE).ok(),
    };
    match key {
        Some(key) if key.is_empty() => bail!("the API key is empty; give one, or none at all"),
        key => Ok(key),
    }
}

/// What is quickly read is read now; the weights are read by the thread that serves them.
fn model(name: String, folder: PathBuf, flags: &Flags, device: &Device) -> Result<ServedModel> {
    let tokenizer = Tokenizer::open(&folder)?;
    let config = LlamaConfig::read(&folder)?;
    let (held, memory, device) = (flags.held.clone(), flags.kv_memory, device.clone());
    Ok(ServedModel {
        name,
        tokenizer,
        parameters: config.parameter_count(),
        config: config.to_json(),
        opening: Box::new(move |tokenizer| {
            let open = || -> Result<Engine<'_>> {
                let (llama, kept) = held::open(&folder, &held, Purpose::Write, &device)?;
                Ok(Engine::within(llama, tokenizer, memory, kept)?)
            };
            open().map_err(|error| format!("{error:#}"))
        }),
    })
}
