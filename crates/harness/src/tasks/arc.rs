//! ARC-Challenge (Clark et al. 2018, <https://arxiv.org/abs/1803.05457>): science questions of
//! schools with three to five answers. Reads the data set of the hub and the original files, where
//! the question's text and choices stand below `question`.

use super::nested;
use super::splits::{self, Places, Splits};
use crate::error::HarnessError;
use crate::metrics::Metric;
use crate::mode::Mode;
use crate::rows::Row;
use crate::source::DataSource;
use crate::task::{Asked, Choice, Document, Task};
use serde_json::Value;

/// Its name.
pub const NAME: &str = "arc_challenge";

/// A question as either kind of file has it.
struct Question<'r> {
    text: &'r str,
    choices: Vec<&'r str>,
    labels: Vec<&'r str>,
}

/// `arc_challenge`; without a train split, shots come from the validation split.
pub fn load(mode: Mode, data: &DataSource) -> Result<Task, HarnessError> {
    let places = Places {
        spec: splits::spec("arc", "allenai/ai2_arc", Some("ARC-Challenge")),
        scored: ("test", &["test", "ARC-Challenge-Test"]),
        train: &["train", "ARC-Challenge-Train"],
        stand_in: Some(("validation", &["validation", "ARC-Challenge-Dev"])),
    };
    let task = Splits::read(&places, mode, data)?.task(NAME, mode, ["0", "1.0"], document)?;
    Ok(Task { metrics: vec![Metric::Accuracy, Metric::AccuracyNormalised], ..task })
}

fn document(row: &Row) -> Result<Document, HarnessError> {
    let Question { text, choices, labels } = question(row)?;
    let key = row.text("answerKey")?;
    let gold = labels.iter().position(|&label| label == key);
    let gold = gold.ok_or_else(|| row.bad("answerKey", &format!("one of {labels:?}")))?;
    Ok(Document {
        text: format!("Question: {text}\nAnswer:"),
        target: format!(" {}", choices[gold]),
        asked: Asked::Choices {
            choices: choices.iter().map(|it| Choice::new(" ", it)).collect(),
            gold,
        },
        row: row.fields().clone().into(),
    })
}

fn question(row: &Row) -> Result<Question<'_>, HarnessError> {
    let question = match row.value("question")? {
        Value::String(text) => of_the_hub(row, text)?,
        below => original(row, below)?,
    };
    if question.choices.len() == question.labels.len() {
        return Ok(question);
    }
    Err(row.bad("choices", "as many labels as texts"))
}

fn of_the_hub<'r>(row: &'r Row, text: &'r str) -> Result<Question<'r>, HarnessError> {
    let lists = row.value("choices")?;
    let list = |name| {
        let expected = "{\"text\": [texts], \"label\": [texts]}";
        nested::texts(row, "choices", lists.get(name), expected)
    };
    Ok(Question { text, choices: list("text")?, labels: list("label")? })
}

fn original<'r>(row: &'r Row, below: &'r Value) -> Result<Question<'r>, HarnessError> {
    let expected = "a text, or {\"stem\": text, \"choices\": [{\"text\": .., \"label\": ..}]}";
    let stem = below.get("stem").and_then(Value::as_str);
    let list = |field| nested::of_each(row, "question", below.get("choices"), field, expected);
    Ok(Question {
        text: stem.ok_or_else(|| row.bad("question", expected))?,
        choices: list("text")?,
        labels: list("label")?,
    })
}
