//! Tasks to results: a table on stdout, results.json and samples in a folder.

use super::held::{self, Purpose};
use crate::cli::Eval as Flags;
use crate::comparison::read_texts;
use crate::progress::{Progress, Unit};
use crate::usage::usage;
use anyhow::Result;
use kollama_engine::Scorer;
use kollama_harness::{
    Asking, DataSource, Mode, Model, Perplexity, Results, TaskResult, evaluate, perplexity,
    results, tasks,
};
use kollama_kernels::Device;
use kollama_tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::path::Path;

/// The task that is running text instead of questions.
const PERPLEXITY: &str = "perplexity";

/// Evaluates every task at every number of shots.
pub fn eval(flags: &Flags, device: &Device) -> Result<()> {
    let data = flags.data.as_path();
    let known = |name: &&String| *name != PERPLEXITY && !tasks::names().contains(&name.as_str());
    if let Some(unknown) = flags.tasks.iter().find(known) {
        let known = tasks::names().join(", ");
        return usage(format!("no task {unknown:?}; there are {known}, {PERPLEXITY}"));
    }
    if let Some(folder) = &flags.out {
        results::prepare(folder)?;
    }
    let words = Tokenizer::open(&flags.model)?;
    let (llama, cache) = held::open(&flags.model, &flags.held, Purpose::Measure, device)?;
    let mut scorer = Scorer::with_cache(llama, words.eos_id(), cache)?;
    let mut evaluated = Vec::new();
    let mut read = None;
    for name in &flags.tasks {
        if name == PERPLEXITY {
            let texts = read_texts(&[data.to_owned()], usize::MAX, flags.limit)?;
            read = Some(measure(&texts, &words, &mut scorer)?);
        } else {
            evaluated.extend(run_task(name, data, flags, &words, &mut scorer)?);
        }
    }
    report(flags, device, &evaluated, read.as_ref())
}

/// One task at each number of shots.
fn run_task(
    name: &str,
    data: &Path,
    flags: &Flags,
    words: &Tokenizer,
    scorer: &mut Scorer,
) -> Result<Vec<TaskResult>> {
    let mut results = Vec::new();
    for task in tasks::load(name, Mode::Polyglot, &DataSource::folder(data))? {
        for shots in shots_of(flags) {
            let mut progress =
                Progress::new(&format!("{} {shots}-shot", task.name), 0, Unit::Items);
            let mut tell = |done, total| progress.at_of(done as u64, total as u64);
            let asking = Asking { shots, limit: flags.limit, ..Asking::default() };
            let mut model = Model { tokenizer: words, scorer };
            let result = evaluate(&task, &asking, &mut model, &mut tell)?;
            progress.finish(&format!("{} documents cut", result.cut_documents()));
            results.push(result);
        }
    }
    Ok(results)
}

/// Each number of shots once, in the order given.
fn shots_of(flags: &Flags) -> Vec<usize> {
    let mut shots: Vec<usize> = Vec::new();
    for &count in &flags.shots {
        if !shots.contains(&count) {
            shots.push(count);
        }
    }
    shots
}

fn measure(texts: &[String], words: &Tokenizer, scorer: &mut Scorer) -> Result<Perplexity> {
    let mut progress = Progress::new(PERPLEXITY, 0, Unit::Items);
    let mut tell = |done, total| progress.at_of(done as u64, total as u64);
    let measured = perplexity(texts, words, scorer, &mut tell)?;
    progress.finish("");
    Ok(measured)
}

fn report(
    flags: &Flags,
    device: &Device,
    evaluated: &[TaskResult],
    read: Option<&Perplexity>,
) -> Result<()> {
    let model = flags.model.display().to_string();
    if let Some(folder) = &flags.out {
        for path in results::write(folder, evaluated, &model, &device.name())? {
            eprintln!("wrote {}", path.display());
        }
        if let Some(read) = read {
            let text = serde_json::to_vec_pretty(&perplexity_json(read))?;
            crate::stages::write_beside(&folder.join("perplexity.json"), &text)?;
        }
    }
    if let Some(limit) = flags.limit {
        eprintln!("ONLY THE FIRST {limit} DOCUMENTS: not a figure for a table");
    }
    let mut out = stdout().lock();
    if flags.json {
        writeln!(out, "{}", all_json(flags, device, evaluated, read)?)?;
        return Ok(());
    }
    if !evaluated.is_empty() {
        write!(out, "{}", results::markdown(evaluated))?;
    }
    if let Some(read) = read {
        writeln!(
            out,
            "| text | bytes | tokens | bits per byte | byte perplexity | word perplexity |"
        )?;
        writeln!(out, "|---|---:|---:|---:|---:|---:|")?;
        let data = flags.data.display();
        let (bytes, tokens, bits) = (read.bytes, read.tokens, read.bits_per_byte());
        let (byte, word) = (read.byte_perplexity(), read.word_perplexity());
        writeln!(out, "| {data} | {bytes} | {tokens} | {bits:.4} | {byte:.4} | {word:.2} |")?;
    }
    Ok(())
}

/// One object: `shots` has one results.json for each number of shots.
fn all_json(
    flags: &Flags,
    device: &Device,
    evaluated: &[TaskResult],
    read: Option<&Perplexity>,
) -> Result<Value> {
    let model = flags.model.display().to_string();
    let mut shots = serde_json::Map::new();
    for count in shots_of(flags).into_iter().filter(|_| !evaluated.is_empty()) {
        let results = Results::of(evaluated, count, &model, &device.name());
        shots.insert(count.to_string(), serde_json::to_value(results)?);
    }
    Ok(json!({ "shots": shots, "perplexity": read.map(perplexity_json) }))
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
