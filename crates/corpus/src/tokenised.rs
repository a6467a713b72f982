//! Rows that were tokenised elsewhere: one JSON object a line, checked number by number.
//!
//! ```text
//! {"ids": [5, 6, 2, 7], "labels": [6, 2, -100, -100], "documents": [0, 0, 0, 1]}
//! ```
//!
//! `labels` are already moved by one and may be left out: then each position predicts the next
//! id of its own document, and the last position nothing. `documents` may be left out of all
//! rows. Writing the rows is not done here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::CorpusError;
use crate::json_line;
use crate::lines::Lines;
use crate::row::{DocumentMode, NOT_COUNTED, RowLayout, StoredLabels, next_labels};
use crate::source::{Format, SourceFile};

/// What a line has to be, in the words of the error.
const EXPECTED: &str =
    "a JSON object with the list `ids` and, if wanted, the lists `labels` and `documents`";

/// A line as it stands; wide numbers, so that a wrong one can be shown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    ids: Vec<i64>,
    labels: Option<Vec<i64>>,
    documents: Option<Vec<i64>>,
}

/// The rows of a file, one at a time.
pub(crate) struct TokenisedRows {
    lines: Lines,
    vocab_size: usize,
    /// As the first row has it; all others have to be alike.
    layout: Option<RowLayout>,
    words: Vec<u32>,
}

impl TokenisedRows {
    /// Opens `file`, a `.jsonl`, plain or packed.
    pub(crate) fn open(file: &Path, vocab_size: usize) -> Result<Self, CorpusError> {
        let source = SourceFile::named(file)?;
        if source.format != Format::JsonLines {
            return Err(CorpusError::UnknownFormat { path: file.to_owned() });
        }
        let lines = Lines::open(&source, &Arc::default())?;
        Ok(Self { lines, vocab_size, layout: None, words: Vec::new() })
    }

    /// The next row with its layout, which is the same for all; nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(RowLayout, &[u32])>, CorpusError> {
        let file = self.lines.file().to_path_buf();
        let Some((line, content)) = self.lines.next()? else {
            return Ok(None);
        };
        let place = Place { file, line };
        let fields = parse(content, &place)?;
        let layout = fields.layout();
        if layout.sequence_length == 0 {
            return Err(place.field("ids", "is empty; expected at least one id".to_owned()));
        }
        check_alike(self.layout.unwrap_or(layout), layout, &place)?;
        self.layout = Some(layout);
        self.words.clear();
        fields.append(&mut self.words, self.vocab_size, &place)?;
        Ok(Some((layout, &self.words)))
    }
}

/// Where a row stands, for its errors.
struct Place {
    file: PathBuf,
    line: u64,
}

impl Place {
    fn field(&self, field: &'static str, reason: String) -> CorpusError {
        CorpusError::Row { file: self.file.clone(), line: self.line, field, reason }
    }
}

/// The fields of a line; if it does not parse, an error that names the field at fault.
fn parse(content: &str, place: &Place) -> Result<Fields, CorpusError> {
    json_line::object(content).map_err(|reason| {
        let object: Map<String, Value> = json_line::object(content).unwrap_or_default();
        let at_fault = ["ids", "labels", "documents"].into_iter().find_map(|field| {
            let list = Vec::<i64>::deserialize(object.get(field)?);
            Some((field, list.err()?))
        });
        match at_fault {
            Some((field, reason)) => {
                place.field(field, format!("expected a list of whole numbers: {reason}"))
            }
            None => CorpusError::json(&place.file, place.line, EXPECTED, &reason),
        }
    })
}

/// Refuses a row that is shaped unlike the first one.
fn check_alike(first: RowLayout, row: RowLayout, place: &Place) -> Result<(), CorpusError> {
    if row.sequence_length != first.sequence_length {
        return Err(place.field(
            "ids",
            format!(
                "has {} ids; expected {} as in the first row",
                row.sequence_length, first.sequence_length
            ),
        ));
    }
    if row.documents != first.documents {
        let reason = "is in some rows and not in others; expected in all or in none";
        return Err(place.field("documents", reason.to_owned()));
    }
    Ok(())
}

