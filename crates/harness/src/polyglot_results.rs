//! `results_K_shot.json`: all tasks at one number of shots, laid out as the `polyglot` branch of
//! lm-evaluation-harness does (`results`, `versions`, `config`), with what it does not record under
//! `kollama`.

use crate::evaluate::BOOTSTRAP_ITERATIONS;
use crate::metrics::Measured;
use crate::provenance::{provenance, version};
use crate::run::Run;
use crate::summary::Summary;
use crate::table::limit_warning;
use serde_json::{Map, Value, json};

/// The whole file about the tasks of `run` that were asked at `shots`.
pub fn results(run: &Run<'_>, shots: usize) -> Value {
    let own = run.summaries.iter().filter(|summary| summary.asking.shots == shots);
    let own: Vec<Summary> = own.cloned().collect();
    let run = &Run { model: run.model, summaries: &own };
    let by_task = |part: fn(&Summary) -> Value| -> Map<String, Value> {
        own.iter().map(|summary| (summary.task.clone(), part(summary))).collect()
    };
    let mut file = Map::new();
    if let Some(warning) = limit_warning(run.limit()) {
        file.insert("warning".to_owned(), warning.into());
    }
    file.insert("results".to_owned(), by_task(scores).into());
    file.insert("versions".to_owned(), by_task(|summary| version(&summary.version)).into());
    file.insert("config".to_owned(), config(run, shots));
    file.insert("kollama".to_owned(), provenance(run));
    file.into()
}

fn scores(summary: &Summary) -> Value {
    let named = |measured: &Measured| {
        let name = measured.metric.full_name();
        [
            (name.clone(), json!(measured.value)),
            (format!("{name}_stderr"), json!(measured.standard_error)),
        ]
    };
    summary.metrics.iter().flat_map(named).collect::<Map<_, _>>().into()
}

fn config(run: &Run<'_>, shots: usize) -> Value {
    json!({
        "model": "kollama",
        "model_args": format!("pretrained={}", run.model.folder),
        "num_fewshot": shots,
        "batch_size": Value::Null,
        "device": run.model.device,
        "no_cache": true,
        "limit": run.limit(),
        "bootstrap_iters": BOOTSTRAP_ITERATIONS,
        "description_dict": {},
    })
}
