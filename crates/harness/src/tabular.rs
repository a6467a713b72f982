//! Tables of text to rows: a header, then lines with as many fields, all of them strings.
//!
//! With quotes as RFC 4180 has them, so that a quoted field may hold separators and line ends; or
//! without, as KoBEST is written: there `"` is a character like any other (some sentences begin with
//! one). Blanks around a field stay in both, for they are part of prompts whose scores are published.

use crate::data_error::DataError;
use crate::rows::Row;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// A line number, counted from 1, and the fields that begin there.
type Record = (usize, Vec<String>);

/// A last line that no file has; without it, the reader below would take the end of the text for
/// the end of a quote.
const LAST_LINE: &str = "\n\0end of text";

/// The rows of a table; empty lines are passed over.
pub fn rows(
    file: &Arc<Path>,
    text: &str,
    delimiter: u8,
    quotes: bool,
) -> Result<Vec<Row>, DataError> {
    let records = if quotes { quoted(file, text, delimiter)? } else { plain(text, delimiter) };
    let mut records = records.into_iter();
    let header = records.next().map(|(_, header)| header).unwrap_or_default();
    check_names(file, &header)?;
    records.map(|(line, fields)| row(file, line, &header, fields, quotes)).collect()
}

fn row(
    file: &Arc<Path>,
    line: usize,
    header: &[String],
    fields: Vec<String>,
    quotes: bool,
) -> Result<Row, DataError> {
    if fields.len() != header.len() {
        return Err(DataError::FieldCount {
            path: file.to_path_buf(),
            line,
            expected: header.len(),
            found: fields.len(),
            cure: match quotes {
                true => "a field that holds the separator or a line end must stand in \"quotes\"",
                false => "quotes do not protect separators or line ends here",
            },
        });
    }
    let values = fields.into_iter().map(Value::String);
    Ok(Row::new(Arc::clone(file), line, header.iter().cloned().zip(values).collect()))
}

fn check_names(file: &Path, header: &[String]) -> Result<(), DataError> {
    let twice = header.iter().enumerate().find(|(index, name)| header[..*index].contains(name));
    match twice {
        None => Ok(()),
        Some((_, name)) => {
            Err(DataError::DuplicateColumn { path: file.to_path_buf(), column: name.clone() })
        }
    }
}

/// Lines that end with LF or CRLF, cut at every delimiter.
fn plain(text: &str, delimiter: u8) -> Vec<Record> {
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            (index + 1, line.split(char::from(delimiter)).map(str::to_owned).collect())
        })
        .collect()
}

fn quoted(file: &Path, text: &str, delimiter: u8) -> Result<Vec<Record>, DataError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(text.as_bytes().chain(LAST_LINE.as_bytes()));
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| DataError::read(file, error.into()))?;
        let line = record.position().map_or(0, csv::Position::line) as usize;
        records.push((line, record.iter().map(str::to_owned).collect::<Vec<String>>()));
    }
    match records.pop() {
        Some((_, fields)) if fields == [LAST_LINE.trim_start()] => Ok(records),
        last => {
            let line = last.map_or(0, |(line, _)| line);
            Err(DataError::OpenQuote { path: file.to_path_buf(), line })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str, delimiter: u8, quotes: bool) -> Result<Vec<Row>, DataError> {
        rows(&Path::new("a.tsv").into(), text, delimiter, quotes)
    }

    fn column(rows: &[Row], name: &str) -> Vec<String> {
        rows.iter().map(|row| row.text(name).unwrap().to_owned()).collect()
    }

    #[test]
    fn without_quotes_line_ends_go_while_quotes_and_outer_blanks_stay() {
        let table = table("A\tB\r\n\"x\t y \r\n\r\nz\"\"\t\"\n", b'\t', false).unwrap();
        assert_eq!(column(&table, "A"), ["\"x", "z\"\""]);
        assert_eq!(column(&table, "B"), [" y ", "\""]);
    }

    #[test]
    fn with_quotes_a_field_may_hold_separators_line_ends_and_quotes() {
        let text = "A,B\r\n\"x, \"\"y\"\"\", z \r\n\n\"one\r\ntwo\",\"\"\n";
        let table = table(text, b',', true).unwrap();
        assert_eq!(column(&table, "A"), ["x, \"y\"", "one\r\ntwo"]);
        assert_eq!(column(&table, "B"), [" z ", ""]);
    }

    #[test]
    fn a_last_line_needs_no_end() {
        for quotes in [true, false] {
            assert_eq!(column(&table("A\nx", b'\t', quotes).unwrap(), "A"), ["x"]);
        }
        assert_eq!(column(&table("A\n\"x\"", b'\t', true).unwrap(), "A"), ["x"]);
    }

    #[test]
    fn a_row_of_another_width_is_named_by_the_line_where_it_begins() {
        let plain = table("A\tB\n1\t2\n\n3\n", b'\t', false).unwrap_err().to_string();
        assert!(plain.contains("a.tsv:4: 1 fields, expected 2"), "{plain}");
        let quoted = table("A\tB\n\"1\n\"\t2\n3\t4\t5\n", b'\t', true).unwrap_err().to_string();
        assert!(quoted.contains("a.tsv:4: 3 fields, expected 2"), "{quoted}");
        assert_ne!(plain.split(';').nth(1), quoted.split(';').nth(1), "each has its own cure");
    }

    #[test]
    fn a_quote_that_is_never_closed_is_named_by_the_line_where_its_row_begins() {
        let message = table("A\tB\n1\t2\n3\t\"4\n5\t6\n", b'\t', true).unwrap_err().to_string();
        assert!(message.contains("a.tsv:3: a quote is opened"), "{message}");
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        for quotes in [true, false] {
            let message = table("A\tB\tA\n1\t2\t3\n", b'\t', quotes).unwrap_err().to_string();
            assert!(message.contains("two columns are called \"A\""), "{message}");
        }
    }
}
