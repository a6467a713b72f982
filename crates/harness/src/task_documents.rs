//! Rows to documents, as a task file says.

use crate::error::HarnessError;
use crate::mode::Mode;
use crate::row_files::Split;
use crate::rows::Row;
use crate::source::DataSource;
use crate::task::{Asked, Choice, Document, Drawing, Task};
use crate::task_file::{Asking, Choices, Draw, Gold, TaskFile};
use crate::templates::{self, Listing, Place, Wording};
use minijinja::{Environment, Value};

/// Stands between texts where the older harnesses join them.
const SEPARATOR: &str = "\n\n";

/// Reads the data of a task file and words it as `mode` does.
pub fn load(file: &TaskFile, mode: Mode, data: &DataSource) -> Result<Task, HarnessError> {
    let asking = file.asking(mode);
    let environment = templates::environment();
    let words = Words::new(file, &asking, &environment)?;
    let split = |names: &[String]| -> Result<Split, HarnessError> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        data.split(&file.data, &names)
    };
    let scored = split(&file.splits.documents)?;
    let documents = words.documents(&scored)?;
    let mut hashes = vec![(file.splits.documents[0].clone(), scored.sha256)];
    let pool = if file.splits.shots.is_empty() {
        documents.clone()
    } else {
        let shown = split(&file.splits.shots)?;
        hashes.push((file.splits.shots[0].clone(), shown.sha256.clone()));
        words.documents(&shown)?
    };
    Ok(Task {
        name: file.name.clone(),
        mode,
        version: asking.version.clone().unwrap_or_else(|| "0".to_owned()),
        group: file.group.clone(),
        description: description(&asking, mode),
        pool,
        documents,
        drawing: drawing(file, &asking),
        metrics: file.metrics(mode)?,
        data: hashes,
    })
}

/// Refuses a task file whose templates cannot be read.
pub fn check(file: &TaskFile) -> Result<(), HarnessError> {
    let environment = templates::environment();
    let compile = |mode| Words::new(file, &file.asking(mode), &environment).map(drop);
    Mode::ALL.into_iter().try_for_each(compile)
}

/// The older harnesses put two line feeds after a description, today's leaves that to the task.
fn description(asking: &Asking, mode: Mode) -> String {
    let text = asking.description.clone().unwrap_or_default();
    let separator = if text.is_empty() || mode == Mode::LmEval { "" } else { SEPARATOR };
    text + separator
}

fn drawing(file: &TaskFile, asking: &Asking) -> Drawing {
    let from_the_documents = file.splits.shots.is_empty();
    match asking.draw.unwrap_or_default() {
        Draw::Sample => {
            let skips_itself = file.splits.skips_itself.unwrap_or(from_the_documents);
            Drawing::Sampled { skips_itself }
        }
        Draw::First => Drawing::First,
        Draw::None => Drawing::None,
    }
}

/// The templates of a task in one mode, compiled.
struct Words<'t> {
    file: &'t TaskFile,
    text: Wording<'t>,
    choices: Answers<'t>,
    gold: &'t Gold,
    target: Option<Wording<'t>>,
    delimiter: &'t str,
}

enum Answers<'t> {
    Each(Vec<Wording<'t>>),
    Listed(Listing<'t>),
}

impl<'t> Words<'t> {
    fn new(
        file: &'t TaskFile,
        asking: &'t Asking,
        environment: &'t Environment<'t>,
    ) -> Result<Words<'t>, HarnessError> {
        let Asking { text: Some(text), choices: Some(choices), gold: Some(gold), .. } = asking
        else {
            return Err(file.wrong("[task] lacks `text`, `choices` or `gold`"));
        };
        let compile = |field, source: &'t String| {
            Wording::new(environment, source, Place { origin: &file.origin, field })
        };
        let choices = match choices {
            Choices::Each(each) => {
                let each = each.iter().map(|source| compile("choices", source));
                Answers::Each(each.collect::<Result<_, _>>()?)
            }
            Choices::Listed(source) => {
                let place = Place { origin: &file.origin, field: "choices" };
                Answers::Listed(Listing::new(environment, source, place)?)
            }
        };
        Ok(Words {
            file,
            text: compile("text", text)?,
            choices,
            gold,
            target: asking.target.as_ref().map(|source| compile("target", source)).transpose()?,
            delimiter: asking.delimiter.as_deref().unwrap_or(" "),
        })
    }

    fn documents(&self, split: &Split) -> Result<Vec<Document>, HarnessError> {
        split.rows.iter().map(|row| self.document(row)).collect()
    }

    fn document(&self, row: &Row) -> Result<Document, HarnessError> {
        let columns = self.columns(row)?;
        let answers = match &self.choices {
            Answers::Each(each) => {
                each.iter().map(|choice| choice.render(row, &columns)).collect::<Result<_, _>>()?
            }
            Answers::Listed(listing) => listing.texts(row, &columns)?,
        };
        let gold = self.gold(row, &answers)?;
        let target = match &self.target {
            None => answers[gold].clone(),
            Some(target) => target.render(row, &columns)?,
        };
        let choices = answers.iter().map(|answer| Choice::new(self.delimiter, answer)).collect();
        Ok(Document {
            text: self.text.render(row, &columns)?,
            target: format!("{}{target}", self.delimiter),
            asked: Asked::Choices { choices, gold },
            row: row.fields().clone().into(),
        })
    }

    /// The columns of a row, and beside them the names that the file gives to some.
    fn columns(&self, row: &Row) -> Result<Value, HarnessError> {
        let mut fields = row.fields().clone();
        for (name, columns) in &self.file.columns {
            let value = row.value(&first_of(row, columns))?.clone();
            fields.insert(name.clone(), value);
        }
        Ok(templates::columns(&fields))
    }

    /// Index of the right choice.
    fn gold(&self, row: &Row, answers: &[String]) -> Result<usize, HarnessError> {
        let known = &self.file.columns;
        let named = |name: &String| {
            known.get(name).map_or_else(|| name.clone(), |columns| first_of(row, columns))
        };
        match self.gold {
            Gold::Column(name) => by_index_or_text(row, &named(name), answers),
            Gold::Words(columns) => {
                let named = columns.iter().map(|(name, words)| (named(name), words));
                let found = named.clone().find(|(column, _)| row.fields().contains_key(column));
                let Some((column, words)) = found else {
                    let all: Vec<String> = named.map(|(column, _)| column).collect();
                    return row.value(&all.join(" or ")).map(|_| 0);
                };
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                row.one_of(&column, &words, &words.join(" or "))
            }
        }
    }
}

/// The first of `columns` that the row has; where it has none, all that would do.
fn first_of(row: &Row, columns: &[String]) -> String {
    let found = columns.iter().find(|column| row.fields().contains_key(*column));
    found.cloned().unwrap_or_else(|| columns.join(" or "))
}

/// A number is an index counted from 0; any other text is one of the answers.
fn by_index_or_text(row: &Row, column: &str, answers: &[String]) -> Result<usize, HarnessError> {
    let text = row.value(column)?.as_str();
    match text.filter(|text| text.trim().parse::<f64>().is_err()) {
        None => row.index(column, answers.len()),
        Some(text) => {
            let found = answers.iter().position(|answer| answer == text);
            found.ok_or_else(|| row.bad(column, &format!("one of {answers:?}")))
        }
    }
}
