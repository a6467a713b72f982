//! One line as one JSON object.
//!
//! A list of the same values in the order of the fields, which the parser would take as well,
//! is refused: nobody writes that on purpose. Which fields there are is for the caller to say.

use serde::Deserialize;
use serde::de::Error;

/// The object that `line` holds.
pub(crate) fn object<'a, T: Deserialize<'a>>(line: &'a str) -> serde_json::Result<T> {
    if line.trim_ascii_start().starts_with('{') {
        serde_json::from_str(line)
    } else {
        Err(serde_json::Error::custom("the line does not begin with `{`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        text: String,
        more: u8,
    }

    #[test]
    fn an_object_is_read_and_a_list_of_its_values_is_not() {
        let pair = object::<Pair>(" {\"more\":1,\"text\":\"a\"}\r\n").unwrap();
        assert_eq!(pair, Pair { text: "a".into(), more: 1 });
        assert!(object::<Pair>("[\"a\",1]").unwrap_err().to_string().contains("`{`"));
    }
}
