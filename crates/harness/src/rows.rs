//! One row of a data file: columns by name, each value as JSON has it, and the place it came from,
//! so that whoever finds a value wrong can say where it stands. How files become rows is a matter
//! of the readers ([`crate::row_files`]).

use crate::data_error::DataError;
use crate::error::HarnessError;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

/// One row. Tables of text hold strings only; other formats hold what JSON can say.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    file: Arc<Path>,
    number: usize,
    fields: Map<String, Value>,
}

impl Row {
    /// The row that stands at `number` of `file`: the line where the format has lines, else the row,
    /// both counted from 1.
    pub fn new(file: Arc<Path>, number: usize, fields: Map<String, Value>) -> Row {
        Row { file, number, fields }
    }

    /// All columns, in the order of the file.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// What stands under `column`.
    pub fn value(&self, column: &str) -> Result<&Value, HarnessError> {
        self.fields.get(column).ok_or_else(|| {
            let found = self.fields.keys().cloned().collect();
            let (path, column) = (self.file.to_path_buf(), column.to_owned());
            DataError::MissingColumn { path, row: self.number, column, found }.into()
        })
    }

    /// The text under `column`, blanks and all.
    pub fn text(&self, column: &str) -> Result<&str, HarnessError> {
        self.value(column)?.as_str().ok_or_else(|| self.bad(column, "a text"))
    }

    /// Its file and its number, as errors begin with them.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.number)
    }

    /// The position of the value (as text, blanks around it and the case of its letters apart) among
    /// `words`; `expected` says what they are. The number 1 is the word `1`, true is `true`.
    pub fn one_of(
        &self,
        column: &str,
        words: &[&str],
        expected: &str,
    ) -> Result<usize, HarnessError> {
        let written = written(self.value(column)?);
        let index = words.iter().position(|word| word.eq_ignore_ascii_case(written.trim()));
        index.ok_or_else(|| self.bad(column, expected))
    }

    /// The whole number below `count` under `column`, written as a number or as text.
    pub fn index(&self, column: &str, count: usize) -> Result<usize, HarnessError> {
        let written = written(self.value(column)?);
        let index = written.trim().parse().ok().filter(|&index: &usize| index < count);
        let bounds = || format!("a whole number from 0 to {}", count.saturating_sub(1));
        index.ok_or_else(|| self.bad(column, &bounds()))
    }

    /// The error of a value that is not what was `expected`.
    pub fn bad(&self, column: &str, expected: &str) -> HarnessError {
        let value = shown(self.fields.get(column).unwrap_or(&Value::Null));
        let (path, column) = (self.file.to_path_buf(), column.to_owned());
        let expected = expected.to_owned();
        DataError::BadField { path, row: self.number, column, value, expected }.into()
    }
}

/// A text as it stands, anything else as JSON writes it.
fn written(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// A value as an error shows it: JSON, and no more of it than a line.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(fields: Value) -> Row {
        let Value::Object(fields) = fields else { panic!("a row is an object") };
        Row::new(Path::new("a.jsonl").into(), 7, fields)
    }

    #[test]
    fn a_missing_column_is_answered_with_the_columns_there_are() {
        let message = row(json!({"a": 1, "b": 2})).value("c").unwrap_err().to_string();
        assert!(message.starts_with("a.jsonl:7: no column \"c\""), "{message}");
        assert!(message.contains("\"a\", \"b\""), "{message}");
    }

    #[test]
    fn a_text_keeps_its_blanks_and_a_number_is_no_text() {
        let row = row(json!({"a": " x ", "n": 3}));
        assert_eq!(row.text("a").unwrap(), " x ");
        let message = row.text("n").unwrap_err().to_string();
        assert!(message.ends_with("column \"n\" holds 3, expected a text"), "{message}");
    }

    #[test]
    fn a_word_is_found_without_its_blanks_and_a_number_by_its_digits() {
        let row = row(json!({"a": " 2 ", "n": 2, "b": true, "c": "no", "d": "TRUE"}));
        assert_eq!(row.one_of("a", &["1", "2"], "1 or 2").unwrap(), 1);
        assert_eq!(row.one_of("n", &["1", "2"], "1 or 2").unwrap(), 1);
        assert_eq!(row.one_of("b", &["false", "true"], "true or false").unwrap(), 1);
        assert_eq!(row.one_of("d", &["false", "true"], "true or false").unwrap(), 1);
        let message = row.one_of("c", &["1", "2"], "1 or 2").unwrap_err().to_string();
        assert!(message.ends_with("column \"c\" holds \"no\", expected 1 or 2"), "{message}");
    }

    #[test]
    fn a_label_out_of_range_is_refused_with_the_range() {
        let row = row(json!({"a": 3, "b": "3 ", "c": 4, "d": -1, "e": null}));
        assert_eq!((row.index("a", 4).unwrap(), row.index("b", 4).unwrap()), (3, 3));
        for column in ["c", "d", "e"] {
            let message = row.index(column, 4).unwrap_err().to_string();
            assert!(message.ends_with("expected a whole number from 0 to 3"), "{message}");
        }
    }

    #[test]
    fn an_error_shows_the_beginning_of_a_long_value() {
        let message = row(json!({"a": "가".repeat(200)})).bad("a", "less").to_string();
        assert!(message.contains("가…, expected less") && message.len() < 400, "{message}");
    }
}
