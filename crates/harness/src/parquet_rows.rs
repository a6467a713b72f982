//! Parquet to rows. Lists become arrays, structures and maps objects, what is missing null; a row
//! is named by its number.

use crate::data_error::DataError;
use crate::rows::Row;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row as Record};
use serde_json::{Map, Number, Value};
use std::path::Path;
use std::sync::Arc;

/// The rows of all row groups.
pub fn rows(file: &Arc<Path>, bytes: Vec<u8>) -> Result<Vec<Row>, DataError> {
    let bad = |reason: ParquetError| DataError::BadParquet {
        path: file.to_path_buf(),
        reason: reason.to_string(),
    };
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(bad)?;
    let records = reader.get_row_iter(None).map_err(bad)?;
    let numbered = records.enumerate();
    numbered
        .map(|(index, record)| {
            Ok(Row::new(Arc::clone(file), index + 1, object(&record.map_err(bad)?)))
        })
        .collect()
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
