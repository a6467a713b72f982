//! Lists and records inside a column, as the data sets of the leaderboard have them. Whatever is
//! not as expected is an error that names the row and the column.

use crate::error::HarnessError;
use crate::rows::Row;
use serde_json::Value;

/// The texts of a list, at least one; `expected` says in an error what should have stood there.
pub fn texts<'r>(
    row: &'r Row,
    column: &str,
    list: Option<&'r Value>,
    expected: &str,
) -> Result<Vec<&'r str>, HarnessError> {
    let list = list.and_then(Value::as_array).filter(|list| !list.is_empty());
    let texts = list.and_then(|list| list.iter().map(Value::as_str).collect());
    texts.ok_or_else(|| row.bad(column, expected))
}

/// The same field of each record of a list.
pub fn of_each<'r>(
    row: &'r Row,
    column: &str,
    list: Option<&'r Value>,
    field: &str,
    expected: &str,
) -> Result<Vec<&'r str>, HarnessError> {
    let list = list.and_then(Value::as_array).filter(|list| !list.is_empty());
    let texts = list.and_then(|list| list.iter().map(|entry| entry[field].as_str()).collect());
    texts.ok_or_else(|| row.bad(column, expected))
}
