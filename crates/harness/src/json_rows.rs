//! JSON to rows: an object a line, or an array of objects. Values stay what they are.

use crate::data_error::DataError;
use crate::rows::Row;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// The rows of a `.json` file: the objects of one array, or, as many such files are written, an
/// object a line.
pub fn rows(file: &Arc<Path>, text: &str) -> Result<Vec<Row>, DataError> {
    if !text.trim_start().starts_with('[') {
        return lines(file, text);
    }
    let values: Vec<Value> = serde_json::from_str(text).map_err(|error| bad(file, 0, &error))?;
    let numbered = values.into_iter().enumerate();
    numbered.map(|(index, value)| row(file, index + 1, value)).collect()
}

/// The rows of a `.jsonl` file; blank lines are passed over.
pub fn lines(file: &Arc<Path>, text: &str) -> Result<Vec<Row>, DataError> {
    let lines = text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let value = serde_json::from_str(line).map_err(|error| bad(file, index, &error))?;
            row(file, index + 1, value)
        })
        .collect()
}

fn row(file: &Arc<Path>, number: usize, value: Value) -> Result<Row, DataError> {
    let found = match value {
        Value::Object(fields) => return Ok(Row::new(Arc::clone(file), number, fields)),
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
    };
    Err(DataError::NotARow { path: file.to_path_buf(), row: number, found })
}

/// What is wrong, and where: `before` lines stand above the parsed text.
fn bad(file: &Path, before: usize, error: &serde_json::Error) -> DataError {
    let reason = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    DataError::BadJson {
        path: file.to_path_buf(),
        line: before + error.line(),
        column: error.column(),
        reason: reason.strip_suffix(&place).unwrap_or(&reason).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Vec<Row>, DataError> {
        rows(&Path::new("a.json").into(), text)
    }

    #[test]
    fn an_array_and_lines_hold_the_same_rows() {
        let array = read(" [{\"a\": 1},\n {\"a\": [2, \"가\"]}]").unwrap();
        let lines = read("{\"a\": 1}\r\n \n{\"a\": [2, \"가\"]}").unwrap();
        for rows in [&array, &lines] {
            assert_eq!(rows[0].value("a").unwrap(), &json!(1));
            assert_eq!(rows[1].value("a").unwrap(), &json!([2, "가"]));
        }
        assert!(array[1].bad("a", "x").to_string().contains("a.json:2:"), "by its place");
        assert!(lines[1].bad("a", "x").to_string().contains("a.json:3:"), "by its line");
    }

    #[test]
    fn a_mistake_is_found_by_line_and_column() {
        let message = read("{\"a\": 1}\n\n{\"a\": x}\n").unwrap_err().to_string();
        assert_eq!(message, "a.json:3:7: not JSON: expected value");
        let message = read("[{\"a\": 1},\n {\"a\" 1}]").unwrap_err().to_string();
        assert_eq!(message, "a.json:2:7: not JSON: expected `:`");
        let message = read("[{\"a\": 1},").unwrap_err().to_string();
        assert!(message.contains("not JSON: EOF"), "{message}");
    }

    #[test]
    fn what_is_no_object_is_no_row() {
        for (text, place) in [("{}\n3\n", "a.json:2: a number"), ("[{}, null]", "a.json:2: null")] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.starts_with(place), "{message}");
        }
    }
}
