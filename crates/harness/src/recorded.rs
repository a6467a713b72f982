//! Sample files read back: ours, and those of lm-evaluation-harness. Keeps of each document what two
//! runs can be compared by, and not its texts.

use crate::error::HarnessError;
use crate::metrics::first_maximum;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// One sample file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleFile {
    /// The task it is about.
    pub task: String,
    /// The number of shots, where its name has it: lm-evaluation-harness has a time there.
    pub shots: Option<usize>,
    /// Where it is.
    pub path: PathBuf,
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// SHA-256 over the texts of its requests.
    pub texts: [u8; 32],
    /// SHA-256 over their ids, where it was recorded.
    pub ids: Option<String>,
    /// The log-likelihood of each choice; none where the model wrote.
    pub logprobs: Vec<f64>,
    /// The likeliest choice, or what the filter found in what was written.
    pub prediction: String,
    /// What each metric made of it.
    pub values: BTreeMap<String, Worth>,
}

/// What a metric made of a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Worth {
    /// What it adds to the mean.
    Number(f64),
    /// The right and the predicted label, for metrics that count labels.
    Labels(usize, usize),
}

/// Document and filter.
pub type Key = (u64, String);

/// Every sample file in `folder`, or in the only folder in it that has some: lm-evaluation-harness
/// makes one per model.
pub fn sample_files(folder: &Path) -> Result<Vec<SampleFile>, HarnessError> {
    let mut files = sample_files_in(folder)?;
    if files.is_empty() {
        let inside = entries(folder)?.into_iter().filter(|path| path.is_dir());
        let inside = inside.filter_map(|path| sample_files_in(&path).ok());
        let mut runs: Vec<Vec<SampleFile>> = inside.filter(|files| !files.is_empty()).collect();
        if let (1, Some(only)) = (runs.len(), runs.pop()) {
            files = only;
        }
    }
    files.sort_by(|a, b| (&a.task, a.shots).cmp(&(&b.task, b.shots)));
    if files.is_empty() {
        return Err(HarnessError::NoSamples { folder: folder.to_path_buf() });
    }
    Ok(files)
}

