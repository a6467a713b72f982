//! Apply tokenizers; `learning.rs` makes and extends them, `compare.rs` compares them.

use super::compare::compare;
use super::{learning, lines_of, place};
use crate::cli::Tokenizer as Verb;
use anyhow::{Context, Result};
use kollama_tokenizer::Tokenizer;
use serde_json::json;
use std::io::{BufRead, BufWriter, Write, stdout};
use std::path::Path;

/// Does one of the verbs.
pub fn tokenizer(verb: Verb, threads: usize) -> Result<()> {
    match verb {
        Verb::Train { corpus, vocab_size, rules, out } => {
            learning::train(&corpus, vocab_size, &learning::rules(&rules, threads), &out)
        }
        Verb::Extend { base, corpus, vocab_size, script, rules, out } => {
            let rules = learning::rules(&rules, threads);
            learning::extend(&base, &corpus, vocab_size, &script, &rules, &out)
        }
        Verb::Encode { tokenizer, text, input, add_bos, json } => {
            encode(&Tokenizer::open(&tokenizer)?, text, input.as_deref(), add_bos, json)
        }
        Verb::Decode { tokenizer, input, json } => {
            decode(&Tokenizer::open(&tokenizer)?, &input, json)
        }
        Verb::Compare { a, b, text, corpus, html } => {
            compare([&a, &b], &text, &corpus, html.as_deref())
        }
    }
}

fn encode(
    tokenizer: &Tokenizer,
    texts: Vec<String>,
    input: Option<&Path>,
    add_bos: bool,
    json: bool,
) -> Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    let mut print = |text: &str| -> Result<()> {
        let mut ids: Vec<u32> = tokenizer.bos_id().filter(|_| add_bos).into_iter().collect();
        tokenizer.encode(text, &mut ids);
        let tokens: Vec<&str> = ids.iter().filter_map(|&id| tokenizer.piece(id)).collect();
        match json {
            true => writeln!(out, "{}", json!({ "ids": ids, "tokens": tokens }))?,
            false => writeln!(out, "{}", tokens.join(" "))?,
        }
        Ok(())
    };
    for text in &texts {
        print(text)?;
    }
    let standard_input = texts.is_empty().then_some(Path::new("-"));
    if let Some(input) = input.or(standard_input) {
        for_each_line(input, |_, line| print(line))?;
    }
    out.flush()?;
    Ok(())
}

fn decode(tokenizer: &Tokenizer, input: &Path, json: bool) -> Result<()> {
    let mut out = stdout().lock();
    for_each_line(input, |number, line| {
        let ids: Vec<u32> = serde_json::from_str(line)
            .with_context(|| format!("{}: expected a JSON array of ids", place(input, number)))?;
        let unknown = ids.iter().find(|&&id| tokenizer.piece(id).is_none());
        if let Some(id) = unknown {
            anyhow::bail!(
                "{}: id {id} is not below the vocabulary size {}",
                place(input, number),
                tokenizer.vocab_size()
            );
        }
        let text = tokenizer.decode(&ids);
        match json {
            true => writeln!(out, "{}", json!({ "text": text }))?,
            false => writeln!(out, "{text}")?,
        }
        Ok(())
    })
}

/// Calls `each` with number (from 1) and text of every line; `\n` ends a line and is not part of it.
fn for_each_line(input: &Path, mut each: impl FnMut(usize, &str) -> Result<()>) -> Result<()> {
    let mut reader = lines_of(input)?;
    let mut bytes = Vec::new();
    let mut number = 0;
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        number += 1;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = std::str::from_utf8(line)
            .with_context(|| format!("{}: not UTF-8", place(input, number)))?;
        each(number, line)?;
        bytes.clear();
    }
    Ok(())
}
