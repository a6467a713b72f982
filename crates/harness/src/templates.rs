//! The templates of task files: Jinja, with the methods of Python's texts and two filters of our
//! own. Knows rows, not what their texts are for.
//!
//! As in lm-evaluation-harness a name that stands for nothing is an error, a line feed at the end
//! stays, and nothing is escaped.

use crate::error::HarnessError;
use crate::rows::Row;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Expression, Template, UndefinedBehavior, Value};
use serde_json::Map;
use std::collections::HashSet;

/// What templates may use.
pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the usual marks are a syntax"));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("pick", pick);
    environment.add_filter("detok", |text: String| detok(&text));
    environment
}

/// A row as templates see it.
pub fn columns(fields: &Map<String, serde_json::Value>) -> Value {
    Value::from(Serde(fields))
}

/// Where a template stands.
#[derive(Clone, Copy)]
pub struct Place<'t> {
    /// The task file.
    pub origin: &'t str,
    /// The field.
    pub field: &'t str,
}

/// One template, which gives a text for each row.
pub struct Wording<'t> {
    template: Template<'t, 't>,
    place: Place<'t>,
}

/// One expression, which gives a list of texts for each row.
pub struct Listing<'t> {
    expression: Expression<'t, 't>,
    place: Place<'t>,
}

impl<'t> Wording<'t> {
    /// Compiles `source`.
    pub fn new(
        environment: &'t Environment<'t>,
        source: &'t str,
        place: Place<'t>,
    ) -> Result<Wording<'t>, HarnessError> {
        let template = environment.template_from_str(source);
        Ok(Wording { template: template.map_err(|error| place.broken(&error))?, place })
    }

    /// The text for `row`, seen as `columns`.
    pub fn render(&self, row: &Row, columns: &Value) -> Result<String, HarnessError> {
        let asked = || self.template.undeclared_variables(false);
        let text = self.template.render(columns.clone());
        text.map_err(|error| self.place.failed(row, columns, &error, asked()))
    }
}

impl<'t> Listing<'t> {
    /// Compiles `source`.
    pub fn new(
        environment: &'t Environment<'t>,
        source: &'t str,
        place: Place<'t>,
    ) -> Result<Listing<'t>, HarnessError> {
        let expression = environment.compile_expression(source);
        Ok(Listing { expression: expression.map_err(|error| place.broken(&error))?, place })
    }

    /// The texts for `row`, seen as `columns`.
    pub fn texts(&self, row: &Row, columns: &Value) -> Result<Vec<String>, HarnessError> {
        let asked = || self.expression.undeclared_variables(false);
        let texts = self.expression.eval(columns.clone()).and_then(|list| texts_of(&list));
        texts.map_err(|error| self.place.failed(row, columns, &error, asked()))
    }
}

fn texts_of(list: &Value) -> Result<Vec<String>, Error> {
    let texts: Vec<String> = list.try_iter()?.map(|text| text.to_string()).collect();
    let problem = match list.as_str() {
        Some(_) => "gives a text, where a list is expected",
        None if texts.is_empty() => "gives an empty list; at least one is needed",
        None => return Ok(texts),
    };
    Err(Error::new(ErrorKind::InvalidOperation, problem))
}

impl Place<'_> {
    /// The error of a template that no row is at fault for.
    fn broken(self, error: &Error) -> HarnessError {
        let problem = format!("{}{}: {}", self.field, line_of(error), said(error));
        HarnessError::TaskFile { origin: self.origin.to_owned(), problem }
    }

    /// The error of a template on a row; a name that stands for nothing is a missing column.
    fn failed(
        self,
        row: &Row,
        columns: &Value,
        error: &Error,
        asked: HashSet<String>,
    ) -> HarnessError {
        let is_missing =
            |name: &&String| columns.get_attr(name).is_ok_and(|value| value.is_undefined());
        let missing = asked.iter().filter(is_missing).min();
        let missing = missing.filter(|_| error.kind() == ErrorKind::UndefinedError);
        if let Some(Err(missing)) = missing.map(|name| row.value(name)) {
            return missing;
        }
        HarnessError::Template {
            row: row.place(),
            origin: self.origin.to_owned(),
            field: format!("{}{}", self.field, line_of(error)),
            problem: said(error),
        }
    }
}

/// Templates are short: only the lines after the first are worth a word.
fn line_of(error: &Error) -> String {
    error.line().filter(|&line| line > 1).map_or(String::new(), |line| format!(", line {line}"))
}

