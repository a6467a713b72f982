//! The whole road from a table of questions to a score, against numbers that owe nothing to this
//! code: goldens of transformers and CPython for the real data, and counts by hand for a small
//! folder in the shape of KoBEST, which every machine can run.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod golden_model;
mod real_data;
mod small_kobest;

use kollama_engine::{Score, ScoreRequest, Scorer};
use kollama_harness::metrics::Metric;
use kollama_harness::{
    Asking, DataSource, HarnessError, Mode, Model, Task, TaskResult, evaluate, perplexity,
    requests, shots, tasks,
};
use kollama_kernels::Device;
use serde_json::Value;
use std::path::Path;

/// Per request. Batching alone moves the scores of lm-evaluation-harness by 3e-5.
const TOLERANCE: f64 = 1e-3;

fn golden() -> Value {
    serde_json::from_str(include_str!("goldens/polyglot.json")).unwrap()
}

fn golden_scorer() -> Scorer {
    Scorer::new(golden_model::build(&Device::cpu(2).unwrap()).unwrap(), Some(2)).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn count(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn value_of(result: &TaskResult, metric: Metric) -> (f64, f64) {
    let measured = result.metrics.iter().find(|measured| measured.metric == metric).unwrap();
    (measured.value, measured.standard_error.unwrap())
}

fn scores(result: &TaskResult) -> Vec<Score> {
    result.samples.iter().flat_map(|sample| sample.scores.clone()).collect()
}

fn quiet(_done: usize, _total: usize) {}

fn polyglot(name: &str, data: &Path) -> Task {
    tasks::load(name, Mode::Polyglot, &DataSource::folder(data)).unwrap().remove(0)
}

#[test]
fn requests_scores_and_metrics_on_kobest_equal_the_goldens() {
    let Some(data) = real_data::folder(&["kobest", "llama2-tokenizer"]) else { return };
    let tokenizer = real_data::tokenizer(&data);
    let mut scorer = golden_scorer();
    for (name, golden) in golden()["tasks"].as_object().unwrap() {
        let (shots, limit) = (count(&golden["shots"]), count(&golden["limit"]));
        let task = polyglot(name, &data);
        let asking = Asking { shots, limit: Some(limit), ..Asking::default() };
        let prompts = shots::prompts(&task, &asking).unwrap();
        let requests = requests::requests(&task, &prompts, &tokenizer).unwrap();
        for (index, request) in requests.iter().enumerate() {
            let hash = requests::fingerprint(std::slice::from_ref(request));
            assert_eq!(golden["request_sha256"][index], hash, "{name}: request {index}");
        }
        let mut model = Model { tokenizer: &tokenizer, scorer: &mut scorer, cache: None };
        let result = evaluate(&task, &asking, &mut model, &mut quiet).unwrap();
        assert_eq!(golden["requests_sha256"], result.requests_sha256, "{name}");
        assert_scores(name, golden, &result);
        assert_metrics(name, golden, &result);
        assert_likeliest(name, golden, &requests, &mut scorer);
    }
}

fn assert_scores(name: &str, golden: &Value, result: &TaskResult) {
    let (scores, expected) = (scores(result), numbers(&golden["logprobs"]));
    assert_eq!(scores.len(), expected.len());
    let differences =
        scores.iter().zip(&expected).map(|(score, want)| (score.logprob - want).abs());
    let worst = differences.fold(0.0, f64::max);
    println!("{name}: {} log-likelihoods, worst difference {worst:.1e}", scores.len());
    assert!(worst < TOLERANCE, "{name}: {worst}");
    for (index, score) in scores.iter().enumerate() {
        assert_eq!(golden["is_greedy"][index], score.is_greedy, "{name}: request {index}");
    }
}

fn assert_metrics(name: &str, golden: &Value, result: &TaskResult) {
    for (index, sample) in result.samples.iter().enumerate() {
        assert_eq!(
            count(&golden["predicted"][index]),
            sample.outcome.predicted().unwrap(),
            "{name}: {index}"
        );
    }
    assert_eq!(count(&golden["cut_documents"]), result.cut_documents(), "{name}");
    for metric in [Metric::Accuracy, Metric::MacroF1] {
        let (value, error) = value_of(result, metric);
        let key = metric.name();
        let expected = golden[key].as_f64().unwrap();
        let expected_error = golden[format!("{key}_stderr")].as_f64().unwrap();
        assert!((value - expected).abs() < 1e-6, "{name}: {key} {value}");
        assert!((error - expected_error).abs() < 1e-6, "{name}: {key}_stderr {error}");
    }
}

/// A random model never finds a whole Korean word likeliest, so the flag is tried on the one id
/// that transformers finds likeliest after a context.
fn assert_likeliest(name: &str, golden: &Value, requests: &[ScoreRequest], scorer: &mut Scorer) {
    let likeliest = golden["likeliest_after_context"].as_array().unwrap();
    for (document, likeliest) in likeliest.iter().enumerate() {
        let context = &requests[2 * document].context;
        let context = context[context.len().saturating_sub(scorer.window())..].to_vec();
        let request = ScoreRequest { context, continuation: vec![count(&likeliest["id"]) as u32] };
        let score = scorer.score(&[request], &mut |_| {}).unwrap()[0];
        let expected = likeliest["logprob"].as_f64().unwrap();
        assert!(score.is_greedy, "{name}: document {document}");
        assert!((score.logprob - expected).abs() < TOLERANCE, "{name}: document {document}");
    }
}

#[test]
fn a_text_of_several_windows_is_as_likely_as_transformers_says() {
    let Some(data) = real_data::folder(&["kobest", "llama2-tokenizer"]) else { return };
    let golden = &golden()["rolling"];
    let text = golden["text"].as_str().unwrap();
    let mut scorer = golden_scorer();
    let tokenizer = real_data::tokenizer(&data);
    let measured = perplexity(&[text, ""], &tokenizer, &mut scorer, &mut quiet).unwrap();
    let expected = golden["logprob"].as_f64().unwrap();
    assert_eq!(measured.tokens, count(&golden["tokens"]));
    assert!(measured.tokens > 3 * scorer.window(), "the text fills several windows");
    assert!((measured.logprob - expected).abs() < 0.01, "{} {expected}", measured.logprob);
    let bits = -expected / std::f64::consts::LN_2 / text.len() as f64;
    assert!((measured.bits_per_byte() - bits).abs() < 1e-5);
}

fn small_scorer(threads: usize, positions: usize) -> Scorer {
    let device = Device::cpu(threads).unwrap();
    let llama = golden_model::build_with(small_kobest::VOCAB_SIZE, positions, &device).unwrap();
    Scorer::new(llama, Some(2)).unwrap()
}

fn small_result(scorer: &mut Scorer, limit: Option<usize>) -> TaskResult {
    let folder = tempfile::tempdir().unwrap();
    small_kobest::write(folder.path());
    let task = polyglot("kobest_copa", folder.path());
    let tokenizer = small_kobest::tokenizer(folder.path());
    let asking = Asking { shots: small_kobest::SHOTS, limit, ..Asking::default() };
    let mut model = Model { tokenizer: &tokenizer, scorer, cache: None };
    evaluate(&task, &asking, &mut model, &mut quiet).unwrap()
}

#[test]
fn a_small_copa_gives_the_requests_that_were_written_down_by_hand() {
    let requests = small_kobest::requests_by_hand();
    let mut scorer = small_scorer(1, 512);
    let result = small_result(&mut scorer, None);
    assert_eq!(result.requests_sha256, requests::fingerprint(&requests));
    assert_eq!(scores(&result), scorer.score(&requests, &mut |_| {}).unwrap());
    let documents: Vec<usize> = result.samples.iter().map(|s| s.prompt.document).collect();
    assert_eq!(documents, small_kobest::ORDER);
    assert_eq!(result.cut_documents(), 0);
    let hits = result.samples.iter().filter(|s| {
        let likelier = s.scores[1].logprob > s.scores[0].logprob;
        usize::from(likelier) == small_kobest::GOLD[s.prompt.document]
    });
    let share = hits.count() as f64 / small_kobest::ORDER.len() as f64;
    assert_eq!(value_of(&result, Metric::Accuracy).0, share);
}

#[test]
fn company_and_order_and_threads_change_no_bit_of_a_score() {
    let requests = small_kobest::requests_by_hand();
    let mut scorer = small_scorer(1, 512);
    let together = scorer.score(&requests, &mut |_| {}).unwrap();
    for (request, score) in requests.iter().zip(&together) {
        let alone = scorer.score(std::slice::from_ref(request), &mut |_| {}).unwrap();
        assert_eq!(alone[0].logprob.to_bits(), score.logprob.to_bits());
    }
    let backwards: Vec<ScoreRequest> = requests.iter().rev().cloned().collect();
    let mut reversed = scorer.score(&backwards, &mut |_| {}).unwrap();
    reversed.reverse();
    assert_eq!(reversed, together);
    assert_eq!(small_result(&mut small_scorer(2, 512), None), small_result(&mut scorer, None));
}

#[test]
fn a_limit_keeps_the_first_samples_as_they_are() {
    let mut scorer = small_scorer(1, 512);
    let (all, two) = (small_result(&mut scorer, None), small_result(&mut scorer, Some(2)));
    assert_eq!(two.samples, all.samples[..2]);
}

#[test]
fn prompts_that_do_not_fit_lose_their_beginning_and_are_counted() {
    let requests = small_kobest::requests_by_hand();
    let window = requests.iter().map(|r| r.context.len() + r.continuation.len()).max().unwrap() - 9;
    let mut scorer = small_scorer(1, window);
    let result = small_result(&mut scorer, None);
    let is_long = |r: &ScoreRequest| r.context.len() + r.continuation.len() > window + 1;
    let cut = requests.chunks(2).filter(|pair| pair.iter().any(is_long)).count();
    assert!(cut > 0 && cut < small_kobest::ORDER.len(), "{cut} documents do not fit");
    assert_eq!(result.cut_documents(), cut);
    let shortened: Vec<ScoreRequest> = requests.into_iter().map(|r| shorten(r, window)).collect();
    assert_eq!(scores(&result), scorer.score(&shortened, &mut |_| {}).unwrap());
}

fn shorten(request: ScoreRequest, window: usize) -> ScoreRequest {
    let excess = (request.context.len() + request.continuation.len()).saturating_sub(window + 1);
    ScoreRequest { context: request.context[excess..].to_vec(), ..request }
}

#[test]
fn progress_ends_with_all_requests_done() {
    let folder = tempfile::tempdir().unwrap();
    small_kobest::write(folder.path());
    let task = polyglot("kobest_copa", folder.path());
    let tokenizer = small_kobest::tokenizer(folder.path());
    let mut last = (0, 0);
    let mut scorer = small_scorer(1, 512);
    let mut model = Model { tokenizer: &tokenizer, scorer: &mut scorer, cache: None };
    evaluate(&task, &Asking::default(), &mut model, &mut |done, total| last = (done, total))
        .unwrap();
    assert_eq!(last, (12, 12));
}

#[test]
fn a_text_without_a_byte_has_no_perplexity() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = small_kobest::tokenizer(folder.path());
    let measured = perplexity(&["", ""], &tokenizer, &mut small_scorer(1, 64), &mut quiet);
    assert!(matches!(measured, Err(HarnessError::NothingToScore { .. })));
}
