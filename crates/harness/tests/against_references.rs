//! The six Korean tasks against the harnesses themselves: what `tools/korean_goldens.py` recorded
//! while the polyglot branch of lm-evaluation-harness and lm-eval 0.4.13 ran them with the model of
//! `golden_model`. Every request, every log-likelihood, every metric and every standard error.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod golden_model;
mod real_data;

use kollama_engine::Scorer;
use kollama_harness::metrics::{self, Metric, Outcome};
use kollama_harness::{
    Asking, DataSource, Mode, Model, TaskResult, evaluate, requests, shots, tasks,
};
use kollama_kernels::Device;
use serde_json::Value;
use std::path::Path;

/// Per request. Batching alone moves the scores of lm-evaluation-harness by 3e-5.
const TOLERANCE: f64 = 1e-3;

#[test]
fn the_korean_tasks_are_those_of_the_polyglot_branch() {
    let golden = include_bytes!("goldens/korean_polyglot.json.zst");
    compare_all(Mode::Polyglot, &golden[..], 12);
}

#[test]
fn the_korean_tasks_are_those_of_lm_eval() {
    let golden = include_bytes!("goldens/korean_lm_eval.json.zst");
    compare_all(Mode::LmEval, &golden[..], 10);
}

fn compare_all(mode: Mode, golden: &[u8], count: usize) {
    let Some(data) = real_data::folder(&["kobest", "nsmc", "llama2-tokenizer"]) else { return };
    let golden: Value = serde_json::from_slice(&zstd::decode_all(golden).unwrap()).unwrap();
    let window = golden["window"].as_u64().unwrap() as usize;
    let device = Device::cpu(2).unwrap();
    let llama = golden_model::build_with(32_000, window, &device).unwrap();
    let mut scorer = Scorer::new(llama, None).unwrap();
    let limit = golden["limit"].as_u64().unwrap() as usize;
    let resamples = golden["bootstrap_iterations"].as_u64().unwrap_or(0) as usize;
    let tasks = golden["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), count, "each task at 0 and 5 shots");
    for golden in tasks {
        let shots = golden["shots"].as_u64().unwrap() as usize;
        let asking = Asking { shots, limit: Some(limit), ..Asking::default() };
        compare(mode, golden, &asking, &data, &mut scorer, resamples);
    }
}

fn compare(
    mode: Mode,
    golden: &Value,
    asking: &Asking,
    data: &Path,
    scorer: &mut Scorer,
    resamples: usize,
) {
    let name = golden["task"].as_str().unwrap();
    let task = tasks::load(name, mode, &DataSource::folder(data)).unwrap().remove(0);
    let tokenizer = real_data::tokenizer(data);
    let prompts = shots::prompts(&task, asking).unwrap();
    let requests = requests::requests(&task, &prompts, &tokenizer).unwrap();
    let hashes: Vec<&str> = golden["requests"].as_str().unwrap().split(' ').collect();
    assert_eq!(requests.len(), hashes.len());
    for (index, request) in requests.iter().enumerate() {
        let hash = requests::fingerprint(std::slice::from_ref(request));
        let expected = hashes[place_in_golden(name, index)];
        assert_eq!(hash[..16], *expected, "{name}, {} shots: request {index}", asking.shots);
    }
    let mut model = Model { tokenizer: &tokenizer, scorer, cache: None };
    let result = evaluate(&task, asking, &mut model, &mut |_, _| {}).unwrap();
    compare_scores(name, golden, &result);
    compare_metrics(name, golden, &result, resamples);
}

/// The polyglot branch asks NSMC's two answers the other way round.
fn place_in_golden(name: &str, index: usize) -> usize {
    if name == "nsmc" { index ^ 1 } else { index }
}

fn compare_scores(name: &str, golden: &Value, result: &TaskResult) {
    let expected: Vec<f64> =
        golden["logprobs"].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect();
    let (mut index, mut worst) = (0, 0.0f64);
    for sample in &result.samples {
        let own: Vec<f64> = sample.scores.iter().map(|score| score.logprob).collect();
        let places = index..index + own.len();
        let golden: Vec<f64> = places.map(|it| expected[place_in_golden(name, it)]).collect();
        index += own.len();
        for (own, golden) in own.iter().zip(&golden) {
            worst = worst.max((own - golden).abs());
        }
        let likeliest = metrics::first_maximum(&golden);
        assert_eq!(sample.outcome.predicted(), Some(likeliest), "{name}: {:?}", sample.prompt);
    }
    let (shots, cut) = (result.asking.shots, result.cut_documents());
    println!(
        "{name}, {shots} shots: {index} log-likelihoods, worst difference {worst:.1e}, {cut} \
         documents cut, {:.2} shots whole",
        result.effective_shots()
    );
    assert!(worst < TOLERANCE, "{name}, {shots} shots: {worst}");
}

/// The polyglot branch was not let resample as often as is usual: that would have taken an hour.
fn compare_metrics(name: &str, golden: &Value, result: &TaskResult, resamples: usize) {
    let outcomes: Vec<Outcome> = result.samples.iter().map(|it| it.outcome.clone()).collect();
    for (key, value) in golden["metrics"].as_object().unwrap() {
        let expected = value.as_f64().unwrap();
        let (name_of_metric, is_error) = match key.strip_suffix("_stderr") {
            Some(metric) => (metric, true),
            None => (key.as_str(), false),
        };
        let metric = if name_of_metric == "f1" { "macro_f1" } else { name_of_metric };
        let metric = Metric::named(metric).unwrap();
        let measured = metrics::measure(&[metric], &outcomes, resamples)[0];
        let own = if is_error { measured.standard_error.unwrap() } else { measured.value };
        assert!((own - expected).abs() < 1e-6, "{name}: {key} is {own}, expected {expected}");
        let reported = result.metrics.iter().find(|measured| measured.metric == metric).unwrap();
        assert_eq!(reported.value, measured.value, "{name}: {key}");
    }
}
