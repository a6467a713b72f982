//! Why an evaluation could not be done, or its results not be written.

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
    /// There is no file for a split.
    #[error(
        "no {split} split: none of {} is in {}; give the folder that holds it as --data",
        looked_for.join(", "), list(folders)
    )]
    MissingSplit {
        /// Its names.
        split: String,
        /// Every name that was tried.
        looked_for: Vec<String>,
        /// Every folder that was looked at.
        folders: Vec<PathBuf>,
    },
    /// A file exists but its bytes cannot be had (or are not the zstd its name says).
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A table is not UTF-8.
    #[error("{}:{line}: not UTF-8; the table must be converted first", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first line with a bad byte, counted from 1.
        line: usize,
    },
    /// A row lacks a column that the task reads.
    #[error("{}:{row}: no column {column:?}, only {}", path.display(), quoted(found))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The line or the row, counted from 1.
        row: usize,
        /// The column looked for.
        column: String,
        /// The columns there are.
        found: Vec<String>,
    },
    /// A row is shorter or longer than the header.
    #[error(
        "{}:{line}: {found} tab-separated fields, expected {expected} as in the header; \
         quotes do not protect tabs or line ends here",
        path.display()
    )]
    FieldCount {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// A field holds something the task does not know.
    #[error("{}:{row}: column {column:?} holds {value}, expected {expected}", path.display())]
    BadField {
        /// The file.
        path: PathBuf,
        /// The line or the row, counted from 1.
        row: usize,
        /// The column.
        column: String,
        /// What it holds, as JSON.
        value: String,
        /// What it may hold.
        expected: String,
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

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    names.join(", ")
}