fn said(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// `word | pick({"a": "x", "b": "y"})`: what stands beside the word; any other word is an error.
fn pick(word: String, words: Value) -> Result<Value, Error> {
    let found = words.get_item(&Value::from(word.clone()))?;
    if !found.is_undefined() {
        return Ok(found);
    }
    let known: Vec<String> = words.try_iter()?.map(|known| format!("\"{known}\"")).collect();
    let problem = format!("{word:?} is none of {}", known.join(", "));
    Err(Error::new(ErrorKind::InvalidOperation, problem))
}

/// The blanks around marks go that a tokenizer of words has left, in the order of the `polyglot`
/// branch, which reads NSMC this way.
fn detok(text: &str) -> String {
    let replaced = [(" n't", "n't"), (" )", ")"), ("( ", "("), ("\" ", "\""), (" \"", "\"")];
    let text = replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let is_before_a_mark = matches!(rest.peek(), Some('\'' | '.' | ','));
        if !(character == ' ' && is_before_a_mark) {
            kept.push(character);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    const PLACE: Place<'_> = Place { origin: "mine.toml", field: "text" };

    fn row(fields: serde_json::Value) -> Row {
        let serde_json::Value::Object(fields) = fields else { panic!("a row is an object") };
        Row::new(Path::new("a.tsv").into(), 7, fields)
    }

    fn rendered(source: &str, fields: serde_json::Value) -> Result<String, String> {
        let (environment, row) = (environment(), row(fields));
        let wording = Wording::new(&environment, source, PLACE).map_err(|e| e.to_string())?;
        wording.render(&row, &columns(row.fields())).map_err(|e| e.to_string())
    }

    #[test]
    fn a_text_stands_as_it_is_with_its_blanks_and_its_last_line_feed() {
        let text = rendered("<{{ a }}>  {{ b.strip() }}\n", json!({"a": " & ", "b": " x "}));
        assert_eq!(text.unwrap(), "< & >  x\n");
    }

    #[test]
    fn a_word_that_is_not_among_those_to_pick_from_is_named_with_its_row() {
        let source = "\n{{ a | trim | pick({\"원인\": \"왜\", \"결과\": \"그래\"}) }}";
        assert_eq!(rendered(source, json!({"a": "원인 "})).unwrap(), "\n왜");
        let message = rendered(source, json!({"a": "이유"})).unwrap_err();
        let expected = "a.tsv:7: mine.toml, text, line 2: \"이유\" is none of \"원인\", \"결과\"";
        assert_eq!(message, expected);
    }

    #[test]
    fn a_name_that_is_no_column_is_a_missing_column() {
        let message = rendered("{{ a }}{{ b }}", json!({"a": 1})).unwrap_err();
        assert!(message.starts_with("a.tsv:7: no column \"b\", only \"a\""), "{message}");
    }

    #[test]
    fn a_template_that_cannot_be_read_is_named_by_its_line() {
        let message = rendered("a\nb {{ c", json!({})).unwrap_err();
        assert!(message.starts_with("mine.toml: text, line 2: "), "{message}");
    }

    #[test]
    fn blanks_around_marks_go_as_in_the_polyglot_branch() {
        // CPython: `general_detokenize` of the branch.
        let texts = [
            ("do n't ( a ) \" b \" c .", "don't (a)\"b\"c."),
            ("음 . . . 좋다 ,,", "음... 좋다,,"),
            ("a  . ' ' b", "a .'' b"),
        ];
        for (text, expected) in texts {
            assert_eq!(detok(text), expected);
        }
    }

    #[test]
    fn a_list_is_a_list_and_neither_empty_nor_the_letters_of_a_text() {
        let environment = environment();
        let listing = Listing::new(&environment, "a.text", PLACE).unwrap();
        let texts = |fields| {
            let row = row(fields);
            listing.texts(&row, &columns(row.fields())).map_err(|error| error.to_string())
        };
        assert_eq!(texts(json!({"a": {"text": ["x", 2]}})).unwrap(), ["x", "2"]);
        let message = texts(json!({"a": {"text": "xy"}})).unwrap_err();
        assert!(message.ends_with("gives a text, where a list is expected"), "{message}");
        let message = texts(json!({"a": {"text": []}})).unwrap_err();
        assert!(message.contains("gives an empty list"), "{message}");
    }
}
