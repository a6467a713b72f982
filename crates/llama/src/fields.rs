//! Reads single fields of `config.json` and says what is wrong with them. Knows neither the file nor
//! what the numbers mean.

use serde_json::{Map, Value};

/// What is wrong with a field; the file is added by whoever knows it.
pub type Problem = (&'static str, String);

/// The problem with a field, unless all is well.
pub fn ensure(
    holds: bool,
    field: &'static str,
    problem: impl FnOnce() -> String,
) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err((field, problem())) }
}

/// A field that counts something; `null` is as good as absent.
pub fn size(
    fields: &Map<String, Value>,
    field: &'static str,
    default: Option<usize>,
) -> Result<usize, Problem> {
    match fields.get(field) {
        None | Some(Value::Null) => default.ok_or((field, "is missing".into())),
        Some(value) => match value.as_u64() {
            Some(size) if size > 0 => Ok(size as usize),
            _ => Err((field, format!("is {value}: expected a whole number of at least 1"))),
        },
    }
}

/// A field that is a number.
pub fn number(
    fields: &Map<String, Value>,
    field: &'static str,
    default: f64,
) -> Result<f64, Problem> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_f64().ok_or((field, format!("is {value}: expected a number"))),
    }
}

/// A field that is true or false; absent means false.
pub fn flag(fields: &Map<String, Value>, field: &'static str) -> Result<bool, Problem> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => {
            value.as_bool().ok_or((field, format!("is {value}: expected true or false")))
        }
    }
}

/// A field that holds a token id, a list of them, or `null`.
pub fn id(
    fields: &Map<String, Value>,
    field: &'static str,
    default: u32,
) -> Result<Option<u32>, Problem> {
    match fields.get(field) {
        None => Ok(Some(default)),
        Some(value) => first_id(Some(value)).ok_or_else(|| {
            (field, format!("is {value}: expected a token id, a list of them or null"))
        }),
    }
}

/// The id, or the first of a list; `None` where the value is neither nor `null`.
pub fn first_id(value: Option<&Value>) -> Option<Option<u32>> {
    match value? {
        Value::Null => Some(None),
        Value::Array(ids) => first_id(ids.first()),
        value => Some(Some(u32::try_from(value.as_u64()?).ok()?)),
    }
}

/// transformers 5 writes it inside `rope_parameters`, transformers 4 beside the other fields.
pub fn rope_theta(fields: &Map<String, Value>) -> Result<f64, Problem> {
    match fields.get("rope_parameters").and_then(Value::as_object) {
        Some(rope) if rope.contains_key("rope_theta") => number(rope, "rope_theta", 10_000.0),
        _ => number(fields, "rope_theta", 10_000.0),
    }
}

/// The `f64` that prints as shortly as the `f32` does: 1e-5, not 9.999999747378752e-6.
pub fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
