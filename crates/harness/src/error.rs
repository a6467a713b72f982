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
    /// A results file of an earlier evaluation is not what this program writes.
    #[error("{}: not a results file: {source}; run the evaluation again", path.display())]
    BadResults {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
}