fn sample_files_in(folder: &Path) -> Result<Vec<SampleFile>, HarnessError> {
    Ok(entries(folder)?.into_iter().filter_map(sample_file).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, HarnessError> {
    std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|source| HarnessError::Read { path: folder.to_path_buf(), source })
}

fn sample_file(path: PathBuf) -> Option<SampleFile> {
    let name = path.file_name()?.to_str()?;
    let (task, last) = name.strip_prefix("samples_")?.strip_suffix(".jsonl")?.rsplit_once('_')?;
    let shots = last.strip_suffix("-shot").and_then(|shots| shots.parse().ok());
    Some(SampleFile { task: task.to_owned(), shots, path })
}

/// What a results file of ours says of the whole run; nothing where there is none.
pub fn provenance(folder: &Path) -> Result<BTreeMap<String, Value>, HarnessError> {
    let path = folder.join("results.json");
    let Ok(bytes) = std::fs::read(&path) else { return Ok(BTreeMap::new()) };
    let bad = |what: String| HarnessError::BadSample { path: path.clone(), line: 1, what };
    let results: Value = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    let own = results["kollama"].as_object().into_iter().flatten();
    let of_run = own.filter(|(name, _)| *name != "tasks" && *name != "seeds");
    Ok(of_run.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The documents of a sample file.
pub fn read(path: &Path) -> Result<BTreeMap<Key, Recorded>, HarnessError> {
    let unreadable = |source| HarnessError::Read { path: path.to_path_buf(), source };
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut documents = BTreeMap::new();
    for (index, line) in file.lines().enumerate() {
        let bad = |what: String| HarnessError::BadSample {
            path: path.to_path_buf(),
            line: index + 1,
            what,
        };
        let line: Value =
            serde_json::from_str(&line.map_err(unreadable)?).map_err(|e| bad(e.to_string()))?;
        let (key, recorded) =
            recorded(&line).ok_or_else(|| bad("a field of a sample is missing".to_owned()))?;
        documents.insert(key, recorded);
    }
    Ok(documents)
}

fn recorded(line: &Value) -> Option<(Key, Recorded)> {
    let filter = line["filter"].as_str().unwrap_or("none").to_owned();
    let responses = line["filtered_resps"].as_array()?;
    let logprobs: Option<Vec<f64>> = responses.iter().map(logprob).collect();
    let prediction = match &logprobs {
        Some(logprobs) if !logprobs.is_empty() => first_maximum(logprobs).to_string(),
        _ => responses.first()?.as_str()?.to_owned(),
    };
    let names = line["metrics"].as_array()?.iter().filter_map(Value::as_str);
    let values = names.filter_map(|name| worth(name, &line[name])).collect();
    let recorded = Recorded {
        texts: texts_hash(&line["arguments"])?,
        ids: line["kollama"]["requests_sha256"].as_str().map(str::to_owned),
        logprobs: logprobs.unwrap_or_default(),
        prediction,
        values,
    };
    Some(((line["doc_id"].as_u64()?, filter), recorded))
}

/// `["-1.5", "False"]`.
fn logprob(response: &Value) -> Option<f64> {
    let [logprob, _greedy] = response.as_array()?.as_slice() else { return None };
    logprob.as_f64().or_else(|| logprob.as_str()?.parse().ok())
}

fn worth(name: &str, value: &Value) -> Option<(String, Worth)> {
    if let Some([gold, predicted]) = value.as_array().map(Vec::as_slice) {
        let labels = Worth::Labels(label(gold)?, label(predicted)?);
        // lm-evaluation-harness calls macro F1 of KoBEST plainly `f1`.
        return Some((name.replace("macro_f1", "f1").replace("f1", "macro_f1"), labels));
    }
    let number = value.as_f64().or_else(|| value.as_bool().map(|hit| f64::from(u8::from(hit))))?;
    Some((name.to_owned(), Worth::Number(number)))
}

fn label(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|label| usize::try_from(label).ok())
}

fn texts_hash(arguments: &Value) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    for request in arguments.as_object()?.values() {
        for text in request.as_object()?.values().filter_map(Value::as_str) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
    Some(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_both_harnesses_are_understood() {
        let named = |name: &str| sample_file(Path::new("x").join(name));
        let ours = named("samples_kobest_copa_5-shot.jsonl").unwrap();
        assert_eq!((ours.task.as_str(), ours.shots), ("kobest_copa", Some(5)));
        let theirs = named("samples_kobest_copa_2026-08-21T10-00-00.12.jsonl").unwrap();
        assert_eq!((theirs.task.as_str(), theirs.shots), ("kobest_copa", None));
        assert_eq!(named("results_5_shot.json"), None);
    }

    #[test]
    fn a_folder_of_one_run_is_looked_into_and_one_of_several_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for run in ["a", "b"] {
            let run = folder.path().join(run);
            std::fs::create_dir(&run).unwrap();
            std::fs::write(run.join("samples_x_0-shot.jsonl"), "").unwrap();
            let found = sample_files(folder.path());
            assert_eq!(found.is_ok(), run.ends_with("a"), "{found:?}");
        }
    }

    #[test]
    fn a_line_of_lm_eval_is_read_as_ours_is() {
        let line = json!({
            "doc_id": 7, "target": "1", "filter": "none", "metrics": ["acc", "f1"],
            "arguments": {"gen_args_0": {"arg_0": "a", "arg_1": " b"}},
            "filtered_resps": [["-3.5", "False"], ["-1.25", "True"]],
            "acc": 1.0, "f1": [1, 1],
        });
        let (key, recorded) = recorded(&line).unwrap();
        assert_eq!(key, (7, "none".to_owned()));
        assert_eq!(recorded.logprobs, [-3.5, -1.25]);
        assert_eq!((recorded.prediction.as_str(), recorded.ids), ("1", None));
        assert_eq!(recorded.values["acc"], Worth::Number(1.0));
        assert_eq!(recorded.values["macro_f1"], Worth::Labels(1, 1));
    }
}
