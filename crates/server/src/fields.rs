//! A JSON body taken apart field by field: whatever is left over, or of the wrong kind, is refused by
//! name. Knows no field itself.

use crate::api_error::ApiError;
use crate::settings::JSON_DEPTH;
use axum::http::StatusCode;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The fields of an object that have not been asked for yet.
pub struct Fields {
    left: Map<String, Value>,
    /// What stands before a name in errors: `stream_options.`, or nothing.
    within: String,
}

impl Fields {
    /// The fields of a body.
    pub fn of_body(body: &[u8]) -> Result<Fields, ApiError> {
        let refused = |problem: String| ApiError::new(StatusCode::BAD_REQUEST, problem);
        if depth(body) > JSON_DEPTH {
            return Err(refused(format!("the body nests deeper than {JSON_DEPTH} levels")));
        }
        let parsed = serde_json::from_slice(body);
        let value = parsed.map_err(|error| refused(format!("the body is not JSON: {error}")))?;
        match value {
            Value::Object(left) => Ok(Fields { left, within: String::new() }),
            _ => Err(refused("the body must be a JSON object".to_owned())),
        }
    }

    /// The value of a field, unless it is missing or null.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// A 400 about a field.
    pub fn refuse(&self, name: &str, problem: impl std::fmt::Display) -> ApiError {
        ApiError::field(format!("{}{name}", self.within), problem)
    }

    /// An object's own fields; none where it is missing.
    pub fn object(&mut self, name: &str) -> Result<Fields, ApiError> {
        let within = format!("{}{name}.", self.within);
        match self.take(name) {
            None => Ok(Fields { left: Map::new(), within }),
            Some(Value::Object(left)) => Ok(Fields { left, within }),
            Some(other) => Err(self.refuse(name, expected("an object", &other))),
        }
    }

    /// The fields of an element of a list, named `within` in errors.
    pub fn of_element(value: Value, within: String) -> Result<Fields, ApiError> {
        match value {
            Value::Object(left) => Ok(Fields { left, within: format!("{within}.") }),
            other => Err(ApiError::field(within, expected("an object", &other))),
        }
    }

    /// A number in a range.
    pub fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f32>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| range.contains(number));
        let what = || format!("a number from {} to {}", range.start(), range.end());
        number.map(|x| Some(x as f32)).ok_or_else(|| self.refuse(name, expected(&what(), &value)))
    }

    /// A whole number in a range.
    pub fn integer(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().filter(|number| range.contains(number));
        let what = || format!("a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.refuse(name, expected(&what(), &value)))
    }

    /// Whether a field is true; false where it is missing.
    pub fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.refuse(name, expected("true or false", &other))),
        }
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.refuse(name, expected("a text", &other))),
        }
    }

    /// A list; none where it is missing.
    pub fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(self.refuse(name, expected("a list", &other))),
        }
    }

    /// Fields of OpenAI's that are not supported: only the value that changes nothing may stand there.
    pub fn only_neutral(&mut self, fields: &[(&str, Value)]) -> Result<(), ApiError> {
        for (name, neutral) in fields {
            if let Some(value) = self.take(name)
                && value != *neutral
            {
                return Err(self.refuse(name, format!("not supported, but for {neutral}")));
            }
        }
        Ok(())
    }

    /// Refuses what nobody has asked for.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.left.keys().next() {
            Some(name) => Err(self.refuse(name, "not a field of this request")),
            None => Ok(()),
        }
    }
}

/// `expected a text, found 5`, with a long value cut.
pub fn expected(what: &str, found: &Value) -> String {
    let mut found = found.to_string();
    if found.len() > 60 {
        found.truncate(found.floor_char_boundary(60));
        found.push('…');
    }
    format!("expected {what}, found {found}")
}

/// How many brackets are open at once at most, outside of texts.
fn depth(json: &[u8]) -> usize {
    let (mut open, mut deepest, mut in_text, mut escaped) = (0usize, 0, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => open += 1,
            b']' | b'}' if !in_text => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::of_body(body.as_bytes()).unwrap()
    }

    fn message(error: ApiError) -> String {
        error.to_json()["error"]["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_left_over_or_wrong_is_named() {
        let mut body = fields(r#"{"a": "x", "b": 3, "c": {"d": 1}}"#);
        assert!(message(body.number("a", 0.0..=1.0).unwrap_err()).starts_with("`a`: expected"));
        assert!(message(body.integer("b", 4..=8).unwrap_err()).contains("found 3"));
        let inner = body.object("c").unwrap();
        assert!(message(inner.finish().unwrap_err()).starts_with("`c.d`"));
        assert!(body.finish().is_ok());
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let mut body = fields(r#"{"a": null, "best_of": null, "suffix": ""}"#);
        assert_eq!(body.text("a").unwrap(), None);
        body.only_neutral(&[("best_of", 1.into()), ("suffix", "".into())]).unwrap();
        body.finish().unwrap();
    }

    #[test]
    fn brackets_in_texts_do_not_nest() {
        assert_eq!(depth(br#"{"a": "[[[\"[[", "b": [[]]}"#), 3);
        let deep = "[".repeat(100_000);
        assert!(Fields::of_body(deep.as_bytes()).is_err());
    }
}
