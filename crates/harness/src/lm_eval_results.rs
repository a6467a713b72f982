//! `results.json` in the shape of lm-evaluation-harness 0.4.13: tools that draw tables from its
//! files draw them from ours. No times are in it, so that a run that was killed and resumed ends
//! with the same bytes.
//!
//! That shape has one number of shots per task. A task that was asked at several has a key for each,
//! `kobest_copa_5_shot`, and keeps its name as `alias`.

use crate::groups::{Group, groups_of};
use crate::metrics::Measured;
use crate::mode::Mode;
use crate::provenance::{by_key, key, key_of, provenance, version};
use crate::run::Run;
use crate::summary::Summary;
use crate::table::limit_warning;
use serde_json::{Map, Value, json};

/// What a part of the file has for a task.
type Part = fn(&Summary) -> Value;

/// The whole file.
pub fn results(run: &Run<'_>) -> Value {
    let groups = groups_of(run.summaries);
    let of_group = |part: &dyn Fn(&Group<'_>) -> Value| -> Map<String, Value> {
        groups.iter().map(|group| (group_key(&groups, group), part(group))).collect()
    };
    let of_groups = of_group(&group_scores);
    let mut results = by_key(run, scores);
    results.extend(of_groups.clone());
    let mut file = Map::new();
    if let Some(warning) = limit_warning(run.limit()) {
        file.insert("warning".to_owned(), warning.into());
    }
    file.insert("results".to_owned(), results.into());
    if !of_groups.is_empty() {
        file.insert("groups".to_owned(), of_groups.into());
    }
    let keys = |group: &Group<'_>| -> Vec<String> {
        group.members.iter().map(|member| key(run, member)).collect()
    };
    file.insert("group_subtasks".to_owned(), of_group(&|group| json!(keys(group))).into());
    let parts: [(&str, Part); 6] = [
        ("configs", task_config),
        ("versions", |summary| version(&summary.version)),
        ("n-shot", |summary| summary.asking.shots.into()),
        ("higher_is_better", higher_is_better),
        ("n-samples", |s| json!({ "original": s.documents, "effective": s.cut.documents })),
        ("task_hashes", |summary| summary.task_sha256.clone().into()),
    ];
    for (name, part) in parts {
        file.insert(name.to_owned(), by_key(run, part).into());
    }
    for (name, part) in [("n-shot", parts[2].1), ("higher_is_better", parts[3].1)] {
        if let Some(known) = file[name].as_object_mut() {
            known.extend(of_group(&|group| part(group.members[0])));
        }
    }
    file.insert("config".to_owned(), config(run));
    file.extend(environment(run));
    file.insert("kollama".to_owned(), provenance(run));
    file.into()
}

fn scores(summary: &Summary) -> Value {
    let mut scores = Map::new();
    scores.insert("name".to_owned(), summary.task.clone().into());
    scores.insert("alias".to_owned(), summary.task.clone().into());
    scores.insert("sample_len".to_owned(), summary.cut.documents.into());
    for measured in &summary.metrics {
        add(&mut scores, measured, summary.mode);
    }
    scores.into()
}

fn add(scores: &mut Map<String, Value>, measured: &Measured, mode: Mode) {
    let (name, filter) = (measured.metric.name_in(mode), measured.metric.filter());
    let error = measured.standard_error.map_or_else(|| "N/A".into(), Value::from);
    scores.insert(format!("{name},{filter}"), measured.value.into());
    scores.insert(format!("{name}_stderr,{filter}"), error);
}

/// The key of a group: its name, and its shots where it was asked at several.
fn group_key(groups: &[Group<'_>], group: &Group<'_>) -> String {
    let same = groups.iter().filter(|other| other.name == group.name).count();
    key_of(group.name, group.shots(), same > 1)
}

fn group_scores(group: &Group<'_>) -> Value {
    let mut values = Map::new();
    values.insert("name".to_owned(), group.name.into());
    values.insert("alias".to_owned(), group.name.into());
    values.insert("sample_len".to_owned(), group.cut().documents.into());
    for measured in group.metrics() {
        add(&mut values, &measured, group.members[0].mode);
    }
    values.into()
}

fn task_config(summary: &Summary) -> Value {
    let metrics: Vec<Value> = summary
        .metrics
        .iter()
        .map(|m| json!({ "metric": m.metric.name_in(summary.mode), "higher_is_better": true }))
        .collect();
    json!({
        "task": summary.task,
        "tag": summary.group,
        "num_fewshot": summary.asking.shots,
        "metric_list": metrics,
        "metadata": { "version": version(&summary.version), "mode": summary.mode },
    })
}

fn higher_is_better(summary: &Summary) -> Value {
    let metrics = summary.metrics.iter();
    let better = metrics.map(|m| (m.metric.name_in(summary.mode).to_owned(), Value::Bool(true)));
    better.collect::<Map<_, _>>().into()
}

fn config(run: &Run<'_>) -> Value {
    let seeds = run.mode().seeds();
    json!({
        "model": "kollama",
        "model_args": format!("pretrained={},dtype={}", run.model.folder, run.model.weights),
        "model_num_parameters": run.model.parameters,
        "model_dtype": run.model.weights,
        "model_revision": Value::Null,
        "model_sha": run.model.sha256,
        "batch_size": Value::Null,
        "batch_sizes": [],
        "device": run.model.device,
        "use_cache": Value::Null,
        "limit": run.limit(),
        "bootstrap_iters": crate::evaluate::BOOTSTRAP_ITERATIONS,
        "gen_kwargs": Value::Null,
        "random_seed": seeds.documents,
        "numpy_seed": Value::Null,
        "torch_seed": Value::Null,
        "fewshot_seed": seeds.shots,
    })
}

fn environment(run: &Run<'_>) -> Map<String, Value> {
    let first = run.summaries.first();
    let parts = [
        ("max_length", first.map(|summary| summary.window).into()),
        ("model_source", "kollama".into()),
        ("model_name", run.model.folder.clone().into()),
        ("model_name_sanitized", run.model.name.clone().into()),
    ];
    parts.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}
