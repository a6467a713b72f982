//! Why an evaluation could not be done, or its results not be written.

use crate::data_error::DataError;
use std::path::PathBuf;

/// What can stop an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// No task has this name.
    #[error("no task is called {name:?}; there are {}", known.join(", "))]
    UnknownTask {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// No mode has this name.
    #[error("no mode is called {name:?}; there are polyglot, leaderboard-v1 and lm-eval")]
    UnknownMode {
        /// The name asked for.
        name: String,
    },
    /// A task file is not one.
    #[error("{origin}: {problem}")]
    TaskFile {
        /// The file, with the line where it has one.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A template of a task file fails on a row.
    #[error("{row}: {origin}, {field}: {problem}")]
    Template {
        /// The data file and the line or the row, counted from 1.
        row: String,
        /// The task file.
        origin: String,
        /// Which template, and its line where it has several.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// The rows of a task could not be had, or hold something the task does not know.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file exists but its bytes cannot be had.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A prompt cannot show more examples than there are.
    #[error("{task}: {shots} shots asked for, but only {pool} examples to draw from")]
    TooManyShots {
        /// The task.
        task: String,
        /// Examples asked for.
        shots: usize,
        /// Examples there are.
        pool: usize,
    },
    /// A task that shows no examples was asked for some.
    #[error("{task}: {shots} shots asked for, but its prompt has its own; ask with --shots 0")]
    NoShots {
        /// The task.
        task: String,
        /// Examples asked for.
        shots: usize,
    },
    /// A model whose window is as short as an answer may be.
    #[error(
        "the model reads {window} tokens at most, but an answer may have {new}, which leaves nothing \
         for the question; leave out the tasks that write"
    )]
    NoRoomForAnswer {
        /// Positions of the model.
        window: usize,
        /// Tokens of the longest answer.
        new: usize,
    },
    /// There is nothing to average over.
    #[error("{what} holds nothing to score; give at least one document, and a limit above 0")]
    NothingToScore {
        /// The task, or the texts.
        what: String,
    },
    /// The model or the tokenizer turned a request away.
    #[error(transparent)]
    Engine(#[from] kollama_engine::EngineError),
    /// Results could not be written; what stood there before is untouched.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of known answers belongs to another process.
    #[error(
        "{}: another evaluation is writing it; wait for that, or name another file",
        path.display()
    )]
    CacheInUse {
        /// The file.
        path: PathBuf,
    },
    /// A file of known answers holds something else.
    #[error(
        "{}:{line}: not a line of a request cache; remove the file to score everything again",
        path.display()
    )]
    BadCache {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A folder has no samples of an evaluation.
    #[error(
        "{}: no samples_*.jsonl in it; give the folder that `eval --out` wrote, or lm-eval with \
         --log_samples",
        folder.display()
    )]
    NoSamples {
        /// The folder.
        folder: PathBuf,
    },
    /// A line of a sample file is no sample.
    #[error("{}:{line}: not a sample: {what}; run the evaluation again", path.display())]
    BadSample {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// Two runs share no task.
    #[error("no task in common: the first run has {a}; the second has {b}")]
    NothingInCommon {
        /// Tasks of the first.
        a: String,
        /// Tasks of the second.
        b: String,
    },
}
