//! What decides whether two results compare and lm-evaluation-harness does not record: the part of
//! every results file that is called `kollama`.

use crate::run::Run;
use crate::summary::Summary;
use serde_json::{Map, Value, json};

/// Versions, seeds, and hashes of model, tokenizer, data and requests; what was cut; and the metrics
/// that are printed beside those of the task.
pub fn provenance(run: &Run<'_>) -> Value {
    let first = run.summaries.first();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "mode": run.mode(),
        "fewshot": first.map(|summary| summary.asking.fewshot),
        "seeds": run.mode().seeds(),
        "tokenizer": first.map(|summary| &summary.tokenizer),
        "model_sha256": run.model.sha256,
        "weights": run.model.weights,
        "window": first.map(|summary| summary.window),
        "tasks": by_key(run, of_task),
    })
}

fn of_task(summary: &Summary) -> Value {
    let beside = summary.beside.iter().flat_map(|measured| {
        let name = measured.metric.full_name();
        let error = (format!("{name}_stderr"), json!(measured.standard_error));
        [(name, json!(measured.value)), error]
    });
    let data = summary.data.iter().map(|(split, hash)| (split.clone(), json!(hash)));
    json!({
        "documents": summary.cut.documents,
        "cut_documents": summary.cut.cut_documents,
        "effective_shots": summary.cut.shots_left,
        "requests": summary.requests,
        "prompts_sha256": summary.prompts_sha256,
        "requests_sha256": summary.requests_sha256,
        "data_sha256": data.collect::<Map<_, _>>(),
        "beside": beside.collect::<Map<_, _>>(),
    })
}

/// The key of a task of `run`: its name, and its shots where it was asked at several.
pub fn key(run: &Run<'_>, summary: &Summary) -> String {
    let same = run.summaries.iter().filter(|other| other.task == summary.task).count();
    key_of(&summary.task, summary.asking.shots, same > 1)
}

/// `kobest_copa`, or `kobest_copa_5_shot` where there are other numbers of shots.
pub fn key_of(name: &str, shots: usize, is_one_of_several: bool) -> String {
    if is_one_of_several { format!("{name}_{shots}_shot") } else { name.to_owned() }
}

/// A part of a file that has something for each task.
pub fn by_key(run: &Run<'_>, part: impl Fn(&Summary) -> Value) -> Map<String, Value> {
    run.summaries.iter().map(|summary| (key(run, summary), part(summary))).collect()
}

/// A version is a number wherever it looks like one.
pub fn version(text: &str) -> Value {
    match (text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(whole), _) => whole.into(),
        (_, Ok(number)) => number.into(),
        _ => text.into(),
    }
}
