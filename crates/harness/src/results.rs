//! Results to files, and back for whoever draws tables and plots from them.
//!
//! One `results_K_shot.json` for each number of shots, laid out as the `polyglot` branch of
//! lm-evaluation-harness does (`results`, `versions`, `config`) with what it does not record under
//! `kollama`; one line of JSON per document; one Markdown table. Numbers are written with the
//! fewest digits that read back as the same number.

use crate::error::HarnessError;
use crate::evaluate::{BOOTSTRAP_ITERATIONS, Sample, TaskResult};
use crate::metrics::Measured;
use crate::mode::{Mode, Seeds};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A results file: all tasks of one number of shots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Task, then metric (or metric and `_stderr`), to its value.
    pub results: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    /// Task to its version.
    pub versions: BTreeMap<String, String>,
    /// How the run was started, under the names of lm-evaluation-harness.
    pub config: Config,
    /// What else decides whether two results compare.
    pub kollama: Provenance,
}

/// How a run was started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The program that ran the model.
    pub model: String,
    /// Where the model came from.
    pub model_args: String,
    /// Solved examples before each question.
    pub num_fewshot: usize,
    /// Always none: results do not depend on it.
    pub batch_size: Option<usize>,
    /// What the model ran on.
    pub device: String,
    /// Always true: nothing is answered from an earlier run.
    pub no_cache: bool,
    /// The limit on documents, where there was one.
    pub limit: Option<usize>,
    /// Resamples behind the standard error of `macro_f1`.
    pub bootstrap_iters: usize,
    /// Always empty: no task is described before its shots.
    pub description_dict: BTreeMap<String, String>,
}

/// What lm-evaluation-harness does not record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of this crate.
    pub version: String,
    /// The protocol.
    pub mode: Mode,
    /// What each generator was seeded with.
    pub seeds: Seeds,
    /// Fingerprint of the tokenizer.
    pub tokenizer: String,
    /// Positions of the model.
    pub window: usize,
    /// Task to what was scored.
    pub tasks: BTreeMap<String, Scored>,
}

/// What was scored for a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scored {
    /// Documents.
    pub documents: usize,
    /// Documents whose beginning did not fit into the window.
    pub cut_documents: usize,
    /// Requests: one per document and choice.
    pub requests: usize,
    /// SHA-256 over the ids of all requests.
    pub requests_sha256: String,
}

impl Results {
    /// The results of `evaluated` that had `shots` shots.
    pub fn of(evaluated: &[TaskResult], shots: usize, model: &str, device: &str) -> Results {
        let own: Vec<&TaskResult> =
            evaluated.iter().filter(|task| task.asking.shots == shots).collect();
        let mode = own.first().map_or(Mode::Polyglot, |task| task.mode);
        let by_task = || own.iter().map(|task| (task.task.clone(), *task));
        Results {
            results: by_task().map(|(name, task)| (name, values(&task.metrics))).collect(),
            versions: by_task().map(|(name, task)| (name, task.version.clone())).collect(),
            config: config(shots, own.first().and_then(|task| task.asking.limit), model, device),
            kollama: Provenance {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                mode,
                seeds: mode.seeds(),
                tokenizer: own.first().map(|task| task.tokenizer.clone()).unwrap_or_default(),
                window: own.first().map_or(0, |task| task.window),
                tasks: by_task().map(|(name, task)| (name, scored(task))).collect(),
            },
        }
    }

    /// Reads a file that [`write()`] wrote.
    pub fn read(path: &Path) -> Result<Results, HarnessError> {
        let bytes = std::fs::read(path)
            .map_err(|source| HarnessError::Read { path: path.to_path_buf(), source })?;
        serde_json::from_slice(&bytes)
            .map_err(|source| HarnessError::BadResults { path: path.to_path_buf(), source })
    }
}

/// Makes `folder` where it is missing and proves that files can be written into it, so that hours
/// of scoring do not end at a folder that takes no results.
pub fn prepare(folder: &Path) -> Result<(), HarnessError> {
    let proof = folder.join(format!(".proof-{}.partial", std::process::id()));
    std::fs::create_dir_all(folder)
        .and_then(|()| File::create(&proof))
        .and_then(|_| std::fs::remove_file(&proof))
        .map_err(|source| HarnessError::Write { path: folder.to_path_buf(), source })
}

