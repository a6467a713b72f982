//! One line of JSON per document, laid out as the samples of lm-evaluation-harness 0.4.13, so that
//! tools that read those read ours. What it does not record stands under `kollama`.

use crate::digest::{hexadecimal, sha256};
use crate::error::HarnessError;
use crate::evaluate::{Sample, TaskResult};
use crate::metrics::{Metric, Outcome};
use crate::whole_file::write_whole;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the samples of a task at a number of shots stand. lm-evaluation-harness has a time where
/// the shots are here.
pub fn file_name(task: &str, shots: usize) -> String {
    format!("samples_{task}_{shots}-shot.jsonl")
}

/// Writes the samples of `result` into `folder` and says where.
pub fn write(folder: &Path, result: &TaskResult) -> Result<PathBuf, HarnessError> {
    let path = folder.join(file_name(&result.task, result.asking.shots));
    write_whole(&path, |file| {
        for filter in filters(result) {
            for sample in &result.samples {
                writeln!(file, "{}", line(result, sample, filter))?;
            }
        }
        Ok(())
    })?;
    Ok(path)
}

/// SHA-256 over the three hashes of every sample, in the order of the file.
pub fn task_hash(result: &TaskResult) -> String {
    let mut hash = Sha256::new();
    for _ in filters(result) {
        for sample in &result.samples {
            hashes(sample).iter().for_each(|part| hash.update(part));
        }
    }
    hexadecimal(hash)
}

/// Each way in which answers were found; `none` where nothing had to be.
fn filters(result: &TaskResult) -> Vec<&'static str> {
    let mut filters = Vec::new();
    for measured in &result.metrics {
        if !filters.contains(&measured.metric.filter()) {
            filters.push(measured.metric.filter());
        }
    }
    filters
}

fn line(result: &TaskResult, sample: &Sample, filter: &str) -> Value {
    let [doc_hash, prompt_hash, target_hash] = hashes(sample);
    let (responses, filtered) = responses(sample, filter);
    let values = values(result, sample, filter);
    let mut line = json!({
        "doc_id": sample.prompt.document,
        "doc": sample.row,
        "target": target(sample),
        "arguments": arguments(sample),
        "resps": responses,
        "filtered_resps": filtered,
        "filter": filter,
        "metrics": values.keys().collect::<Vec<_>>(),
        "doc_hash": doc_hash,
        "prompt_hash": prompt_hash,
        "target_hash": target_hash,
    });
    if let Some(line) = line.as_object_mut() {
        line.extend(values);
        line.insert("kollama".to_owned(), own(result, sample));
    }
    line
}

fn own(result: &TaskResult, sample: &Sample) -> Value {
    json!({
        "num_tokens": sample.scores.iter().map(|score| score.num_tokens).collect::<Vec<_>>(),
        "requests_sha256": sample.requests_sha256,
        "is_cut": sample.is_cut,
        "effective_shots": sample.effective_shots,
        "limit": result.asking.limit,
    })
}

/// What each metric makes of this document: a number, or for macro F1 the right and the predicted
/// label.
fn values(result: &TaskResult, sample: &Sample, filter: &str) -> Map<String, Value> {
    let metrics = result.metrics.iter().map(|measured| measured.metric);
    let named = metrics.filter(|metric| metric.filter() == filter).map(|metric| {
        let value = match (metric, &sample.outcome) {
            (Metric::MacroF1, Outcome::Chosen { gold, predicted, .. }) => json!([gold, predicted]),
            (Metric::MacroF1Normalised, Outcome::Chosen { gold, predicted_normalised, .. }) => {
                json!([gold, predicted_normalised])
            }
            _ => json!(metric.of_document(&sample.outcome)),
        };
        (metric.name_in(result.mode).to_owned(), value)
    });
    named.collect()
}

/// The texts of every request: what is read, and what is scored after it.
fn arguments(sample: &Sample) -> Value {
    let pair = |(index, choice)| {
        let context = sample.prompt.context(choice);
        let texts = json!({ "arg_0": context, "arg_1": choice.continuation });
        (format!("gen_args_{index}"), texts)
    };
    if sample.choices.is_empty() {
        return json!({ "gen_args_0": { "arg_0": sample.prompt.text } });
    }
    sample.choices.iter().enumerate().map(pair).collect::<Map<_, _>>().into()
}

/// Numbers as strings, one list per request, as lm-evaluation-harness has them; then what the
/// filter made of them.
fn responses(sample: &Sample, filter: &str) -> (Value, Value) {
    if let Some(written) = &sample.written {
        let found = written.extracted.iter().find(|(name, _)| *name == filter);
        let found = found.map_or(&written.text, |(_, answer)| answer);
        return (json!([[written.text]]), json!([found]));
    }
    let of_score = |score: &kollama_engine::Score| {
        json!([format!("{:?}", score.logprob), if score.is_greedy { "True" } else { "False" }])
    };
    let filtered: Vec<Value> = sample.scores.iter().map(of_score).collect();
    (filtered.iter().map(|score| json!([score])).collect(), filtered.into())
}

/// What was right, as Python prints it.
fn target(sample: &Sample) -> String {
    match sample.outcome {
        Outcome::Chosen { gold, .. } => gold.to_string(),
        Outcome::ManyTrue { .. } => "0".to_owned(),
        Outcome::Written { .. } => sample.target.trim_start().to_owned(),
    }
}

/// Of the document, of what is read before its first choice, and of its target.
fn hashes(sample: &Sample) -> [String; 3] {
    let document = serde_json::to_string_pretty(&sample.row).unwrap_or_default();
    let prompt = match sample.choices.first() {
        Some(choice) => sample.prompt.context(choice),
        None => sample.prompt.text.as_str().into(),
    };
    [document.as_str(), &prompt, &target(sample)].map(sha256)
}
