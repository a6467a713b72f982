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
    /// A task's data has no file for one of its splits.
    #[error(
        "{task} has no {split} split: none of {} exists; give the folder that holds them as --data",
        list(looked_for)
    )]
    MissingSplit {
        /// The task.
        task: &'static str,
        /// `train` or `test`.
        split: &'static str,
        /// Every path that was tried.
        looked_for: Vec<PathBuf>,
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
    /// A table lacks a column that the task reads.
    #[error(
        "{}: no column {column:?} in the header, which has {found:?}; \
         columns are tab-separated and named as in KoBEST v1.0",
        path.display()
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column looked for.
        column: &'static str,
        /// The header.
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
    #[error("{}:{line}: column {column:?} holds {value:?}, expected {expected}", path.display())]
    BadField {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// A prompt cannot show more examples than there are.
    #[error("{task}: {shots} shots asked for, but its train split has only {pool} rows")]
    TooManyShots {
        /// The task.
        task: &'static str,
        /// Examples asked for.
        shots: usize,
        /// Examples there are.
        pool: usize,
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