impl Fields {
    fn layout(&self) -> RowLayout {
        let documents = match self.documents {
            Some(_) => DocumentMode::Confine,
            None => DocumentMode::Join,
        };
        RowLayout { sequence_length: self.ids.len(), labels: StoredLabels::All, documents }
    }

    /// Checks all numbers and appends them as the words of a row.
    fn append(
        &self,
        words: &mut Vec<u32>,
        vocab_size: usize,
        place: &Place,
    ) -> Result<(), CorpusError> {
        let ids = self.checked_ids(vocab_size, place)?;
        let documents = self.checked_documents(place)?;
        let labels = match &self.labels {
            Some(labels) => checked_labels(labels, ids.len(), vocab_size, place)?,
            None => next_labels(&ids, documents.as_deref(), NOT_COUNTED),
        };
        words.extend(ids);
        words.extend(labels.into_iter().map(i32::cast_unsigned));
        words.extend(documents.unwrap_or_default());
        Ok(())
    }

    fn checked_ids(&self, vocab_size: usize, place: &Place) -> Result<Vec<u32>, CorpusError> {
        let below = |id| is_id(id, vocab_size);
        if let Some((at, id)) = first_not(&self.ids, below) {
            let reason = format!("number {at} is {id}; expected 0 to {}", vocab_size - 1);
            return Err(place.field("ids", reason));
        }
        Ok(self.ids.iter().map(|&id| id as u32).collect())
    }

    fn checked_documents(&self, place: &Place) -> Result<Option<Vec<u32>>, CorpusError> {
        let Some(documents) = &self.documents else {
            return Ok(None);
        };
        check_length("documents", documents, self.ids.len(), place)?;
        if let Some((at, number)) = first_not(documents, |number| u32::try_from(number).is_ok()) {
            let reason = format!("number {at} is {number}; expected 0 to {}", u32::MAX);
            return Err(place.field("documents", reason));
        }
        check_contiguous(documents, place)?;
        Ok(Some(documents.iter().map(|&number| number as u32).collect()))
    }
}

fn checked_labels(
    labels: &[i64],
    length: usize,
    vocab_size: usize,
    place: &Place,
) -> Result<Vec<i32>, CorpusError> {
    check_length("labels", labels, length, place)?;
    let valid = |label| label == i64::from(NOT_COUNTED) || is_id(label, vocab_size);
    if let Some((at, label)) = first_not(labels, valid) {
        let last = vocab_size - 1;
        let reason = format!("number {at} is {label}; expected {NOT_COUNTED} or 0 to {last}");
        return Err(place.field("labels", reason));
    }
    Ok(labels.iter().map(|&label| label as i32).collect())
}

fn is_id(number: i64, vocab_size: usize) -> bool {
    usize::try_from(number).is_ok_and(|id| id < vocab_size)
}

/// The first number that is not `valid`, with its place counted from 1.
fn first_not(numbers: &[i64], valid: impl Fn(i64) -> bool) -> Option<(usize, i64)> {
    let at = numbers.iter().position(|&number| !valid(number))?;
    Some((at + 1, numbers[at]))
}

fn check_length(
    field: &'static str,
    numbers: &[i64],
    length: usize,
    place: &Place,
) -> Result<(), CorpusError> {
    if numbers.len() == length {
        return Ok(());
    }
    let found = numbers.len();
    Err(place.field(field, format!("has {found} numbers; expected {length}, one for each id")))
}

