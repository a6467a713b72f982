//! DROP (Dua et al. 2019, <https://arxiv.org/abs/1903.00161>): questions on a passage whose answer is a
//! number, a date or some of its words. Today's lm-eval shows as the answer of an example the names
//! of the answer's columns; the mode `lm-eval` does so too, for its numbers would not compare.

use super::splits::{self, Places, Splits};
use crate::answers;
use crate::error::HarnessError;
use crate::metrics::Metric;
use crate::mode::Mode;
use crate::rows::Row;
use crate::source::DataSource;
use crate::task::{Asked, Document, Judge, Task};
use serde_json::{Map, Value};

/// Its name.
pub const NAME: &str = "drop";

const NEW_TOKENS: usize = 256;
const EXPECTED: &str = "{\"number\": text, \"date\": {day, month, year}, \"spans\": [texts]}";
const EXPECTED_LISTS: &str = "{\"number\": [..], \"date\": [..], \"spans\": [..]} of one length";

/// `drop`.
pub fn load(mode: Mode, data: &DataSource) -> Result<Task, HarnessError> {
    let places = Places {
        spec: splits::spec("drop", "EleutherAI/drop", None),
        scored: ("validation", &["validation", "dev"]),
        train: &["train"],
        stand_in: None,
    };
    let splits = Splits::read(&places, mode, data)?;
    let task = splits.task(NAME, mode, ["1", "3.0"], |row| document(mode, row))?;
    let metrics = [answers::EM, answers::F1].map(Metric::Written);
    Ok(Task { metrics: metrics.to_vec(), ..task })
}

fn document(mode: Mode, row: &Row) -> Result<Document, HarnessError> {
    let (passage, question) = (row.text("passage")?, row.text("question")?);
    let (text, answers) = (passage_and_question(mode, passage, question), answers_of(row)?);
    Ok(Document {
        text,
        target: match mode {
            Mode::LmEval => names(record(row, "answer")?),
            Mode::LeaderboardV1 | Mode::Polyglot => format!(" {}", answers[0].join(", ")),
        },
        asked: Asked::Written {
            stop: vec![".".to_owned()],
            max_new_tokens: NEW_TOKENS,
            answers,
            judge: Judge::Spans,
        },
        row: row.fields().clone().into(),
    })
}

fn passage_and_question(mode: Mode, passage: &str, question: &str) -> String {
    match mode {
        Mode::LmEval => format!("{passage} {question}"),
        Mode::LeaderboardV1 | Mode::Polyglot => {
            format!("Passage: {passage}\nQuestion: {question}\nAnswer:")
        }
    }
}

fn names(answer: &Map<String, Value>) -> String {
    answer.keys().map(String::as_str).collect::<Vec<_>>().join(",")
}

fn record<'r>(row: &'r Row, column: &str) -> Result<&'r Map<String, Value>, HarnessError> {
    row.value(column)?.as_object().ok_or_else(|| row.bad(column, EXPECTED))
}

/// The answer, then those that others gave and that differ from all before.
fn answers_of(row: &Row) -> Result<Vec<Vec<String>>, HarnessError> {
    let first = record(row, "answer")?;
    let first = spans_of(first.get("number"), first.get("spans"), first.get("date"));
    let mut answers = vec![first.ok_or_else(|| row.bad("answer", EXPECTED))?];
    let bad = || row.bad("validated_answers", EXPECTED_LISTS);
    for answer in others(record(row, "validated_answers")?).ok_or_else(bad)? {
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    Ok(answers)
}

fn others(lists: &Map<String, Value>) -> Option<Vec<Vec<String>>> {
    let list = |name: &str| lists.get(name).and_then(Value::as_array);
    let (numbers, spans, dates) = (list("number")?, list("spans")?, list("date")?);
    let answer = |(index, number)| spans_of(Some(number), spans.get(index), dates.get(index));
    numbers.iter().enumerate().map(answer).collect()
}

/// The number where there is one, else the spans where there are some, else the date.
fn spans_of(
    number: Option<&Value>,
    spans: Option<&Value>,
    date: Option<&Value>,
) -> Option<Vec<String>> {
    let number = number?.as_str()?;
    let spans: Vec<String> = spans?.as_array()?.iter().map(text_of).collect::<Option<_>>()?;
    if !number.is_empty() {
        return Some(vec![number.to_owned()]);
    }
    if !spans.is_empty() {
        return Some(spans);
    }
    let part = |name| date.and_then(|date| date.get(name)).and_then(Value::as_str);
    let date = format!("{} {} {}", part("day")?, part("month")?, part("year")?);
    Some(vec![date.trim().to_owned()])
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
