//! A little of every source, taken while all of it is read: enough to say how many tokens a
//! character takes, in memory that does not grow with the corpus.
//!
//! The sample is the same for the same texts: of each file the beginnings of documents at even
//! distances.

use kollama_corpus::Document;
use std::path::Path;
use std::sync::Arc;

/// At most so many bytes are taken from a document.
const DOCUMENT_BYTES: usize = 4096;
/// So many documents of a file, or up to twice as many, if it has them.
const DOCUMENTS: usize = 16;
/// Later files share one sample.
const FILES: usize = 200;

/// The samples of all files, in reading order.
#[derive(Default)]
pub struct Samples {
    files: Vec<Sample>,
    current: Option<Arc<Path>>,
}

/// The sample of one file.
pub struct Sample {
    /// The file, as it was named or found.
    pub name: String,
    /// Beginnings of documents.
    pub texts: Vec<String>,
    documents: usize,
    /// Of so many documents one is taken.
    every: usize,
}

impl Samples {
    /// Looks at the next document.
    pub fn add(&mut self, document: &Document) {
        if !self.current.as_ref().is_some_and(|file| Arc::ptr_eq(file, &document.file)) {
            self.current = Some(Arc::clone(&document.file));
            let name = match self.files.len() {
                FILES => "further files".to_owned(),
                _ => document.file.display().to_string(),
            };
            if self.files.len() <= FILES {
                self.files.push(Sample { name, texts: Vec::new(), documents: 0, every: 1 });
            }
        }
        if let Some(sample) = self.files.last_mut() {
            sample.add(&document.text);
        }
    }

    /// The samples, one a file.
    pub fn finish(self) -> Vec<Sample> {
        self.files
    }
}

impl Sample {
    fn add(&mut self, text: &str) {
        let is_due = self.documents.is_multiple_of(self.every);
        self.documents += 1;
        if !is_due {
            return;
        }
        if self.texts.len() == 2 * DOCUMENTS {
            let mut places = 0..;
            self.texts.retain(|_| places.next().is_some_and(|place| place % 2 == 0));
            self.every *= 2;
        }
        self.texts.push(text[..text.floor_char_boundary(DOCUMENT_BYTES)].to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(file: &Arc<Path>, text: String) -> Document {
        Document { text, id: None, file: Arc::clone(file), line: 1 }
    }

    #[test]
    fn documents_are_taken_at_even_distances_and_never_too_many() {
        let file: Arc<Path> = Path::new("a.jsonl").into();
        let mut samples = Samples::default();
        for number in 0..1000 {
            samples.add(&document(&file, number.to_string()));
        }
        let found = samples.finish();
        assert_eq!(found.len(), 1);
        let expected: Vec<String> = (0..1000).step_by(32).map(|n: u32| n.to_string()).collect();
        assert_eq!(found[0].texts, expected);
    }

    #[test]
    fn long_documents_are_cut_between_characters_and_many_files_share() {
        let mut samples = Samples::default();
        for number in 0..300 {
            let file: Arc<Path> = Path::new(&format!("{number}.txt")).into();
            samples.add(&document(&file, "가".repeat(5000)));
        }
        let found = samples.finish();
        assert_eq!(found.len(), FILES + 1);
        assert_eq!(found[FILES].name, "further files");
        assert!(found.iter().all(|sample| sample.texts[0].len() == DOCUMENT_BYTES / 3 * 3));
        assert!(found[FILES].texts.len() > DOCUMENTS);
    }
}