/// Refuses a document that ends and comes back.
fn check_contiguous(documents: &[i64], place: &Place) -> Result<(), CorpusError> {
    let mut numbers: Vec<i64> = documents.to_vec();
    numbers.dedup();
    numbers.sort_unstable();
    match numbers.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(place.field(
            "documents",
            format!(
                "document {} comes back after another; expected equal numbers side by side",
                pair[0]
            ),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Words = Vec<Vec<u32>>;

    const NONE: u32 = NOT_COUNTED.cast_unsigned();

    fn read(content: &str) -> Result<(Words, Option<RowLayout>), CorpusError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, content).unwrap();
        let mut rows = TokenisedRows::open(&path, 10)?;
        let mut found = Vec::new();
        while let Some((_, words)) = rows.next()? {
            found.push(words.to_vec());
        }
        Ok((found, rows.layout))
    }

    #[test]
    fn labels_that_are_left_out_are_the_next_ids() {
        let (rows, layout) =
            read("{\"ids\":[5,6,7]}\n\n{\"ids\":[1,2,3],\"labels\":[-100,0,9]}").unwrap();
        assert_eq!(rows, [[5, 6, 7, 6, 7, NONE], [1, 2, 3, NONE, 0, 9]]);
        assert_eq!(layout.unwrap().words(), 6);
    }

    #[test]
    fn labels_that_are_left_out_stay_inside_documents() {
        let (rows, _) = read("{\"documents\":[4,4,0,0],\"ids\":[5,6,7,8]}").unwrap();
        assert_eq!(rows, [[5, 6, 7, 8, 6, NONE, 8, NONE, 4, 4, 0, 0]]);
    }

    #[test]
    fn every_fault_is_named_by_line_and_field() {
        let good = "{\"ids\":[1,2],\"documents\":[0,0]}\n";
        let cases = [
            ("{\"ids\":[1,10],\"documents\":[0,0]}", "`ids`: number 2 is 10; expected 0 to 9"),
            ("{\"ids\":[-1,1],\"documents\":[0,0]}", "`ids`: number 1 is -1"),
            ("{\"ids\":[1,1.5],\"documents\":[0,0]}", "`ids`: expected a list of whole numbers"),
            ("{\"ids\":\"1\",\"documents\":[0,0]}", "`ids`: expected a list of whole numbers"),
            ("{\"ids\":[],\"documents\":[]}", "`ids`: is empty"),
            ("{\"ids\":[1],\"documents\":[0]}", "`ids`: has 1 ids; expected 2"),
            ("{\"ids\":[1,2]}", "`documents`: is in some rows"),
            ("{\"ids\":[1,2],\"documents\":[0]}", "`documents`: has 1 numbers; expected 2"),
            ("{\"ids\":[1,2],\"documents\":[0,-1]}", "`documents`: number 2 is -1"),
            ("{\"ids\":[1,2],\"documents\":[0,0],\"labels\":[1]}", "`labels`: has 1 numbers"),
            (
                "{\"ids\":[1,2],\"documents\":[0,0],\"labels\":[-1,1]}",
                "`labels`: number 1 is -1; expected -100 or 0 to 9",
            ),
            ("{\"ids\":[1,2],\"documents\":[0,0],\"labels\":[1,10]}", "`labels`: number 2 is 10"),
            ("{\"documents\":[0,0]}", "missing field `ids`"),
            ("{\"ids\":[1,2],\"attention_mask\":[1,1]}", "`attention_mask`"),
            ("[[1,2],null,[0,0]]", "expected a JSON object"),
            ("{\"ids\":[1,2", "expected a JSON object"),
        ];
        for (bad, expected) in cases {
            let text = read(&format!("{good}{bad}\n")).unwrap_err().to_string();
            assert!(text.contains("rows.jsonl:2:") && text.contains(expected), "{bad}: {text}");
        }
    }

    #[test]
    fn a_document_that_comes_back_is_refused() {
        let error = read("{\"ids\":[1,2,3],\"documents\":[3,0,3]}").unwrap_err();
        assert!(error.to_string().contains("document 3 comes back"), "{error}");
    }
}
