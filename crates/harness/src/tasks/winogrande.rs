//! Winogrande (Sakaguchi et al. 2020, <https://arxiv.org/abs/1907.10641>): which of two names belongs
//! into a blank. Scored in part, after Trinh and Le (2018): the sentence up to the blank is read with
//! each name in turn, and the rest of it, which is the same for both, is what is scored.

use super::nested;
use super::splits::{self, Places, Splits};
use crate::error::HarnessError;
use crate::metrics::Metric;
use crate::mode::Mode;
use crate::rows::Row;
use crate::source::DataSource;
use crate::task::{Asked, Choice, Document, Task};

/// Its name.
pub const NAME: &str = "winogrande";

/// The sentence up to the blank with either name in it, the rest, and which is right.
struct Halves {
    beginnings: [String; 2],
    rest: String,
    gold: usize,
}

/// `winogrande` with the largest train split; without one, shots come from the other documents.
pub fn load(mode: Mode, data: &DataSource) -> Result<Task, HarnessError> {
    let places = Places {
        spec: splits::spec("winogrande", "allenai/winogrande", Some("winogrande_xl")),
        scored: ("validation", &["validation", "dev", "winogrande_dev.llmfoundry"]),
        train: &["train", "train_xl"],
        stand_in: None,
    };
    let task = Splits::read(&places, mode, data)?.task(NAME, mode, ["0", "1.0"], document)?;
    Ok(Task { metrics: vec![Metric::Accuracy], ..task })
}

fn document(row: &Row) -> Result<Document, HarnessError> {
    let is_cut = row.fields().contains_key("context_options");
    let Halves { beginnings, rest, gold } = if is_cut { cut_already(row)? } else { cut(row)? };
    let target = format!(" {}", rest.trim());
    let choice = |beginning: &String| Choice {
        context: Some(beginning.clone()),
        continuation: target.clone(),
        characters: target.chars().count() - 1,
    };
    let choices = beginnings.iter().map(choice).collect();
    let [first, second] = beginnings;
    Ok(Document {
        text: if gold == 0 { first } else { second },
        target,
        asked: Asked::Choices { choices, gold },
        row: row.fields().clone().into(),
    })
}

/// The data set's own columns.
fn cut(row: &Row) -> Result<Halves, HarnessError> {
    let parts = row.text("sentence")?.split_once('_');
    let (before, after) = parts.ok_or_else(|| row.bad("sentence", "a sentence with a blank _"))?;
    Ok(Halves {
        beginnings: [
            before.to_owned() + row.text("option1")?,
            before.to_owned() + row.text("option2")?,
        ],
        rest: after.to_owned(),
        gold: row.one_of("answer", &["1", "2"], "1 or 2")?,
    })
}

/// Columns that hold the parts ready to be scored.
fn cut_already(row: &Row) -> Result<Halves, HarnessError> {
    let column = "context_options";
    let options = nested::texts(row, column, Some(row.value(column)?), "two texts")?;
    let [first, second] = options[..] else { return Err(row.bad(column, "two texts")) };
    Ok(Halves {
        beginnings: [first.to_owned(), second.to_owned()],
        rest: row.text("continuation")?.to_owned(),
        gold: row.index("gold", 2)?,
    })
}
