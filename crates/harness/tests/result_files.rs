//! The files that an evaluation leaves, made of a result written down by hand.
//! `tools/check_result_files.py` reads such files with lm-evaluation-harness itself.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

use kollama_engine::Score;
use kollama_harness::difference::differences;
use kollama_harness::evaluate::{Sample, TaskResult};
use kollama_harness::metrics::{Measured, Metric, Outcome};
use kollama_harness::mode::Mode;
use kollama_harness::shots::{Asking, Fewshot, Prompt};
use kollama_harness::task::Choice;
use kollama_harness::{ModelRecord, Run, Summary, results, samples};
use serde_json::{Value, json};
use std::path::Path;

fn model() -> ModelRecord {
    ModelRecord {
        name: "tiny".to_owned(),
        folder: "models/tiny".to_owned(),
        sha256: "abcd".to_owned(),
        parameters: 12,
        weights: "f32".to_owned(),
        device: "cpu".to_owned(),
    }
}

fn sample(document: usize, gold: usize, logprobs: [f64; 2]) -> Sample {
    let score = |logprob| Score { logprob, is_greedy: false, num_tokens: 2 };
    let predicted = usize::from(logprobs[1] > logprobs[0]);
    Sample {
        prompt: Prompt {
            document,
            text: "가\n\n나".to_owned(),
            before: "가\n\n".len(),
            shots: vec![0],
        },
        choices: vec![Choice::new(" ", "a"), Choice::new(" ", "b")],
        outcome: Outcome::Chosen { gold, predicted, predicted_normalised: predicted },
        scores: logprobs.map(score).to_vec(),
        written: None,
        row: json!({ "sentence": "나", "label": gold }),
        target: " b".to_owned(),
        requests_sha256: format!("cafe{document}"),
        is_cut: document == 7,
        effective_shots: usize::from(document != 7),
    }
}

fn result(task: &str, mode: Mode, shots: usize, limit: Option<usize>) -> TaskResult {
    let measured = |metric, value, standard_error| Measured { metric, value, standard_error };
    TaskResult {
        task: task.to_owned(),
        mode,
        version: "1.0".to_owned(),
        group: Some("kobest".to_owned()),
        asking: Asking { shots, limit, fewshot: Fewshot::Drawn },
        window: 64,
        tokenizer: "f00d".to_owned(),
        prompts_sha256: "feed".to_owned(),
        requests_sha256: "beef".to_owned(),
        data: vec![("test".to_owned(), "da7a".to_owned())],
        documents: 1000,
        metrics: vec![
            measured(Metric::Accuracy, 0.5, Some(0.1)),
            measured(Metric::MacroF1, 1.0 / 3.0, None),
        ],
        beside: vec![measured(Metric::AccuracyNormalised, 0.25, Some(0.2))],
        samples: vec![sample(7, 1, [-0.1, -1.0 / 3.0]), sample(3, 1, [-2.0, -1.0])],
    }
}

