//! How much text each source holds: documents, bytes, characters, tokens.
//!
//! Counts only; what the figures mean for a run is for the reader to judge.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kollama_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::error::CorpusError;
use crate::reader::documents;

/// What one file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceStatistics {
    /// The file, as it was named or found.
    pub file: String,
    /// Its documents, empty ones included; of a file of ids, its rows.
    pub documents: u64,
    /// UTF-8 bytes of the texts; 0 for a file of ids.
    pub bytes: u64,
    /// Unicode characters (scalar values) of the texts; 0 for a file of ids.
    pub characters: u64,
    /// Ids of the texts, `</s>` not counted; absent where no tokenizer was given.
    pub tokens: Option<u64>,
}

/// Counts what `sources` hold, file by file in reading order; files without any document are
/// left out. `progress` hears after each document how many source bytes are done.
///
/// # Errors
/// Those of [`documents`].
pub fn statistics(
    sources: &[PathBuf],
    tokenizer: Option<&Tokenizer>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<SourceStatistics>, CorpusError> {
    let mut tally = Tally::default();
    let mut stream = documents(sources)?;
    let mut ids = Vec::new();
    while let Some(document) = stream.next() {
        let document = document?;
        let tokens = tokenizer.map(|tokenizer| {
            ids.clear();
            tokenizer.encode(&document.text, &mut ids);
            ids.len()
        });
        tally.add(&document, tokens);
        progress(stream.bytes_read());
    }
    Ok(tally.finish())
}

/// Counts in the making.
#[derive(Default)]
pub(crate) struct Tally {
    files: Vec<SourceStatistics>,
    current: Option<Arc<Path>>,
}

impl Tally {
    /// Counts one document of `tokens` ids.
    pub(crate) fn add(&mut self, document: &Document, tokens: Option<usize>) {
        let file = self.file(&document.file);
        file.documents += 1;
        file.bytes += document.text.len() as u64;
        file.characters += document.text.chars().count() as u64;
        if let Some(tokens) = tokens {
            *file.tokens.get_or_insert(0) += tokens as u64;
        }
    }

    /// The counts of all files.
    pub(crate) fn finish(self) -> Vec<SourceStatistics> {
        self.files
    }

    /// The counts of `path`: documents of a file come one after the other, and a file that was
    /// named twice is counted twice.
    fn file(&mut self, path: &Arc<Path>) -> &mut SourceStatistics {
        if !self.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, path)) {
            self.current = Some(Arc::clone(path));
            let file = path.display().to_string();
            self.files.push(SourceStatistics { file, ..SourceStatistics::default() });
        }
        let last = self.files.len() - 1;
        &mut self.files[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_counted_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "가나 a").unwrap();
        let lines = "{\"text\":\"bc\"}\n{\"text\":\"\"}\n";
        std::fs::write(folder.path().join("b.jsonl"), lines).unwrap();
        let mut heard = Vec::new();
        let mut progress = |bytes| heard.push(bytes);
        let found = statistics(&[folder.path().to_owned()], None, &mut progress).unwrap();
        let figures: Vec<_> =
            found.iter().map(|s| (s.documents, s.bytes, s.characters, s.tokens)).collect();
        assert_eq!(figures, [(1, 8, 4, None), (2, 2, 2, None)]);
        assert!(found[0].file.ends_with("a.txt") && found[1].file.ends_with("b.jsonl"));
        assert_eq!(heard, [8, 34, 34]);
    }
}
