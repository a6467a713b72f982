//! Text files to documents, one at a time: `.jsonl` and `.txt`, plain, gzip or zstd.
//!
//! The whole corpus is never in memory, and nothing of a text is changed. Order is that of the
//! sources, then of names within a folder, then of lines within a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;

use serde::Deserialize;
use serde_json::Value;

use crate::document::Document;
use crate::error::CorpusError;
use crate::json_line;
use crate::lines::Lines;
use crate::source::{Format, SourceFile, SourceFiles};

/// What a line has to be, in the words of the error.
const EXPECTED: &str = "a JSON object with a string field `text`";

/// The documents of `sources` as a stream.
///
/// A source is a file or a folder. A folder stands for its readable files in name order,
/// subfolders included; what else it holds is listed by [`Documents::skipped`].
///
/// # Errors
/// At once: a source that is missing, a file whose ending is not read, a folder without any
/// readable file. From the iterator, which ends there: bytes that are not UTF-8, a malformed
/// line, a damaged archive, or no document at all.
pub fn documents(sources: &[PathBuf]) -> Result<Documents, CorpusError> {
    let found = SourceFiles::find(sources)?;
    Ok(Documents {
        bytes_total: found.files.iter().map(|file| file.bytes).sum(),
        largest_file: found.files.iter().map(|file| file.bytes).max().unwrap_or(0),
        file_bytes: 0,
        bytes_read: Arc::default(),
        skipped: found.skipped,
        files: found.files.into_iter(),
        open: None,
        sources: sources.to_vec(),
        any: false,
        ended: false,
    })
}

/// An iterator over the documents of some sources; made by [`documents`].
pub struct Documents {
    files: vec::IntoIter<SourceFile>,
    open: Option<OpenFile>,
    sources: Vec<PathBuf>,
    skipped: Vec<PathBuf>,
    bytes_total: u64,
    largest_file: u64,
    file_bytes: u64,
    bytes_read: Arc<AtomicU64>,
    any: bool,
    ended: bool,
}

impl Documents {
    /// The length of all source files on disk.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// The length on disk of the largest source file.
    pub fn largest_file(&self) -> u64 {
        self.largest_file
    }

    /// The length on disk of the file that the last document came from.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// How many of these bytes have been read; runs a buffer ahead of the documents.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Files in the source folders that are not read, for example a `README.md`.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// The next document of the open file or of those after it.
    fn advance(&mut self) -> Result<Option<Document>, CorpusError> {
        loop {
            if let Some(open) = &mut self.open
                && let Some(document) = open.next()?
            {
                self.any = true;
                return Ok(Some(document));
            }
            match self.files.next() {
                Some(file) => {
                    self.file_bytes = file.bytes;
                    self.open = Some(OpenFile::open(&file, &self.bytes_read)?);
                }
                None if self.any => return Ok(None),
                None => return Err(self.nothing_found()),
            }
        }
    }

    fn nothing_found(&self) -> CorpusError {
        let names: Vec<_> = self.sources.iter().map(|path| path.display().to_string()).collect();
        let sources = if names.is_empty() { "no sources".to_owned() } else { names.join(", ") };
        CorpusError::Empty { sources, wanted: "documents" }
    }
}

impl Iterator for Documents {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// A file in the midst of being read.
enum OpenFile {
    JsonLines(Lines),
    /// Nothing is left once its one document has been given.
    Text(Option<Lines>),
}

impl OpenFile {
    fn open(file: &SourceFile, bytes_read: &Arc<AtomicU64>) -> Result<Self, CorpusError> {
        let lines = Lines::open(file, bytes_read)?;
        Ok(match file.format {
            Format::JsonLines => Self::JsonLines(lines),
            Format::Text => Self::Text(Some(lines)),
        })
    }

