//! What an evaluation leaves: files in a folder, tables or JSON on stdout.

use crate::cli::Evaluated as Flags;
use crate::stages::{content_hash, write_beside};
use anyhow::{Context, Result};
use kollama_harness::table::limit_warning;
use kollama_harness::{ModelRecord, Perplexity, Run, Summary, polyglot_results, results};
use kollama_kernels::Device;
use kollama_llama::Llama;
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

/// What results say of the model.
pub fn model_record(folder: &Path, llama: &Llama, device: &Device) -> Result<ModelRecord> {
    Ok(ModelRecord {
        name: shown_name(folder),
        folder: folder.display().to_string(),
        sha256: content_hash(&weight_files(folder)?)?,
        parameters: llama.config.parameter_count() as usize,
        weights: format!("{:?}", llama.parameters.head().dtype()).to_lowercase(),
        device: device.name(),
    })
}

/// The last part of the path that says something: a recipe leaves its model in `RUN/train`.
fn shown_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let names = whole.iter().rev().map(|part| part.to_string_lossy().into_owned());
    let says_something = |name: &String| name != "train" && name != "model";
    names.into_iter().find(says_something).unwrap_or_else(|| "model".to_owned())
}

/// What decides how a model scores.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .with_context(|| format!("cannot read {}", folder.display()))?;
    let counts = |path: &PathBuf| {
        path.ends_with("config.json") || path.extension().is_some_and(|it| it == "safetensors")
    };
    let mut files: Vec<PathBuf> = entries.into_iter().filter(counts).collect();
    files.sort();
    Ok(files)
}

/// Writes and prints everything.
pub fn report(
    flags: &Flags,
    model: &ModelRecord,
    summaries: &[Summary],
    read: Option<&Perplexity>,
) -> Result<()> {
    let run = Run { model, summaries };
    if let Some(folder) = &flags.out {
        for path in results::write(folder, &run)? {
            eprintln!("wrote {}", path.display());
        }
        if let Some(read) = read {
            let text = serde_json::to_vec_pretty(&perplexity_json(read))?;
            write_beside(&folder.join("perplexity.json"), &text)?;
        }
    }
    if let Some(warning) = limit_warning(flags.limit) {
        eprintln!("{warning}");
    }
    let mut out = stdout().lock();
    if flags.json {
        writeln!(out, "{}", all_json(&run, read))?;
        return Ok(());
    }
    if !summaries.is_empty() {
        write!(out, "{}", results::page(&run))?;
    }
    if let Some(read) = read {
        write!(out, "{}", perplexity_table(flags, read))?;
    }
    Ok(())
}

/// One object: `shots` has one results file for each number of shots.
fn all_json(run: &Run<'_>, read: Option<&Perplexity>) -> Value {
    let shots = results::shot_counts(run).into_iter();
    let shots = shots.map(|count| (count.to_string(), polyglot_results::results(run, count)));
    let shots: serde_json::Map<String, Value> = shots.collect();
    json!({ "shots": shots, "perplexity": read.map(perplexity_json) })
}

fn perplexity_table(flags: &Flags, read: &Perplexity) -> String {
    let data = flags.data.as_deref().unwrap_or(Path::new("-")).display();
    let (bytes, tokens, bits) = (read.bytes, read.tokens, read.bits_per_byte());
    let (byte, word) = (read.byte_perplexity(), read.word_perplexity());
    format!(
        "| text | bytes | tokens | bits per byte | byte perplexity | word perplexity |\n\
         |---|---:|---:|---:|---:|---:|\n\
         | {data} | {bytes} | {tokens} | {bits:.4} | {byte:.4} | {word:.2} |\n"
    )
}

fn perplexity_json(read: &Perplexity) -> Value {
    json!({
        "logprob": read.logprob,
        "tokens": read.tokens,
        "words": read.words,
        "bytes": read.bytes,
        "bits_per_byte": read.bits_per_byte(),
        "byte_perplexity": read.byte_perplexity(),
        "word_perplexity": read.word_perplexity(),
    })
}
