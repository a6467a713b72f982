//! What can be wrong with the data of a task, each with the place and the cure.

use std::path::{Path, PathBuf};

/// Why rows could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no file for a split.
    #[error("no {split} split: none of {} is in {place}; {cure}", looked_for.join(", "))]
    MissingSplit {
        /// Its names.
        split: String,
        /// What was looked for.
        looked_for: Vec<String>,
        /// Where: folders, or a data set of the hub.
        place: String,
        /// What to do about it.
        cure: String,
    },
    /// Neither a folder nor the hub has the data of a task.
    #[error("its data is not on the hub; give the folder that holds it as --data")]
    NoHub,
    /// A data set of the hub could not be had.
    #[error(transparent)]
    Hub(#[from] kollama_hub::HubError),
    /// A file has a header at most.
    #[error("{}: no rows; is this the whole file?", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// A split is cut into numbered files and one of them is not there.
    #[error("{} is missing, though other parts of the split are there; fetch it too", path.display())]
    MissingPart {
        /// The file.
        path: PathBuf,
    },
    /// A file exists but its bytes cannot be had.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A packed file is cut short, damaged, or not what its name says.
    #[error("{}: cannot be unpacked as {packing}: {source}; fetch it again", path.display())]
    Unpack {
        /// The file.
        path: PathBuf,
        /// `zstd` or `gzip`.
        packing: &'static str,
        /// What the decompressor said.
        source: std::io::Error,
    },
    /// A file unpacks to more than is ever read.
    #[error("{}: more than {} GiB; data of a task is smaller", path.display(), limit >> 30)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// The ending of a name says nothing about how to read the file.
    #[error("{}: not a data file by its name, which must end in {known}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The endings there are.
        known: String,
    },
    /// A file of text is not UTF-8.
    #[error("{}:{line}: not UTF-8; the file must be converted first", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first line with a bad byte, counted from 1.
        line: usize,
    },
    /// Two columns have one name, so that neither can be asked for.
    #[error("{}: two columns are called {column:?}; rename or remove one", path.display())]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// A row is shorter or longer than the header.
    #[error("{}:{line}: {found} fields, expected {expected} as in the header; {cure}", path.display())]
    FieldCount {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
        /// What separates fields, and what protects them.
        cure: &'static str,
    },
    /// The text ends between two quotes.
    #[error("{}:{line}: a quote is opened in this row and never closed; close it, or write a \
             quote within quotes twice", path.display())]
    OpenQuote {
        /// The file.
        path: PathBuf,
        /// The line where the row begins, counted from 1.
        line: usize,
    },
    /// A text is not JSON.
    #[error("{}:{line}:{column}: not JSON: {reason}", path.display())]
    BadJson {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column, in bytes, counted from 1.
        column: usize,
        /// What the parser said.
        reason: String,
    },
    /// Something stands where a row should.
    #[error("{}:{row}: {found} where a row should be; a row is an object: {{\"column\": value}}", path.display())]
    NotARow {
        /// The file.
        path: PathBuf,
        /// The line, or the place in the array, counted from 1.
        row: usize,
        /// What stands there: `a number`.
        found: &'static str,
    },
    /// A parquet file cannot be read.
    #[error("{}: not a whole parquet file: {reason}; fetch it again", path.display())]
    BadParquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
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
}

impl DataError {
    /// A file whose bytes the system does not give.
    pub(crate) fn read(path: &Path, source: std::io::Error) -> DataError {
        DataError::Read { path: path.to_path_buf(), source }
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    names.join(", ")
}