    fn next(&mut self) -> Result<Option<Document>, CorpusError> {
        match self {
            Self::JsonLines(lines) => next_of_json_lines(lines),
            Self::Text(lines) => lines.take().map(only_of_text).transpose(),
        }
    }
}

/// The fields of a line that are read; others are passed over.
#[derive(Deserialize)]
struct TextLine {
    text: String,
    id: Option<Value>,
}

fn next_of_json_lines(lines: &mut Lines) -> Result<Option<Document>, CorpusError> {
    let file = Arc::clone(lines.file());
    let Some((line, content)) = lines.next()? else {
        return Ok(None);
    };
    let parsed: TextLine = json_line::object(content)
        .map_err(|reason| CorpusError::json(&file, line, EXPECTED, &reason))?;
    let id = parsed.id.map(|id| match id {
        Value::String(name) => name,
        other => other.to_string(),
    });
    Ok(Some(Document { text: parsed.text, id, file, line }))
}

fn only_of_text(mut lines: Lines) -> Result<Document, CorpusError> {
    let text = lines.whole()?.to_owned();
    Ok(Document { text, id: None, file: Arc::clone(lines.file()), line: 1 })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn read(path: &Path) -> Result<Vec<Document>, CorpusError> {
        documents(&[path.to_owned()])?.collect()
    }

    fn file_with(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn a_line_gives_its_text_its_id_and_its_number() {
        let content = "{\"text\":\"가\\n나\"}\n\n{\"id\":\"x\",\"text\":\"\",\"more\":[1]}\n\
                       {\"id\":7,\"text\":\"c\"}\n{\"id\":null,\"text\":\"d\"}";
        let (_folder, path) = file_with("a.jsonl", content.as_bytes());
        let found: Vec<_> =
            read(&path).unwrap().into_iter().map(|d| (d.line, d.id, d.text)).collect();
        let expected =
            [(1, None, "가\n나"), (3, Some("x"), ""), (4, Some("7"), "c"), (5, None, "d")];
        assert_eq!(found, expected.map(|(l, id, t)| (l, id.map(str::to_owned), t.to_owned())));
    }

    #[test]
    fn a_text_file_is_one_document_as_it_stands() {
        let (_folder, path) = file_with("a.txt", b"one\n\ntwo\n");
        let found = read(&path).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].text.as_str(), found[0].line), ("one\n\ntwo\n", 1));
    }

    #[test]
    fn malformed_lines_are_named_by_file_line_and_column() {
        for bad in ["{\"text\":", "[\"a\",\"b\"]", "{\"txt\":\"a\"}", "{\"text\":5}", "nonsense"] {
            let (_folder, path) =
                file_with("a.jsonl", format!("{{\"text\":\"a\"}}\n{bad}").as_bytes());
            let text = read(&path).unwrap_err().to_string();
            assert!(text.contains("a.jsonl:2:") && text.contains("`text`"), "{bad}: {text}");
        }
    }

    #[test]
    fn the_stream_ends_at_the_first_error() {
        let (_folder, path) = file_with("a.jsonl", b"{\"text\":\"a\"}\n{\n{\"text\":\"b\"}\n");
        let mut stream = documents(&[path]).unwrap();
        assert!(stream.next().unwrap().is_ok());
        assert!(stream.next().unwrap().is_err());
        assert!(stream.next().is_none());
    }

    #[test]
    fn no_document_at_all_is_an_error() {
        let (_folder, path) = file_with("empty.jsonl", b"\n\n");
        let error = read(&path).unwrap_err();
        assert!(matches!(error, CorpusError::Empty { wanted: "documents", .. }), "{error:?}");
        let error = documents(&[]).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("no sources"), "{error}");
    }

    #[test]
    fn damaged_archives_are_named() {
        let whole = zstd::encode_all(&b"{\"text\":\"a\"}\n".repeat(999)[..], 1).unwrap();
        let cases: [(&str, &[u8]); 4] = [
            ("cut.jsonl.zst", &whole[..whole.len() - 3]),
            ("not.jsonl.zst", b"{\"text\":\"plain\"}"),
            ("not.txt.gz", b"plain text"),
            ("cut.txt.gz", b"\x1f\x8b\x08\x00\x00"),
        ];
        for (name, content) in cases {
            let (_folder, path) = file_with(name, content);
            let error = read(&path).unwrap_err();
            assert!(matches!(error, CorpusError::Unpack { .. }), "{name}: {error:?}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn progress_reaches_the_length_of_the_files() {
        let (_folder, path) = file_with("a.jsonl", b"{\"text\":\"a\"}\n");
        let mut stream = documents(&[path]).unwrap();
        assert_eq!((stream.bytes_read(), stream.bytes_total()), (0, 13));
        stream.by_ref().for_each(drop);
        assert_eq!(stream.bytes_read(), 13);
    }
}
