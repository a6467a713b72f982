//! `trainer/state.json` of a checkpoint: where the run stands, and everything that must not differ
//! when it goes on.

use crate::batches::Batches;
use crate::checkpoints::TRAINER_FOLDER;
use crate::durable::{self, failed};
use crate::error::TrainError;
use crate::fingerprint;
use crate::settings::{DtypeChoice, Schedule, TrainSettings};
use crate::trained::Trained;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FILE: &str = "state.json";
const FORMAT: u32 = 1;

/// Settings that change the numbers of a run. `steps` is one more where the schedule looks at it,
/// and `dtype` where it is not f32, which older checkpoints do not name; `recompute` is none, since
/// what is computed again is the same.
const PINNED: [&str; 14] = [
    "batch_size",
    "sequence_length",
    "accumulate",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "weight_decay",
    "beta1",
    "beta2",
    "epsilon",
    "clip",
    "order",
    "train_only",
    "seed",
];

/// Where a run stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    format: u32,
    /// Steps done.
    pub step: u64,
    /// Tokens read.
    pub tokens: u64,
    /// What must not differ.
    pub pinned: Pinned,
    /// SHA-256 of every other file of the checkpoint.
    files: BTreeMap<String, String>,
}

/// What must not differ when a run goes on: name and value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pinned(Map<String, Value>);

impl Pinned {
    /// Of a run with these settings on this data, begun from the model with this fingerprint.
    pub fn new(
        settings: &TrainSettings,
        batches: &Batches,
        model: String,
        trained: Trained,
    ) -> Pinned {
        let all = serde_json::to_value(settings).expect("settings are plain data");
        let mut pinned = Map::new();
        for field in PINNED {
            pinned.insert(field.into(), all[field].clone());
        }
        if settings.schedule != Schedule::Constant {
            pinned.insert("steps".into(), settings.steps.into());
        }
        if settings.dtype != DtypeChoice::F32 {
            pinned.insert("dtype".into(), all["dtype"].clone());
        }
        if let Trained::EmbeddingRowsFrom(first) = trained {
            pinned.insert("base_vocab_size".into(), first.into());
        }
        pinned.insert("data".into(), batches.data().fingerprint().into());
        pinned.insert("model".into(), model.into());
        Pinned(pinned).as_read_back()
    }

    /// The fingerprint of the model that the run began with.
    pub fn model(&self) -> Option<&str> {
        self.0.get("model")?.as_str()
    }

    /// The first value that differs: its name, the value here, the value there.
    fn difference(&self, other: &Pinned) -> Option<(String, String, String)> {
        let names = self.0.keys().chain(other.0.keys());
        let shown = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
        names
            .map(|name| (name.clone(), shown(self.0.get(name)), shown(other.0.get(name))))
            .find(|(_, here, there)| here != there)
    }

    /// As it will be after being written and read, so that both sides of a comparison went the
    /// same way.
    fn as_read_back(&self) -> Pinned {
        let text = serde_json::to_string(self).expect("a map becomes JSON");
        serde_json::from_str(&text).expect("what was just written")
    }
}

impl State {
    /// Writes it as the last file of a checkpoint that is otherwise complete.
    pub fn write(
        step: u64,
        tokens: u64,
        pinned: &Pinned,
        checkpoint: &Path,
    ) -> Result<(), TrainError> {
        let files = fingerprint::of_files(checkpoint)?;
        let state = State { format: FORMAT, step, tokens, pinned: pinned.clone(), files };
        let text = serde_json::to_vec_pretty(&state).expect("plain data becomes JSON");
        durable::write(&path_in(checkpoint), &text)
    }

    /// Reads it; whether the other files are those that were written is not looked at.
    pub fn read(checkpoint: &Path) -> Result<State, TrainError> {
        let path = path_in(checkpoint);
        let text = fs::read(&path).map_err(failed("read", &path))?;
        let state: State = serde_json::from_slice(&text)
            .map_err(|error| bad(checkpoint, &path, error.to_string()))?;
        if state.format != FORMAT {
            let reason = format!("format {}, but this program reads {FORMAT}", state.format);
            return Err(bad(checkpoint, &path, reason));
        }
        Ok(state)
    }

    /// Refuses a run that is to go on with something else than it began with.
    pub fn check_same_run(&self, now: &Pinned, checkpoint: &Path) -> Result<(), TrainError> {
        match self.pinned.difference(now) {
            Some((field, began_with, now)) => {
                let checkpoint = checkpoint.into();
                Err(TrainError::ResumeMismatch { checkpoint, field, began_with, now })
            }
            None => Ok(()),
        }
    }

    /// Reads every file of the checkpoint and compares it with what was written.
    pub fn check_files(&self, checkpoint: &Path) -> Result<(), TrainError> {
        for (name, sha256) in &self.files {
            let path = checkpoint.join(name);
            if !path.exists() {
                return Err(bad(checkpoint, &path, "the file is missing".into()));
            }
            if fingerprint::of_file(&path)? != *sha256 {
                let reason = "the file is damaged or was changed since it was written";
                return Err(bad(checkpoint, &path, reason.into()));
            }
        }
        Ok(())
    }
}

/// Names the file of a checkpoint and what is wrong with it.
pub fn bad(checkpoint: &Path, path: &Path, reason: String) -> TrainError {
    TrainError::BadCheckpoint { checkpoint: checkpoint.into(), path: path.into(), reason }
}

fn path_in(checkpoint: &Path) -> PathBuf {
    checkpoint.join(TRAINER_FOLDER).join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(text: &str) -> Pinned {
        serde_json::from_str(text).unwrap()
    }

    fn checkpoint() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(TRAINER_FOLDER)).unwrap();
        fs::write(folder.path().join("model.safetensors"), b"weights").unwrap();
        State::write(7, 99, &pinned(r#"{"seed":1}"#), folder.path()).unwrap();
        folder
    }

    #[test]
    fn a_state_reads_back_as_written() {
        let state = State::read(checkpoint().path()).unwrap();
        assert_eq!((state.step, state.tokens, state.pinned), (7, 99, pinned(r#"{"seed":1}"#)));
    }

    #[test]
    fn the_differing_field_is_named_with_both_values() {
        let (before, now) = (pinned(r#"{"a":1,"seed":1}"#), pinned(r#"{"a":1,"seed":2}"#));
        let expected = Some(("seed".into(), "1".into(), "2".into()));
        assert_eq!(before.difference(&now), expected);
        assert_eq!(before.difference(&before), None);
    }

    #[test]
    fn a_field_that_only_one_side_has_is_a_difference() {
        let (before, now) = (pinned(r#"{"a":1}"#), pinned(r#"{"a":1,"steps":2}"#));
        let expected = Some(("steps".into(), "nothing".into(), "2".into()));
        assert_eq!(before.difference(&now), expected);
    }

    #[test]
    fn a_changed_or_missing_file_is_named() {
        let folder = checkpoint();
        let weights = folder.path().join("model.safetensors");
        let state = State::read(folder.path()).unwrap();
        state.check_files(folder.path()).unwrap();
        fs::write(&weights, b"weighty").unwrap();
        let message = state.check_files(folder.path()).unwrap_err().to_string();
        assert!(message.contains("model.safetensors: the file is damaged"), "{message}");
        fs::remove_file(&weights).unwrap();
        let message = state.check_files(folder.path()).unwrap_err().to_string();
        assert!(message.contains("model.safetensors: the file is missing"), "{message}");
    }
}
