//! Look at texts and pack them into rows of token ids.

use super::not_supported;
use crate::choices::Documents;
use crate::cli::Corpus as Verb;
use crate::progress::{Progress, Unit};
use anyhow::{Context, Result};
use kollama_corpus::{DocumentMode, PackReport, documents, pack_ids, pack_texts, statistics};
use kollama_tokenizer::Tokenizer;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

/// Does one of the verbs.
pub fn corpus(verb: Verb, threads: usize) -> Result<()> {
    match verb {
        Verb::Stats { sources, tokenizer, json } => stats(&sources, tokenizer.as_deref(), json),
        Verb::Pack { ids: Some(file), vocab_size, out, .. } => {
            let vocab_size = vocab_size.context("--ids needs --vocab-size")?;
            say(&pack_ids(&file, vocab_size, &out)?, &out);
            Ok(())
        }
        Verb::Pack { sources, tokenizer, sequence_length, documents, out, .. } => {
            let tokenizer = Tokenizer::open(&tokenizer.context("--tokenizer is needed")?)?;
            let length = sequence_length.context("--sequence-length is needed")?;
            pack(&sources, &tokenizer, length, documents.unwrap_or_default(), &out, threads)
        }
        Verb::Clean { .. } => not_supported("corpus clean"),
        Verb::Dedup { .. } => not_supported("corpus dedup"),
    }
}

/// Packs texts with progress.
pub fn pack(
    sources: &[PathBuf],
    tokenizer: &Tokenizer,
    sequence_length: usize,
    mode: Documents,
    out: &Path,
    threads: usize,
) -> Result<()> {
    let mode = match mode {
        Documents::Join => DocumentMode::Join,
        Documents::Confine => DocumentMode::Confine,
    };
    let mut progress = Progress::new("packing", documents(sources)?.bytes_total(), Unit::Bytes);
    let mut tell = |done| progress.at(done, "");
    let report = pack_texts(sources, tokenizer, sequence_length, mode, out, threads, &mut tell)?;
    progress.finish("");
    say(&report, out);
    Ok(())
}

fn say(report: &PackReport, out: &Path) {
    eprintln!(
        "{}: {} rows of {} ids in {} shard(s); {} tokens at the end fill no row",
        out.display(),
        report.rows,
        report.sequence_length,
        report.shards,
        report.dropped_tokens
    );
    if report.empty_documents > 0 {
        eprintln!("{} documents hold no token", report.empty_documents);
    }
    for file in &report.skipped {
        eprintln!("not read: {}", file.display());
    }
}

fn stats(sources: &[PathBuf], tokenizer: Option<&Path>, json: bool) -> Result<()> {
    let tokenizer = tokenizer.map(Tokenizer::open).transpose()?;
    let mut progress = Progress::new("reading", documents(sources)?.bytes_total(), Unit::Bytes);
    let rows = statistics(sources, tokenizer.as_ref(), &mut |done| progress.at(done, ""))?;
    progress.finish("");
    let mut out = stdout().lock();
    if json {
        for row in &rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        return Ok(());
    }
    writeln!(out, "| source | documents | bytes | characters | tokens | tokens per character |")?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|")?;
    for row in &rows {
        let tokens = row.tokens.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let share = row.tokens.map_or_else(
            || "-".to_owned(),
            |count| format!("{:.3}", count as f64 / row.characters.max(1) as f64),
        );
        let (file, documents, bytes) = (&row.file, row.documents, row.bytes);
        let characters = row.characters;
        writeln!(out, "| {file} | {documents} | {bytes} | {characters} | {tokens} | {share} |")?;
    }
    Ok(())
}
