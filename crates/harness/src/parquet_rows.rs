//! Parquet to rows. Lists become arrays, structures and maps objects, what is missing null; a row
//! is named by its number.

use crate::data_error::DataError;
use crate::rows::Row;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row as Record};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Once};

thread_local! {
    /// Whether what panics on this thread is on its way to become an error.
    static READS: Cell<bool> = const { Cell::new(false) };
}

/// The rows of all row groups.
pub fn rows(file: &Arc<Path>, bytes: Vec<u8>) -> Result<Vec<Row>, DataError> {
    let bad = |reason| DataError::BadParquet { path: file.to_path_buf(), reason };
    let records = without_panic(|| records(bytes)).map_err(bad)?;
    let numbered = records.into_iter().enumerate();
    Ok(numbered.map(|(index, fields)| Row::new(Arc::clone(file), index + 1, fields)).collect())
}

fn records(bytes: Vec<u8>) -> Result<Vec<Map<String, Value>>, ParquetError> {
    let reader = SerializedFileReader::new(Bytes::from(bytes))?;
    reader.get_row_iter(None)?.map(|record| Ok(object(&record?))).collect()
}

/// What `read` returns or the reason why it cannot. The library panics on some damaged files, so
/// that is a reason too, and said once: the usual report of a panic is held back.
fn without_panic<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !READS.get() {
                report(info);
            }
        }));
    });
    READS.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    READS.set(false);
    match result {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its pages contradict each other".to_owned()),
    }
}

fn object(record: &Record) -> Map<String, Value> {
    record.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

/// A field as JSON has it; bytes that are no text are null, for no task of words reads them.
fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::Bool(*truth),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float16(number) => real(f64::from(*number)),
        Field::Float(number) => real(f64::from(*number)),
        Field::Double(number) => real(*number),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => bytes.as_utf8().map_or(Value::Null, Value::from),
        Field::Group(record) => Value::Object(object(record)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => map.entries().iter().map(entry).collect::<Map<_, _>>().into(),
        dated => Value::from(dated.to_string()),
    }
}

fn entry((key, held): &(Field, Field)) -> (String, Value) {
    let key = match value(key) {
        Value::String(text) => text,
        other => other.to_string(),
    };
    (key, value(held))
}

/// A number; what JSON cannot write is null.
fn real(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}
