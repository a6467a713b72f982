//! The tasks of the Open LLM Leaderboard against lm-evaluation-harness: today's, and the original
//! code of the leaderboard. Requests, log-likelihoods, written answers and metrics on local copies of
//! the data; the scoring of answers on invented ones, which needs no data.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod golden_model;
mod writing_model;

use kollama_engine::{Score, Scorer, Tokenizer};
use kollama_harness::groups::groups_of;
use kollama_harness::metrics::Outcome;
use kollama_harness::task::Judge;
use kollama_harness::{
    Asking, DataSource, Mode, Model, Summary, TaskResult, answers, evaluate, tasks,
};
use kollama_harness::{requests, shots};
use kollama_kernels::Device;
use kollama_llama::Llama;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Per request.
const TOLERANCE: f64 = 1e-3;

fn real_data() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("KOLLAMA_DATA").map_or_else(|| default.into(), PathBuf::from);
    let folders = ["open-llm-leaderboard", "llama2-tokenizer"];
    let complete = folders.iter().all(|folder| root.join(folder).is_dir());
    if !complete {
        println!("skipped: no open-llm-leaderboard and llama2-tokenizer in {}", root.display());
    }
    complete.then_some(root)
}

fn golden(mode: Mode) -> Value {
    let packed: &[u8] = match mode {
        Mode::LmEval => include_bytes!("goldens/leaderboard_lm_eval.json.zst"),
        _ => include_bytes!("goldens/leaderboard_v1.json.zst"),
    };
    serde_json::from_slice(&zstd::decode_all(packed).unwrap()).unwrap()
}

fn model(name: &str) -> Llama {
    let device = Device::cpu(2).unwrap();
    match name {
        "writing" => writing_model::build(2048, &device).unwrap(),
        "forgetting" => writing_model::build(1280, &device).unwrap(),
        _ => golden_model::build_with(32_000, 2048, &device).unwrap(),
    }
}

/// The golden's name of a task, as the command line knows it.
fn known(name: &str) -> String {
    match name.strip_prefix("hendrycksTest-") {
        Some(subject) => format!("mmlu_{subject}"),
        None => name.split(' ').next().unwrap().to_owned(),
    }
}

/// The rows that the golden was made of.
fn invented_data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, rows) in golden(Mode::LmEval)["invented"]["drop"].as_object().unwrap() {
        let rows = rows.as_array().unwrap().iter().map(|row| format!("{row}\n"));
        fs::write(folder.path().join(format!("{name}.jsonl")), rows.collect::<String>()).unwrap();
    }
    folder
}

struct Bench {
    data: DataSource,
    /// Invented data of the task of which there is no copy.
    invented: TempDir,
    tokenizer: Tokenizer,
    scorer: Scorer,
    mode: Mode,
}

impl Bench {
    fn new(root: &Path, mode: Mode, model_name: &str) -> Bench {
        Bench {
            data: DataSource::folder(root),
            invented: invented_data(),
            tokenizer: Tokenizer::open(&root.join("llama2-tokenizer")).unwrap(),
            scorer: Scorer::new(model(model_name), Some(2)).unwrap(),
            mode,
        }
    }

    /// Compares one task with its golden.
    fn compare(&mut self, name: &str, golden: &Value) -> TaskResult {
        let count = |key: &str| golden[key].as_u64().unwrap() as usize;
        let asking =
            Asking { shots: count("shots"), limit: Some(count("limit")), ..Asking::default() };
        let invented = DataSource::folder(self.invented.path());
        let data = if is_invented(name) { &invented } else { &self.data };
        let task = tasks::load(&known(name), self.mode, data).unwrap().remove(0);
        assert_eq!(task.name, name.split(' ').next().unwrap());
        let prompts = shots::prompts(&task, &asking).unwrap();
        let requests = requests::requests(&task, &prompts, &self.tokenizer).unwrap();
        let hashes = requests.iter().map(|it| requests::fingerprint(std::slice::from_ref(it)));
        if golden["answers"].is_null() {
            same_hashes(name, golden, hashes);
        }
        let mut model = Model { tokenizer: &self.tokenizer, scorer: &mut self.scorer, cache: None };
        let result = evaluate(&task, &asking, &mut model, &mut |_, _| ()).unwrap();
        if golden["answers"].is_null() {
            same_scores(name, golden, &result);
        } else {
            same_answers(name, golden, &result);
        }
        same_metrics(name, golden, &result);
        result
    }
}

fn same_hashes(name: &str, golden: &Value, hashes: impl ExactSizeIterator<Item = String>) {
    let expected = golden["requests"].as_array().unwrap();
    assert_eq!(hashes.len(), expected.len(), "{name}");
    for (index, (hash, expected)) in hashes.zip(expected).enumerate() {
        assert_eq!(&hash[..16], expected, "{name}: request {index}");
    }
}

fn same_scores(name: &str, golden: &Value, result: &TaskResult) {
    let scores: Vec<Score> = result.samples.iter().flat_map(|it| it.scores.clone()).collect();
    let expected = golden["logprobs"].as_array().unwrap();
    let pairs = scores.iter().zip(expected);
    let differences =
        pairs.map(|(score, expected)| (score.logprob - expected.as_f64().unwrap()).abs());
    let worst = differences.fold(0.0, f64::max);
    println!("{name}: {} log-likelihoods, worst difference {worst:.1e}", scores.len());
    assert!(worst < TOLERANCE, "{name}: {worst}");
    let greedy: String = scores.iter().map(|it| if it.is_greedy { '1' } else { '0' }).collect();
    assert_eq!(golden["is_greedy"], greedy, "{name}");
}

