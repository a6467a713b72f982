//! What can be wrong with a corpus or a packed folder: the file, the line, the reason, the cure.
//!
//! Each message is complete in itself: the reason of the operating system is part of the text
//! and not a separate link in the chain of sources.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What is read, in the words of every message that refuses something else.
pub(crate) const READABLE: &str = ".jsonl (one object with a string field `text` a line) and \
     .txt (one document a file), each plain or ending in .gz or .zst, and folders of these";

/// Why texts could not be read, or rows could not be packed or opened.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// A file or folder cannot be opened or read.
    #[error("cannot read {}: {reason}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// A `.gz` or `.zst` file does not unpack.
    #[error(
        "cannot unpack {} after line {line}: {reason}; the file is damaged, cut short, or not \
         what its ending says: fetch or pack it again",
        .path.display()
    )]
    Unpack {
        /// The compressed file.
        path: PathBuf,
        /// The last line that could be read.
        line: u64,
        /// What the decompressor said.
        reason: io::Error,
    },
    /// A file was named whose ending tells no format that is read.
    #[error("{} has an ending that is not read; read are {READABLE}", .path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A folder holds no file that is read.
    #[error("folder {} holds no file that is read; read are {READABLE}", .folder.display())]
    NoReadableFile {
        /// The folder.
        folder: PathBuf,
    },
    /// All sources together hold nothing.
    #[error("nothing to read: {sources} hold no {wanted}")]
    Empty {
        /// The sources, as they were named.
        sources: String,
        /// What was looked for: documents or rows.
        wanted: &'static str,
    },
    /// A line or file is not UTF-8.
    #[error(
        "{}:{line}: byte {byte} of the line is not UTF-8; convert the file first, for example \
         from the older Korean encoding with `iconv -f CP949 -t UTF-8`",
        .file.display()
    )]
    NotUtf8 {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The byte within the line, counted from 1.
        byte: usize,
    },
    /// A line is not the JSON object that was expected.
    #[error("{}:{line}:{column}: expected {expected}: {reason}", .file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The byte within the line, counted from 1.
        column: usize,
        /// The shape that a line has to have.
        expected: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// One document is too large to be held in memory.
    #[error(
        "{}:{line}: one document of more than {limit} bytes; a .txt file is one document and a \
         .jsonl line is one: split it into several",
        .file.display()
    )]
    DocumentTooLarge {
        /// The file.
        file: PathBuf,
        /// The line on which the document begins, counted from 1.
        line: u64,
        /// The most bytes that a document may have.
        limit: u64,
    },
    /// A row that was tokenised elsewhere is not valid.
    #[error("{}:{line}: field `{field}`: {reason}", .file.display())]
    Row {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// `ids`, `labels` or `documents`.
        field: &'static str,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// The sequence length or vocabulary size cannot be packed.
    #[error("{name} is {value}; expected a number from 1 to {}", i32::MAX)]
    SizeOutOfRange {
        /// Which size.
        name: &'static str,
        /// The value given.
        value: usize,
    },
    /// The tokenizer names no `</s>`, so documents cannot be joined.
    #[error("the tokenizer has no end-of-text token; add `</s>` to its special tokens")]
    NoEndOfText,
    /// The corpus does not fill a single row.
    #[error(
        "the corpus has {tokens} tokens; one row of {sequence_length} needs {}: add text or \
         choose a smaller sequence length",
        *.sequence_length as u64 + 1
    )]
    TooFewTokens {
        /// Tokens in the whole stream, one `</s>` a document included.
        tokens: u64,
        /// The ids that a row has.
        sequence_length: usize,
    },
    /// The output is there already.
    #[error("{} exists and is not an empty folder; remove it or choose another output", .path.display())]
    OutputExists {
        /// The output.
        path: PathBuf,
    },
    /// Something cannot be written.
    #[error("cannot write {}: {reason}{}", .path.display(), cure(.reason))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// The `meta.json` of a packed folder is not valid.
    #[error("{}: {reason}; is this the output of `corpus pack`?", .path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A shard does not agree with the `meta.json` beside it.
    #[error("{}: {reason}; the shard is damaged: pack the corpus again or fetch the file again", .path.display())]
    Shard {
        /// The shard file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// Packed rows were made with another tokenizer than the one in use.
    #[error(
        "{} was packed with tokenizer {packed}, but the tokenizer in use is {given}; pack the \
         texts again with the tokenizer of the model",
        .folder.display()
    )]
    OtherTokenizer {
        /// The packed folder.
        folder: PathBuf,
        /// The fingerprint of the tokenizer that made the rows.
        packed: String,
        /// The fingerprint of the tokenizer in use.
        given: String,
    },
}

impl CorpusError {
    /// A reading error that names its file or folder.
    pub(crate) fn read(path: &Path, reason: io::Error) -> Self {
        Self::Read { path: path.to_owned(), reason }
    }

    /// A writing error that names its file or folder.
    pub(crate) fn write(path: &Path, reason: io::Error) -> Self {
        Self::Write { path: path.to_owned(), reason }
    }

    /// A parser's complaint about one line.
    ///
    /// The parser saw one line only and calls it line 1; the true line takes its place.
    pub(crate) fn json(
        file: &Path,
        line: u64,
        expected: &'static str,
        reason: &serde_json::Error,
    ) -> Self {
        let text = reason.to_string();
        let reason_text = text.split(" at line ").next().unwrap_or(&text).to_owned();
        let column = reason.column().max(1);
        Self::Json { file: file.to_owned(), line, column, expected, reason: reason_text }
    }
}

/// What to do about a failed write, where there is something to say.
fn cure(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free space or choose an output on another disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose an output folder that you may write to"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_its_cure() {
        let error = CorpusError::write(Path::new("out"), io::ErrorKind::StorageFull.into());
        let text = error.to_string();
        assert!(text.contains("cannot write out"), "{text}");
        assert!(text.contains("free space"), "{text}");
    }

    #[test]
    fn a_json_error_bears_the_line_of_the_file() {
        let reason = serde_json::from_str::<bool>("  nil").expect_err("not a boolean");
        let error = CorpusError::json(Path::new("a.jsonl"), 7, "a boolean", &reason);
        let text = error.to_string();
        assert!(text.starts_with("a.jsonl:7:4: expected a boolean: "), "{text}");
        assert!(!text.contains("line 1"), "{text}");
    }
}