/// Writes everything about `evaluated` into `folder`, which is made where it is missing, and says
/// which files those are: none where nothing was evaluated. `model` and `device` are recorded as
/// they are given.
pub fn write(
    folder: &Path,
    evaluated: &[TaskResult],
    model: &str,
    device: &str,
) -> Result<Vec<PathBuf>, HarnessError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| HarnessError::Write { path: folder.to_path_buf(), source })?;
    if evaluated.is_empty() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for task in evaluated.iter().filter(|task| seen.insert((&task.task, task.asking.shots))) {
        let name = format!("samples_{}_{}_shot.jsonl", task.task, task.asking.shots);
        files.push((folder.join(name), samples_text(task)));
    }
    for shots in shot_counts(evaluated) {
        let results = Results::of(evaluated, shots, model, device);
        files.push((folder.join(format!("results_{shots}_shot.json")), pretty(&results)));
    }
    files.push((folder.join("results.md"), markdown(evaluated)));
    for (path, text) in &files {
        write_whole(path, text.as_bytes())
            .map_err(|source| HarnessError::Write { path: path.clone(), source })?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Tasks and their metrics down, numbers of shots across, as in a model card.
pub fn markdown(evaluated: &[TaskResult]) -> String {
    let shots = shot_counts(evaluated);
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for task in evaluated {
        for measured in &task.metrics {
            let row = (task.task.as_str(), measured.metric.name());
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    let head: String = shots.iter().map(|shots| format!(" {shots}-shot |")).collect();
    let mut text = format!("| task | metric |{head}\n|---|---|{}\n", "---:|".repeat(shots.len()));
    for (task, metric) in rows {
        let cells: String =
            shots.iter().map(|&shots| cell(evaluated, task, metric, shots)).collect();
        text += &format!("| {task} | {metric} |{cells}\n");
    }
    text
}

fn cell(evaluated: &[TaskResult], task: &str, metric: &str, shots: usize) -> String {
    let mut results = evaluated.iter().filter(|result| result.task == task);
    let measured = results
        .find(|result| result.asking.shots == shots)
        .and_then(|result| result.metrics.iter().find(|m| m.metric.name() == metric));
    match measured {
        None => " - |".to_owned(),
        Some(Measured { value, standard_error: None, .. }) => format!(" {value:.4} |"),
        Some(Measured { value, standard_error: Some(error), .. }) => {
            format!(" {value:.4} ± {error:.4} |")
        }
    }
}

fn shot_counts(evaluated: &[TaskResult]) -> BTreeSet<usize> {
    evaluated.iter().map(|task| task.asking.shots).collect()
}

fn values(metrics: &[Measured]) -> BTreeMap<String, Option<f64>> {
    let named = |measured: &Measured| {
        let name = measured.metric.name();
        [
            (name.to_owned(), Some(measured.value)),
            (format!("{name}_stderr"), measured.standard_error),
        ]
    };
    metrics.iter().flat_map(named).collect()
}

fn config(num_fewshot: usize, limit: Option<usize>, model: &str, device: &str) -> Config {
    Config {
        model: "kollama".to_owned(),
        model_args: format!("pretrained={model}"),
        num_fewshot,
        batch_size: None,
        device: device.to_owned(),
        no_cache: true,
        limit,
        bootstrap_iters: BOOTSTRAP_ITERATIONS,
        description_dict: BTreeMap::new(),
    }
}

fn scored(task: &TaskResult) -> Scored {
    Scored {
        documents: task.samples.len(),
        cut_documents: task.cut_documents(),
        requests: task.samples.iter().map(|sample| sample.scores.len()).sum(),
        requests_sha256: task.requests_sha256.clone(),
    }
}

fn samples_text(task: &TaskResult) -> String {
    task.samples.iter().map(|sample| format!("{}\n", sample_line(sample))).collect()
}

fn sample_line(sample: &Sample) -> Value {
    let scores = &sample.scores;
    json!({
        "doc_id": sample.prompt.document,
        "target": sample.outcome.gold(),
        "prediction": sample.outcome.predicted(),
        "logprobs": scores.iter().map(|score| score.logprob).collect::<Vec<_>>(),
        "is_greedy": scores.iter().map(|score| score.is_greedy).collect::<Vec<_>>(),
        "num_tokens": scores.iter().map(|score| score.num_tokens).collect::<Vec<_>>(),
        "is_cut": sample.is_cut,
        "requests_sha256": sample.requests_sha256,
        "effective_shots": sample.effective_shots,
        "context": sample.prompt.text,
        "choices": sample.choices.iter().map(|it| &it.continuation).collect::<Vec<_>>(),
    })
}

fn pretty(results: &Results) -> String {
    let text = serde_json::to_string_pretty(results);
    text.expect("maps with string keys and finite numbers are JSON") + "\n"
}

/// Beside, then renamed: a file under its own name is always whole, and a failure leaves nothing.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, path))
        .inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metric, Outcome};
    use crate::shots::{Asking, Prompt};
    use crate::task::Choice;
    use kollama_engine::Score;

    fn result(task: &'static str, shots: usize, value: f64) -> TaskResult {
        let score = |logprob| Score { logprob, is_greedy: false, num_tokens: 2 };
        TaskResult {
            task: task.to_owned(),
            mode: Mode::Polyglot,
            version: "0".to_owned(),
            group: None,
            asking: Asking { shots, limit: Some(1), ..Asking::default() },
            window: 64,
            tokenizer: "f00d".to_owned(),
            prompts_sha256: "feed".to_owned(),
            requests_sha256: "beef".to_owned(),
            data: Vec::new(),
            metrics: vec![
                Measured { metric: Metric::Accuracy, value, standard_error: Some(0.1) },
                Measured { metric: Metric::MacroF1, value: value / 3.0, standard_error: None },
            ],
            samples: vec![Sample {
                prompt: Prompt {
                    document: 7,
                    text: "가\n\n나".to_owned(),
                    before: 5,
                    shots: vec![0],
                },
                choices: ["a", "b"].map(|it| Choice::new(" ", it)).to_vec(),
                outcome: Outcome::Chosen { gold: 1, predicted: 0, predicted_normalised: 0 },
                scores: vec![score(-0.1), score(-1.0 / 3.0)],
                written: None,
                requests_sha256: "cafe".to_owned(),
                is_cut: true,
                effective_shots: 0,
            }],
        }
    }

    fn three() -> [TaskResult; 3] {
        [result("copa", 0, 0.5), result("copa", 5, 0.25), result("sentineg", 5, 0.75)]
    }

    #[test]
    fn each_number_of_shots_gets_a_file_that_reads_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        let paths = write(folder.path(), &three(), "models/tiny", "cpu").unwrap();
        let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names[3], "results_0_shot.json");
        assert_eq!(names[4], "results_5_shot.json");
        let read = Results::read(&paths[4]).unwrap();
        assert_eq!(read, Results::of(&three(), 5, "models/tiny", "cpu"));
        assert_eq!(read.results["copa"]["macro_f1"], Some(0.25 / 3.0));
        assert_eq!(read.results["copa"]["macro_f1_stderr"], None);
        assert_eq!(read.config.model_args, "pretrained=models/tiny");
        assert_eq!(read.kollama.tasks["sentineg"].cut_documents, 1);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), paths.len());
    }

    #[test]
    fn the_three_keys_of_polyglot_come_first_and_under_its_names() {
        let text = pretty(&Results::of(&three(), 0, "m", "cpu"));
        let value: Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["results", "versions", "config", "kollama"]);
        let expected = json!({"acc": 0.5, "acc_stderr": 0.1,
            "macro_f1": 0.5 / 3.0, "macro_f1_stderr": null});
        assert_eq!(value["results"]["copa"], expected);
        assert_eq!(value["versions"]["copa"], "0");
        assert_eq!(value["config"]["num_fewshot"], 0);
    }

    #[test]
    fn a_line_per_document_keeps_every_digit_of_its_scores() {
        let text = samples_text(&three()[0]);
        let sample: Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(sample["logprobs"], json!([-0.1, -1.0 / 3.0]));
        assert_eq!((&sample["doc_id"], &sample["prediction"]), (&json!(7), &json!(0)));
        assert_eq!(text.lines().count(), 1, "line feeds of the prompt are escaped");
    }

    #[test]
    fn the_table_has_tasks_down_and_shots_across() {
        let expected = "| task | metric | 0-shot | 5-shot |\n\
            |---|---|---:|---:|\n\
            | copa | acc | 0.5000 ± 0.1000 | 0.2500 ± 0.1000 |\n\
            | copa | macro_f1 | 0.1667 | 0.0833 |\n\
            | sentineg | acc | - | 0.7500 ± 0.1000 |\n\
            | sentineg | macro_f1 | - | 0.2500 |\n";
        assert_eq!(markdown(&three()), expected);
    }

    #[test]
    fn the_same_task_and_shots_twice_are_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, _] = three();
        let twice = [first.clone(), second.clone(), first.clone()];
        let paths = write(folder.path(), &twice, "m", "cpu").unwrap();
        let texts = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
        };
        let twice = texts(&paths);
        assert_eq!(write(folder.path(), &[first, second], "m", "cpu").unwrap(), paths);
        assert_eq!(texts(&paths), twice);
    }

    #[test]
    fn a_folder_is_prepared_before_anything_is_scored() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("made/on/the/way");
        prepare(&folder).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "the proof is gone again");
        let file = around.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        let message = prepare(&file).unwrap_err().to_string();
        assert!(message.contains("file: cannot be written"), "{message}");
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn nothing_evaluated_writes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write(folder.path(), &[], "m", "cpu").unwrap().is_empty());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_failure_leaves_no_partial_file_and_what_stood_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("results.md");
        std::fs::create_dir(&taken).unwrap();
        let message = write(folder.path(), &three(), "m", "cpu").unwrap_err().to_string();
        assert!(message.contains("results.md: cannot be written"), "{message}");
        assert!(taken.is_dir());
        let names = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name());
        let partial: Vec<_> =
            names.filter(|name| name.to_string_lossy().contains("partial")).collect();
        assert!(partial.is_empty(), "{partial:?}");
    }

    #[test]
    fn a_file_that_is_something_else_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results_0_shot.json");
        std::fs::write(&path, "{\"results\": 3}").unwrap();
        let message = Results::read(&path).unwrap_err().to_string();
        assert!(message.contains("results_0_shot.json: not a results file"), "{message}");
    }
}
