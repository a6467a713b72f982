//! One line of the log, and the log file: lines are appended, and a resumed run first takes back
//! the lines of steps that its checkpoint does not know.

use crate::durable::{self, failed};
use crate::error::TrainError;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What one optimiser step did. Numbers are written so that they read back bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Number of the step, from 1.
    pub step: u64,
    /// Mean of −log p over all counted labels of the step.
    pub loss: f64,
    /// Global L2 norm of the gradient of all trained weights, before clipping.
    pub grad_norm: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Tokens read since the beginning of the run, this step included.
    pub tokens: u64,
    /// Tokens of this step per second.
    pub tokens_per_second: f64,
    /// Mean of −log p over the evaluation rows, after the step; only where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_loss: Option<f64>,
}

/// How every line begins.
const BEGINNING: &[u8] = br#"{"step":"#;

/// The log file of a run.
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// The log of a run that goes on after `step`, or begins after step 0: lines of later steps, and
    /// a last line that was cut off, are gone.
    ///
    /// # Errors
    /// As [`read`], and if it cannot be written.
    pub fn open(path: &Path, step: u64) -> Result<Log, TrainError> {
        let text = read(path)?;
        let kept: Vec<u8> = text
            .split_inclusive(|&byte| byte == b'\n')
            .filter(|line| step_of(line).is_some_and(|found| found <= step))
            .flatten()
            .copied()
            .collect();
        durable::write(path, &kept)?;
        let file = OpenOptions::new().append(true).open(path).map_err(failed("open", path))?;
        Ok(Log { path: path.into(), file })
    }

    /// Adds a line.
    pub fn append(&mut self, record: &StepRecord) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(record).expect("a struct of numbers becomes JSON");
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed("write", &self.path))
    }

    /// Brings every line to the disk.
    pub fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_all().map_err(failed("write", &self.path))
    }
}

/// The text of a log; empty where there is no file.
///
/// # Errors
/// If it cannot be read, or if it is anything else than a log, which must not be cut.
pub fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    let foreign = |problem: String| Err(TrainError::NoLog { path: path.into(), problem });
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return foreign("is not a regular file".into()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        _ => {}
    }
    let text = fs::read(path).map_err(failed("read", path))?;
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    match lines.position(|line| step_of(line).is_none() && !is_cut_off(line)) {
        Some(place) => foreign(format!("is no log of a run (see line {})", place + 1)),
        None => Ok(text),
    }
}

/// Whether this is the beginning of a line of a log, without its end.
fn is_cut_off(line: &[u8]) -> bool {
    let known = line.len().min(BEGINNING.len());
    line[..known] == BEGINNING[..known] && !line.ends_with(b"\n")
}

/// The step of a whole line; none for a line that was cut off.
fn step_of(line: &[u8]) -> Option<u64> {
    let whole = line.strip_suffix(b"\n")?;
    serde_json::from_slice::<StepRecord>(whole).ok().map(|record| record.step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64) -> StepRecord {
        StepRecord {
            step,
            loss: 10.0 / 3.0,
            grad_norm: 0.1 + 0.2,
            lr: 1e-5,
            tokens: step * 64,
            tokens_per_second: 12.5,
            eval_loss: None,
        }
    }

    #[test]
    fn the_fields_of_a_line_are_those_of_the_contract_in_its_order() {
        let line = serde_json::to_string(&record(1)).unwrap();
        let expected = r#"{"step":1,"loss":3.3333333333333335,"grad_norm":0.30000000000000004,"lr":0.00001,"tokens":64,"tokens_per_second":12.5}"#;
        assert_eq!(line, expected);
        let line = serde_json::to_string(&StepRecord { eval_loss: Some(2.5), ..record(1) });
        assert!(line.unwrap().ends_with(r#","eval_loss":2.5}"#));
    }

    #[test]
    fn a_reopened_log_holds_the_lines_up_to_the_step_and_goes_on_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        let mut log = Log::open(&path, 0).unwrap();
        (1..=5).for_each(|step| log.append(&record(step)).unwrap());
        log.file.write_all(br#"{"step":2,"loss":1.0"#).unwrap();
        drop(log);
        let mut log = Log::open(&path, 3).unwrap();
        log.append(&record(4)).unwrap();
        let steps: Vec<Option<u64>> =
            fs::read(&path).unwrap().split_inclusive(|&byte| byte == b'\n').map(step_of).collect();
        assert_eq!(steps, [Some(1), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn what_is_no_log_is_refused_by_line_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        let line = serde_json::to_string(&record(1)).unwrap();
        for (text, place) in [
            (format!("{line}\ndear diary\n{line}\n"), "line 2"),
            (format!("{line}\n{{\"step\":2\n"), "line 2"),
            ("a line without an end".into(), "line 1"),
        ] {
            fs::write(&path, &text).unwrap();
            let message = Log::open(&path, 9).err().unwrap().to_string();
            assert!(message.contains("notes") && message.contains(place), "{message}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let message = Log::open(folder.path(), 9).err().unwrap().to_string();
        assert!(message.contains("not a regular file"), "{message}");
    }
}