fn same_answers(name: &str, golden: &Value, result: &TaskResult) {
    same_hashes(name, golden, result.samples.iter().map(|it| it.requests_sha256.clone()));
    for (index, sample) in result.samples.iter().enumerate() {
        let written = sample.written.as_ref().unwrap();
        assert_eq!(golden["answers"][index], written.text, "{name}: document {index}");
        for (filter, found) in written.extracted.iter().filter(|(filter, _)| *filter != "none") {
            assert_eq!(golden["filtered"][filter][index], *found, "{name}: document {index}");
        }
    }
    let (answers, cut) = (result.samples.len(), result.cut_documents());
    println!("{name}: {answers} answers, {cut} after prompts that were cut");
}

fn same_metrics(name: &str, golden: &Value, result: &TaskResult) {
    let lm_eval = |name: &str| if name == "mc2" { "acc".to_owned() } else { name.to_owned() };
    assert!(!result.metrics.is_empty(), "{name}");
    for measured in &result.metrics {
        let metric = measured.metric;
        let called = if result.mode == Mode::LmEval {
            lm_eval(metric.name())
        } else {
            metric.name().to_owned()
        };
        let filter = match metric.filter() {
            "none" => String::new(),
            filter => format!(" {filter}"),
        };
        let value = |key: String| {
            golden["metrics"][&key].as_f64().unwrap_or_else(|| panic!("{name}: {key}"))
        };
        let expected = value(format!("{called}{filter}"));
        assert!(
            (measured.value - expected).abs() < 1e-6,
            "{name}: {called} {measured:?} {expected}"
        );
        let expected = value(format!("{called}_stderr{filter}"));
        let error = measured.standard_error.unwrap();
        assert!((error - expected).abs() < 1e-6, "{name}: {called} {measured:?} {expected}");
    }
}

/// Compares the chosen tasks, and says what they came to; nothing where there is no data.
fn compare_all(mode: Mode, chosen: fn(&str) -> bool) -> Vec<TaskResult> {
    let Some(root) = real_data() else { return Vec::new() };
    let golden = golden(mode);
    let mut results = Vec::new();
    for model in ["choosing", "writing", "forgetting"] {
        let own = golden["tasks"].as_object().unwrap().iter();
        let own: Vec<_> = own.filter(|(name, it)| it["model"] == model && chosen(name)).collect();
        if own.is_empty() {
            continue;
        }
        let mut bench = Bench::new(&root, mode, model);
        results.extend(own.iter().map(|(name, golden)| bench.compare(name, golden)));
    }
    results
}

fn is_mmlu(name: &str) -> bool {
    known(name).starts_with("mmlu_")
}

fn is_written(name: &str) -> bool {
    name.starts_with("gsm8k") || is_invented(name)
}

fn is_invented(name: &str) -> bool {
    name.starts_with("drop")
}

#[test]
fn choices_are_scored_as_todays_lm_eval_does() {
    compare_all(Mode::LmEval, |name| !is_mmlu(name) && !is_written(name));
}

#[test]
fn all_subjects_of_mmlu_are_scored_as_todays_lm_eval_does() {
    let results = compare_all(Mode::LmEval, is_mmlu);
    if results.is_empty() {
        return;
    }
    let summaries: Vec<Summary> = results.iter().map(Summary::of).collect();
    let group = groups_of(&summaries).remove(0).metrics()[0];
    let expected = &golden(Mode::LmEval)["groups"]["mmlu"];
    let error = group.standard_error.unwrap();
    assert!((group.value - expected["acc"].as_f64().unwrap()).abs() < 1e-6, "{group:?}");
    assert!((error - expected["acc_stderr"].as_f64().unwrap()).abs() < 1e-6, "{group:?}");
}

#[test]
fn solutions_are_written_and_judged_as_by_todays_lm_eval() {
    compare_all(Mode::LmEval, is_written);
}

#[test]
fn choices_are_scored_as_the_first_leaderboard_did() {
    compare_all(Mode::LeaderboardV1, |name| !is_written(name));
}

#[test]
fn solutions_are_written_and_judged_as_by_the_first_leaderboard() {
    compare_all(Mode::LeaderboardV1, is_written);
}

#[test]
fn invented_solutions_are_judged_as_todays_filters_and_exact_match_do() {
    for case in golden(Mode::LmEval)["scoring"]["gsm8k"].as_array().unwrap() {
        let target = vec![vec![case["target"].as_str().unwrap().to_owned()]];
        let answer = case["answer"].as_str().unwrap();
        let judged = answers::judge(Judge::StrictAndFlexibleNumber, answer, &target);
        let Outcome::Written { values } = judged.outcome else { panic!("something was written") };
        for ((filter, found), (_, hit)) in judged.found.iter().zip(values) {
            assert_eq!(case[filter][0], *found, "{answer:?} {filter}");
            assert_eq!(case[filter][1], hit, "{answer:?} {filter} {found:?}");
        }
    }
}

#[test]
fn invented_spans_are_judged_as_the_reference_does() {
    for case in golden(Mode::LmEval)["scoring"]["drop"]["cases"].as_array().unwrap() {
        let texts = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
        let golds: Vec<Vec<String>> = case[1].as_array().unwrap().iter().map(texts).collect();
        let judged = answers::judge(Judge::Spans, case[0].as_str().unwrap(), &golds);
        let values = vec![("em", case[2].as_f64().unwrap()), ("f1", case[3].as_f64().unwrap())];
        assert_eq!(judged.outcome, Outcome::Written { values }, "{case}");
    }
}
