//! HellaSwag (Zellers et al. 2019, <https://arxiv.org/abs/1905.07830>): which of four endings a
//! description of an everyday scene has. Reads the data set of the hub, the original files, and a
//! plain text of six lines an item, which lost the border between the two parts of a context.

use super::nested;
use super::splits::{self, Places, Splits};
use crate::error::HarnessError;
use crate::metrics::Metric;
use crate::mode::Mode;
use crate::row_files::{Split, Text};
use crate::rows::Row;
use crate::source::DataSource;
use crate::task::{Asked, Choice, Document, Task};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// Its name.
pub const NAME: &str = "hellaswag";

const ENDINGS: usize = 4;
/// Activity and context, the number of the right ending, the endings.
const LINES_OF_AN_ITEM: usize = 2 + ENDINGS;

/// `hellaswag`; without a train split, shots come from the other documents.
pub fn load(mode: Mode, data: &DataSource) -> Result<Task, HarnessError> {
    let places = Places {
        spec: splits::spec("hellaswag", "Rowan/hellaswag", None),
        scored: ("validation", &["validation", "hellaswag_val"]),
        train: &["train", "hellaswag_train"],
        stand_in: None,
    };
    let splits = match data.text(&places.spec, &["hellaswag_val_full.txt"])? {
        Some(text) => Splits::around(items(text)?, &places, mode, data)?,
        None => Splits::read(&places, mode, data)?,
    };
    let task = splits.task(NAME, mode, ["0", "1.0"], document)?;
    Ok(Task { metrics: vec![Metric::Accuracy, Metric::AccuracyNormalised], ..task })
}

fn document(row: &Row) -> Result<Document, HarnessError> {
    let context = format!("{} {}", row.text("ctx_a")?, capitalised(row.text("ctx_b")?));
    let endings = nested::texts(row, "endings", Some(row.value("endings")?), "a list of texts")?;
    let endings: Vec<String> = endings.into_iter().map(cleaned).collect();
    let gold = row.index("label", endings.len())?;
    Ok(Document {
        text: cleaned(&format!("{}: {context}", row.text("activity_label")?)),
        target: format!(" {}", endings[gold]),
        asked: Asked::Choices {
            choices: endings.iter().map(|it| Choice::new(" ", it)).collect(),
            gold,
        },
        row: row.fields().clone().into(),
    })
}

/// Without the marks of the articles that some items come from: `[title]` ends a sentence, anything
/// else in brackets goes, and so does the second of two blanks.
fn cleaned(text: &str) -> String {
    without_brackets(&text.trim().replace(" [title]", ". ")).replace("  ", " ")
}

/// Brackets and what is between them, from the first `[` to the next `]` of the same line.
fn without_brackets(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    while let Some(start) = rest.find('[') {
        let line = rest[start..].find('\n').map_or(rest.len(), |length| start + length);
        let end = rest[start..line].find(']').map(|length| start + length + 1);
        kept += &rest[..end.map_or(start + 1, |_| start)];
        rest = &rest[end.unwrap_or(start + 1)..];
    }
    kept + rest
}

/// The first letter upper case and all others lower, as Python's `capitalize` does it.
fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + &characters.as_str().to_lowercase()
}

/// The items of the plain text as rows of the data set.
fn items(text: Text) -> Result<Split, HarnessError> {
    let lines: Vec<&str> = text.text.lines().collect();
    let path: Arc<Path> = text.path.as_path().into();
    let items = lines.chunks(LINES_OF_AN_ITEM).enumerate();
    let rows = items.map(|(index, lines)| item(&path, index * LINES_OF_AN_ITEM + 1, lines));
    Ok(Split { rows: rows.collect::<Result<_, _>>()?, path: text.path, sha256: text.sha256 })
}

fn item(path: &Arc<Path>, line: usize, lines: &[&str]) -> Result<Row, HarnessError> {
    let parts = lines.first().and_then(|line| line.split_once(": "));
    let (Some((activity, context)), LINES_OF_AN_ITEM) = (parts, lines.len()) else {
        let row = Row::new(path.clone(), line, Map::from_iter([("item".to_owned(), json!(lines))]));
        return Err(row.bad("item", "ACTIVITY: CONTEXT, the number of an ending, four endings"));
    };
    let (first, second) = halves(context);
    let fields = [
        ("activity_label", json!(activity)),
        ("ctx_a", json!(first)),
        ("ctx_b", json!(second)),
        ("endings", json!(lines[2..])),
        ("label", Value::from(lines[1])),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    Ok(Row::new(path.clone(), line, Map::from_iter(fields)))
}

/// The second part of a context is the beginning of a sentence written with a small letter: what
/// follows the last end of a sentence, where it begins with one.
fn halves(context: &str) -> (&str, &str) {
    match ends_of_sentences(context).last().map(|end| context.split_at(end)) {
        Some((first, second)) if second.starts_with(|c: char| c.is_ascii_lowercase()) => {
            (first.trim_end_matches(' '), second)
        }
        _ => (context, ""),
    }
}

/// Places behind `.`, `!` or `?`, closing quotes or brackets, and a blank.
fn ends_of_sentences(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(' ').filter_map(move |(blank, _)| {
        let before = text[..blank].trim_end_matches(['"', '\'', ')', ']']);
        before.ends_with(['.', '!', '?']).then_some(blank + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_articles_are_cleaned_as_the_regular_expressions_do() {
        // Of re.sub(r"\[.*?\]", "", text) and the replacements around it, in CPython.
        let cases = [
            (" How to [title] bake [header] a [step]  cake [", "How to. bake a  cake ["),
            ("[a[b]c] x [d\ne] y", "c] x [d\ne] y"),
            ("a    b", "a  b"),
        ];
        for (text, expected) in cases {
            assert_eq!(cleaned(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_second_half_of_a_context_is_the_sentence_with_a_small_letter() {
        assert_eq!(
            halves("He sits. He asks \"why?\" the man"),
            ("He sits. He asks \"why?\"", "the man")
        );
        assert_eq!(halves("He sits. The man stands."), ("He sits. The man stands.", ""));
        assert_eq!(halves("he sits"), ("he sits", ""));
        assert_eq!(capitalised("the McDonald ÉCLAIR"), "The mcdonald éclair");
    }
}
