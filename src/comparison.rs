//! Before and after: the same questions to the model that was taught and to the one it was, in one
//! table.

use crate::progress::{Progress, Unit};
use crate::recipe::Comparison;
use crate::stages::write_beside;
use crate::staging::staged;
use anyhow::{Context, Result, ensure};
use kollama_corpus::documents;
use kollama_engine::{Engine, Request, Sampling, Scorer, prompt_ids};
use kollama_harness::{Asking, DataSource, Mode, Model, Perplexity, evaluate, perplexity, tasks};
use kollama_kernels::Device;
use kollama_llama::Llama;
use kollama_tokenizer::{Tokenizer, pieces_of};
use serde::Serialize;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

/// The table in the folder of the comparison.
const MARKDOWN: &str = "comparison.md";

/// Rows of the table: what is measured, and the two answers.
#[derive(Debug, Default, Serialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    what: String,
    before: String,
    after: String,
}

/// Measures both models and leaves the table in `out`.
pub fn compare(plan: &Comparison, models: [&Path; 2], out: &Path, device: &Device) -> Result<()> {
    let texts = plan.held_out.iter().map(|texts| read_texts(&texts.sources, plan.bytes, None));
    let texts = texts.collect::<Result<Vec<_>>>()?;
    let mut progress = Progress::new("comparing", 2, Unit::Items);
    let mut answers = Vec::new();
    for model in models {
        answers.push(answers_of(model, plan, &texts, device)?);
        progress.at(answers.len() as u64, "");
    }
    progress.finish("");
    let [after, before] = [answers.pop(), answers.pop()].map(Option::unwrap_or_default);
    let table = table(before, after);
    staged(out, |folder| {
        std::fs::create_dir(folder)?;
        write_beside(&folder.join(MARKDOWN), table.to_markdown().as_bytes())?;
        write_beside(&folder.join("comparison.json"), &serde_json::to_vec_pretty(&table)?)
    })
}

/// Prints the table that [`compare`] left in `out`.
pub fn show(out: &Path) -> Result<()> {
    let path = out.join(MARKDOWN);
    let table = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(write!(stdout(), "{table}")?)
}

/// The texts of files and folders, at most `bytes` of them and at most `limit` documents.
pub fn read_texts(sources: &[PathBuf], bytes: usize, limit: Option<usize>) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let mut left = bytes;
    for document in documents(sources)?.take(limit.unwrap_or(usize::MAX)) {
        let mut text = document?.text;
        text.truncate(text.floor_char_boundary(left));
        left -= text.len();
        if !text.is_empty() {
            texts.push(text);
        }
        if left == 0 {
            break;
        }
    }
    ensure!(!texts.is_empty(), "no text in {}", sources.first().context("no source")?.display());
    Ok(texts)
}

/// What one model answers: name of the row and the cell.
type Answers = Vec<(String, String)>;

fn answers_of(
    model: &Path,
    plan: &Comparison,
    texts: &[Vec<String>],
    device: &Device,
) -> Result<Answers> {
    let words = Tokenizer::open(model)?;
    let llama = Llama::open(model, device)?;
    let mut answers = vec![("vocabulary".to_owned(), words.vocab_size().to_string())];
    let mut scorer = Scorer::new(llama, words.eos_id())?;
    let named = plan.held_out.iter().map(|held_out| &held_out.name).zip(texts);
    let mut bits = Vec::new();
    for (language, texts) in named {
        let read = perplexity(texts, &words, &mut scorer, &mut |_, _| ())?;
        let share = tokens_per_character(&read, texts);
        answers.push((format!("tokens per character, {language}"), format!("{share:.3}")));
        bits.push((format!("bits per byte, {language}"), format!("{:.3}", read.bits_per_byte())));
    }
    answers.extend(bits);
    answers.extend(task_answers(plan, &words, &mut scorer)?);
    let pieces = pieces_of(&words, &plan.example);
    let shown = format!("{} tokens: {}", pieces.len(), pieces.join(" "));
    answers.push((plan.example.clone(), shown));
    let prompts = plan.prompts.iter().map(|prompt| prompt_ids(&words, prompt));
    let prompts: Vec<Vec<u32>> = prompts.collect();
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let mut engine = Engine::new(scorer.share_llama(), &words, longest + plan.max_new_tokens)?;
    for (prompt, ids) in plan.prompts.iter().zip(prompts) {
        let text = continuation(&mut engine, ids, plan.max_new_tokens)?;
        answers.push((format!("{prompt} …"), text));
    }
    Ok(answers)
}

fn tokens_per_character(read: &Perplexity, texts: &[String]) -> f64 {
    let characters: usize = texts.iter().map(|text| text.chars().count()).sum();
    read.tokens as f64 / characters as f64
}

fn task_answers(plan: &Comparison, words: &Tokenizer, scorer: &mut Scorer) -> Result<Answers> {
    let mut answers = Vec::new();
    for name in &plan.tasks {
        let data = plan.task_data.as_deref().context("[comparison] tasks need `task_data`")?;
        for task in tasks::load(name, Mode::Polyglot, &DataSource::folder(data))? {
            for &shots in &plan.shots {
                let asking = Asking { shots, limit: plan.limit, ..Asking::default() };
                let mut model = Model { tokenizer: words, scorer, cache: None };
                let result = evaluate(&task, &asking, &mut model, &mut |_, _| ())?;
                for measured in &result.metrics {
                    let what = format!("{} {shots}-shot {}", task.name, measured.metric.name());
                    answers.push((what, format!("{:.3}", measured.value)));
                }
            }
        }
    }
    Ok(answers)
}

fn continuation(
    engine: &mut Engine<'_>,
    prompt: Vec<u32>,
    max_new_tokens: usize,
) -> Result<String> {
    let sampling = Sampling { temperature: 0.7, top_p: 0.9, seed: 1, ..Sampling::GREEDY };
    engine.submit(Request { prompt, max_new_tokens, sampling, stop: Vec::new() })?;
    let mut text = String::new();
    while !engine.is_idle() {
        text.extend(engine.step()?.into_iter().map(|emission| emission.text));
    }
    Ok(text.trim().replace('\n', " "))
}

fn table(before: Answers, after: Answers) -> Table {
    let rows = before.into_iter().zip(after);
    let rows = rows.map(|((what, before), (_, after))| Row { what, before, after });
    Table { rows: rows.collect() }
}

impl Table {
    fn to_markdown(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|");
        let mut text = "| | before | after |\n|---|---|---|\n".to_owned();
        for Row { what, before, after } in &self.rows {
            text += &format!("| {} | {} | {} |\n", cell(what), cell(before), cell(after));
        }
        text
    }
}