fn written(results: &[TaskResult]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let summaries: Vec<Summary> = results.iter().map(Summary::of).collect();
    for result in results {
        samples::write(folder.path(), result).unwrap();
    }
    results::write(folder.path(), &Run { model: &model(), summaries: &summaries }).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn json_of(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

#[test]
fn a_run_of_the_card_leaves_results_samples_tables_and_charts() {
    let tasks = [0, 5].map(|shots| result("kobest_copa", Mode::Polyglot, shots, None));
    let folder = written(&tasks);
    let expected = [
        "results.json",
        "results.md",
        "results_0_shot.json",
        "results_5_shot.json",
        "samples_kobest_copa_0-shot.jsonl",
        "samples_kobest_copa_5-shot.jsonl",
        "scores.svg",
        "scores_kobest_copa.svg",
    ];
    assert_eq!(names(folder.path()), expected);
    let page = std::fs::read_to_string(folder.path().join("results.md")).unwrap();
    assert!(page.contains("| Llama-2-Ko 7B, 40B tokens | 0.7436 | 0.7927 | 0.8037 | 0.8259 |"));
    assert!(page.contains("| **tiny** | 0.3333 † | 0.3333 † | - | - |"), "{page}");
    assert!(page.contains("5-shot: 1 of 2 prompts do not fit"), "{page}");
    assert!(page.contains("| kobest_copa | acc_norm | 0.2500 ± 0.2000 †"), "{page}");
}

#[test]
fn fixed_shots_are_a_protocol_of_their_own_without_published_rows() {
    let tasks = [0, 5].map(|shots| {
        let mut task = result("kobest_copa", Mode::Polyglot, shots, None);
        task.asking.fewshot = Fewshot::Fixed;
        task
    });
    let folder = written(&tasks);
    let page = std::fs::read_to_string(folder.path().join("results.md")).unwrap();
    assert!(page.starts_with("tiny, mode polyglot with fixed shots\n"), "{page}");
    assert!(!page.contains("Llama-2-Ko"), "{page}");
    assert_eq!(json_of(folder.path(), "results.json")["kollama"]["fewshot"], "fixed");
}

#[test]
fn the_keys_of_polyglot_come_first_and_under_its_names() {
    let folder = written(&[result("kobest_copa", Mode::Polyglot, 5, None)]);
    let value = json_of(folder.path(), "results_5_shot.json");
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["results", "versions", "config", "kollama"]);
    let expected = json!({
        "acc": 0.5, "acc_stderr": 0.1, "macro_f1": 1.0 / 3.0, "macro_f1_stderr": null,
    });
    assert_eq!(value["results"]["kobest_copa"], expected);
    assert_eq!(value["versions"]["kobest_copa"], 1.0);
    assert_eq!(value["config"]["num_fewshot"], 5);
    let own = &value["kollama"];
    assert_eq!(own["tasks"]["kobest_copa"]["cut_documents"], 1);
    assert_eq!(own["tasks"]["kobest_copa"]["beside"]["acc_norm"], 0.25);
    assert_eq!(own["tasks"]["kobest_copa"]["data_sha256"]["test"], "da7a");
    assert_eq!((&own["tokenizer"], &own["model_sha256"]), (&json!("f00d"), &json!("abcd")));
}

#[test]
fn results_of_lm_eval_have_its_keys_and_its_groups() {
    let tasks = ["kobest_copa", "kobest_boolq"].map(|task| result(task, Mode::LmEval, 5, Some(2)));
    let folder = written(&tasks);
    assert!(!names(folder.path()).contains(&"results_5_shot.json".to_owned()));
    let value = json_of(folder.path(), "results.json");
    let warning = value["warning"].as_str().unwrap();
    assert!(warning.starts_with("ONLY THE FIRST 2 DOCUMENTS"), "{warning}");
    let copa = &value["results"]["kobest_copa"];
    assert_eq!((&copa["acc,none"], &copa["acc_stderr,none"]), (&json!(0.5), &json!(0.1)));
    assert_eq!((&copa["f1,none"], &copa["f1_stderr,none"]), (&json!(1.0 / 3.0), &json!("N/A")));
    assert_eq!(copa.get("acc_norm,none"), None, "what the reference has not stands elsewhere");
    assert_eq!(value["groups"]["kobest"]["acc,none"], 0.5);
    assert_eq!(value["group_subtasks"]["kobest"], json!(["kobest_copa", "kobest_boolq"]));
    let counts = json!({ "original": 1000, "effective": 2 });
    assert_eq!(value["n-samples"]["kobest_boolq"], counts);
    assert_eq!(
        (&value["n-shot"]["kobest_boolq"], &value["config"]["limit"]),
        (&json!(5), &json!(2))
    );
}

#[test]
fn a_task_at_several_numbers_of_shots_has_a_key_for_each() {
    let tasks = [0, 5].map(|shots| result("kobest_copa", Mode::LmEval, shots, None));
    let value = json_of(written(&tasks).path(), "results.json");
    assert_eq!(value["results"]["kobest_copa_5_shot"]["alias"], "kobest_copa");
    assert_eq!(value["n-shot"], json!({ "kobest_copa_0_shot": 0, "kobest_copa_5_shot": 5 }));
}

#[test]
fn a_sample_keeps_every_digit_and_the_hashes_of_lm_eval() {
    let folder = written(&[result("kobest_copa", Mode::LmEval, 5, None)]);
    let path = folder.path().join("samples_kobest_copa_5-shot.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(text.lines().count(), 2, "line feeds of the prompt are escaped");
    assert_eq!((&line["doc_id"], &line["target"]), (&json!(7), &json!("1")));
    let scores = json!([["-0.1", "False"], ["-0.3333333333333333", "False"]]);
    assert_eq!(line["filtered_resps"], scores);
    assert_eq!((&line["acc"], &line["f1"]), (&json!(0.0), &json!([1, 0])));
    assert_eq!(line["arguments"]["gen_args_1"], json!({ "arg_0": "가\n\n나", "arg_1": " b" }));
    // CPython: hashlib.sha256(json.dumps({"sentence": "나", "label": 1}, indent=2,
    // ensure_ascii=False).encode()).hexdigest(), and of "가\n\n나", and of "1".
    let hashes =
        ["doc_hash", "prompt_hash", "target_hash"].map(|name| line[name].as_str().unwrap());
    assert_eq!(hashes, HASHES);
}

const HASHES: [&str; 3] = [
    "cf69ad6ce70eb12d07f050fa62e8cb273fb1acc83bb1d5489c6159551849e967",
    "db9ff902fd3ae68e53c3823ea4a1dc17594e9bc64801ceb4fc87197bf97e2e6a",
    "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
];

#[test]
fn two_folders_are_compared_document_by_document() {
    let a = result("kobest_copa", Mode::Polyglot, 5, None);
    let mut b = a.clone();
    b.samples[1] = sample(3, 1, [-2.0, -2.5]);
    let (a, b) = (written(&[a]), written(&[b]));
    let [difference] = differences(a.path(), b.path()).unwrap().try_into().unwrap();
    assert_eq!((difference.documents, difference.changed), (2, 1));
    assert_eq!((difference.other_texts, difference.other_ids), (0, Some(0)));
    assert_eq!(difference.greatest_logprob_difference, 1.5);
    let metrics: Vec<(&str, f64)> =
        difference.metrics.iter().map(|metric| (metric.metric.as_str(), metric.b)).collect();
    assert_eq!(metrics, [("acc", 0.0), ("macro_f1", 0.0)]);
}

#[test]
fn folders_without_samples_and_lines_that_are_none_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let message = differences(empty.path(), empty.path()).unwrap_err().to_string();
    assert!(message.contains("no samples_*.jsonl"), "{message}");
    std::fs::write(empty.path().join("samples_x_0-shot.jsonl"), "{}\n").unwrap();
    let message = differences(empty.path(), empty.path()).unwrap_err().to_string();
    assert!(message.contains("samples_x_0-shot.jsonl:1: not a sample"), "{message}");
}
