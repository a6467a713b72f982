//! Make, extend and inspect model folders.

use super::{not_supported, tokenizer_if_there};
use crate::choices::{Quantized, RowInit, StoredType};
use crate::cli::Model as Verb;
use crate::progress::{Progress, Unit};
use crate::staging::staged;
use anyhow::{Context, Result, ensure};
use kollama_kernels::{DType, Device};
use kollama_llama::{LlamaConfig, copy_companions};
use kollama_tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::path::Path;

/// Does one of the verbs.
pub fn model(verb: Verb, threads: usize) -> Result<()> {
    match verb {
        Verb::Init { config, tokenizer, seed, out, dtype } => {
            init(&config, &tokenizer, seed, dtype, &out)
        }
        Verb::Extend { base, tokenizer, init, seed, out } => {
            extend(&base, &tokenizer, init, seed, &out)
        }
        Verb::Info { dir, json } => info(&dir, json),
        Verb::Verify { dir } => verify(&dir),
        Verb::Quantize { dir, to, out } => quantize(&dir, to, threads, &out),
        Verb::ExportGguf { .. } => not_supported("model export-gguf"),
    }
}

/// A config by name, or from a file.
pub fn config_named(name: &str) -> Result<LlamaConfig> {
    match LlamaConfig::preset(name) {
        Some(config) => Ok(config),
        None => LlamaConfig::from_file(Path::new(name))
            .with_context(|| format!("{name:?} is none of tiny, small, 7b, 13b, 70b")),
    }
}

/// A model folder with random weights and the given tokenizer.
pub fn init(name: &str, tokenizer: &Path, seed: u64, dtype: StoredType, out: &Path) -> Result<()> {
    let words = Tokenizer::open(tokenizer)?;
    let mut config = config_named(name)?;
    config.vocab_size = words.vocab_size();
    config.bos_token_id = words.bos_id();
    config.eos_token_id = words.eos_id();
    staged(out, |folder| {
        let mut progress = Progress::new("writing weights", 0, Unit::Bytes);
        let mut tell = |done, total| progress.at_of(done, total);
        kollama_llama::init_checkpoint(&config, seed, stored(dtype), folder, &mut tell)?;
        progress.finish("");
        words.save(folder)?;
        Ok(())
    })?;
    eprintln!("{}: {} parameters", out.display(), config.parameter_count());
    Ok(())
}

/// A model folder whose embeddings have a row for every piece of the extended tokenizer.
pub fn extend(base: &Path, tokenizer: &Path, init: RowInit, seed: u64, out: &Path) -> Result<()> {
    let (old, new) = (Tokenizer::open(base)?, Tokenizer::open(tokenizer)?);
    let rows = LlamaConfig::read(base)?.vocab_size;
    ensure!(
        rows == old.vocab_size(),
        "{}: config.json says vocab_size {rows}, but its tokenizer has {} ids; \
         extend the embeddings of a model and a tokenizer that agree",
        base.display(),
        old.vocab_size()
    );
    let made_of = kollama_tokenizer::made_of(&old, &new)?;
    let report = staged(out, |folder| {
        let mut progress = Progress::new("extending", 0, Unit::Bytes);
        let mut tell = |done, total| progress.at_of(done, total);
        let report = kollama_llama::extend_checkpoint(
            base,
            &made_of,
            row_init(init),
            seed,
            folder,
            &mut tell,
        )?;
        progress.finish("");
        copy_companions(base, folder)?;
        new.save(folder)?;
        Ok(report)
    })?;
    let rows = report.base_rows + report.new_rows;
    eprintln!("{}: {rows} rows, {} of them new", out.display(), report.new_rows);
    Ok(())
}

/// A model folder of quantised weights, with the tokenizer and the settings of the other.
fn quantize(dir: &Path, to: Quantized, threads: usize, out: &Path) -> Result<()> {
    let weights = match to {
        Quantized::Q8 => DType::Q8,
        Quantized::Q4 => DType::Q4,
    };
    let device = Device::cpu(threads)?;
    let bytes = staged(out, |folder| {
        let mut progress = Progress::new("quantizing", 0, Unit::Bytes);
        let mut tell = |done, total| progress.at_of(done, total);
        let bytes = kollama_llama::quantize_checkpoint(dir, weights, &device, folder, &mut tell)?;
        progress.finish("");
        copy_companions(dir, folder)?;
        Ok(bytes)
    })?;
    eprintln!("{}: {:.1} MB of weights", out.display(), bytes as f64 * 1e-6);
    Ok(())
}

fn stored(dtype: StoredType) -> kollama_llama::StoredType {
    match dtype {
        StoredType::F32 => kollama_llama::StoredType::F32,
        StoredType::Bf16 => kollama_llama::StoredType::Bf16,
    }
}

fn row_init(init: RowInit) -> kollama_llama::RowInit {
    match init {
        RowInit::MeanOfPieces => kollama_llama::RowInit::MeanOfPieces,
        RowInit::Mean => kollama_llama::RowInit::Mean,
        RowInit::Random => kollama_llama::RowInit::Random,
    }
}

fn info(dir: &Path, as_json: bool) -> Result<()> {
    let info = kollama_llama::info(dir)?;
    let tokenizer = tokenizer_if_there(dir)?;
    let config = &info.config;
    let facts = [
        ("parameters", json!(info.parameters)),
        ("bytes", json!(info.bytes)),
        ("files", json!(info.files.len())),
        ("tensors", json!(info.tensors.len())),
        ("dtype", json!(info.dtype)),
        ("hidden_size", json!(config.hidden_size)),
        ("intermediate_size", json!(config.intermediate_size)),
        ("num_hidden_layers", json!(config.num_hidden_layers)),
        ("num_attention_heads", json!(config.num_attention_heads)),
        ("num_key_value_heads", json!(config.num_key_value_heads)),
        ("vocab_size", json!(config.vocab_size)),
        ("max_position_embeddings", json!(config.max_position_embeddings)),
        ("rope_theta", json!(config.rope_theta)),
        ("tie_word_embeddings", json!(config.tie_word_embeddings)),
        ("tokenizer_ids", json!(tokenizer.as_ref().map(Tokenizer::vocab_size))),
        ("tokenizer_fingerprint", json!(tokenizer.as_ref().map(Tokenizer::fingerprint))),
    ];
    let mut out = stdout().lock();
    if as_json {
        let object: serde_json::Map<String, Value> =
            facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        writeln!(out, "{}", Value::Object(object))?;
        return Ok(());
    }
    for (name, value) in facts {
        writeln!(out, "{name:24} {value}")?;
    }
    Ok(())
}

fn verify(dir: &Path) -> Result<()> {
    let report = kollama_llama::verify(dir)?;
    let (ids, rows) = (Tokenizer::open(dir)?.vocab_size(), LlamaConfig::read(dir)?.vocab_size);
    ensure!(
        ids <= rows,
        "{}: the tokenizer has {ids} ids, but the embeddings only {rows} rows; \
         extend the model with `kollama model extend`",
        dir.display()
    );
    let (tensors, values) = (report.tensors, report.values);
    let dir = dir.display();
    writeln!(
        stdout(),
        "{dir}: {tensors} tensors, {values} values, all finite; {ids} tokenizer ids for {rows} rows"
    )?;
    Ok(())
}
