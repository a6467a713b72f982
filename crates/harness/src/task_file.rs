//! A task as a file: which data, under which names, asked with which templates, and what differs
//! from mode to mode. `docs/evaluation.md` explains every field; [`crate::task_documents`] makes
//! documents of it.

use crate::error::HarnessError;
use crate::metrics::Metric;
use crate::mode::Mode;
use crate::source::DataSpec;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A task file as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFile {
    /// The name in result files.
    pub name: String,
    /// The group it belongs to.
    pub group: Option<String>,
    /// Where its data stands.
    #[serde(default)]
    pub data: DataSpec,
    /// Which splits serve for what.
    #[serde(default)]
    pub splits: Splits,
    /// For names that templates use: the columns that may hold it, the first that is there counts.
    #[serde(default)]
    pub columns: BTreeMap<String, Vec<String>>,
    /// How it is asked.
    pub task: Asking,
    /// What is different in one mode.
    #[serde(default)]
    pub mode: BTreeMap<Mode, Asking>,
    /// The file, or the name of one that is part of the program.
    #[serde(skip)]
    pub origin: String,
}

/// Which splits serve for what; each by the names that are tried.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Splits {
    /// What is scored.
    pub documents: Vec<String>,
    /// Where shots are taken from; none means from the documents themselves.
    pub shots: Vec<String>,
    /// Whether one example more is drawn, and the document itself left out; by default where shots
    /// come from the documents.
    pub skips_itself: Option<bool>,
}

/// How a task is asked; a mode need only say what differs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asking {
    /// Version of the task.
    pub version: Option<String>,
    /// Names of metrics.
    pub metrics: Option<Vec<String>>,
    /// What every prompt begins with.
    pub description: Option<String>,
    /// Template: what is read before the answer.
    pub text: Option<String>,
    /// The answers to choose from.
    pub choices: Option<Choices>,
    /// Where the right one is told.
    pub gold: Option<Gold>,
    /// Template: the answer that a shot shows; the right choice where there is none.
    pub target: Option<String>,
    /// What stands between text and answer.
    pub delimiter: Option<String>,
    /// How shots are taken.
    pub draw: Option<Draw>,
}

/// The answers to choose from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a list of templates, or an expression that gives a list")]
pub enum Choices {
    /// A template for each.
    Each(Vec<String>),
    /// An expression that gives all of them.
    Listed(String),
}

/// Where the right choice is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a column, or for each column that may tell it one word for each choice"
)]
pub enum Gold {
    /// A column that holds its index, counted from 0, or its text.
    Column(String),
    /// Columns with the word for each choice; the first that is there counts.
    Words(BTreeMap<String, Vec<String>>),
}

/// How shots are taken from their split.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Draw {
    /// At random, anew for each document.
    #[default]
    Sample,
    /// The first ones.
    First,
    /// Not at all.
    None,
}

impl Default for Splits {
    fn default() -> Splits {
        let documents = ["test", "validation", "dev"].map(str::to_owned).to_vec();
        Splits { documents, shots: Vec::new(), skips_itself: None }
    }
}

impl TaskFile {
    /// Reads a file of the user.
    pub fn read(path: &Path) -> Result<TaskFile, HarnessError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| HarnessError::Read { path: path.to_path_buf(), source })?;
        TaskFile::parse(&text, &path.display().to_string())
    }

    /// Reads the text of a file, which errors call `origin`.
    pub fn parse(text: &str, origin: &str) -> Result<TaskFile, HarnessError> {
        let file = toml::from_str::<TaskFile>(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
            let origin = line.map_or(origin.to_owned(), |line| format!("{origin}:{line}"));
            HarnessError::TaskFile { origin, problem: error.message().replace('\n', " ") }
        })?;
        let file = TaskFile { origin: origin.to_owned(), ..file };
        Mode::ALL.into_iter().try_for_each(|mode| file.check(mode))?;
        Ok(file)
    }

    /// How it is asked in `mode`.
    pub fn asking(&self, mode: Mode) -> Asking {
        let Some(own) = self.mode.get(&mode).cloned() else { return self.task.clone() };
        let all = self.task.clone();
        Asking {
            version: own.version.or(all.version),
            metrics: own.metrics.or(all.metrics),
            description: own.description.or(all.description),
            text: own.text.or(all.text),
            choices: own.choices.or(all.choices),
            gold: own.gold.or(all.gold),
            target: own.target.or(all.target),
            delimiter: own.delimiter.or(all.delimiter),
            draw: own.draw.or(all.draw),
        }
    }

    /// The error of something this file says.
    pub fn wrong(&self, problem: impl Into<String>) -> HarnessError {
        HarnessError::TaskFile { origin: self.origin.clone(), problem: problem.into() }
    }

    /// The metrics in `mode`.
    pub fn metrics(&self, mode: Mode) -> Result<Vec<Metric>, HarnessError> {
        let names = self.asking(mode).metrics.unwrap_or_else(|| vec!["acc".to_owned()]);
        let named = |name: &String| {
            let known = "acc, acc_norm, macro_f1, macro_f1_norm";
            let unknown = || self.wrong(format!("metrics: no metric {name:?}; there are {known}"));
            let chosen = |metric: &Metric| !matches!(metric, Metric::Mc1 | Metric::Mc2);
            Metric::named(name).filter(chosen).ok_or_else(unknown)
        };
        names.iter().map(named).collect()
    }

    fn check(&self, mode: Mode) -> Result<(), HarnessError> {
        self.metrics(mode)?;
        let asking = self.asking(mode);
        let lacks = |field: &str| {
            let problem = format!("no `{field}` in [task], nor in [mode.{}]", mode.name());
            Err(self.wrong(problem))
        };
        if self.splits.documents.is_empty() {
            return Err(self.wrong("[splits] documents: names no split; give at least one"));
        }
        if asking.text.is_none() {
            return lacks("text");
        }
        let Some(gold) = asking.gold else { return lacks("gold") };
        match asking.choices {
            None => lacks("choices"),
            Some(Choices::Each(choices)) => self.check_count(choices.len(), &gold),
            Some(Choices::Listed(_)) => Ok(()),
        }
    }

    fn check_count(&self, choices: usize, gold: &Gold) -> Result<(), HarnessError> {
        if choices == 0 {
            return Err(self.wrong("choices: an empty list; give at least one"));
        }
        let Gold::Words(columns) = gold else { return Ok(()) };
        let other = columns.iter().find(|(_, words)| words.len() != choices);
        other.map_or(Ok(()), |(column, words)| {
            let count = words.len();
            Err(self.wrong(format!("gold: {count} words for {column:?}, but {choices} choices")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "mine"
[columns]
text = ["Text", "sentence"]
[task]
text = "{{ text }}"
choices = ["no", "yes"]
gold = { label = ["0", "1"] }
[mode.lm-eval]
version = "1.0"
text = "{{ text }} "
"#;

    fn refused(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        TaskFile::parse(&GOOD.replace(from, to), "mine.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_mode_says_only_what_differs() {
        let file = TaskFile::parse(GOOD, "mine.toml").unwrap();
        let (old, new) = (file.asking(Mode::Polyglot), file.asking(Mode::LmEval));
        assert_eq!(
            (old.text.as_deref(), new.text.as_deref()),
            (Some("{{ text }}"), Some("{{ text }} "))
        );
        assert_eq!((old.version, new.version), (None, Some("1.0".to_owned())));
        assert!(new.gold.is_some());
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line_and_the_known_ones() {
        let message = refused("choices =", "choises =");
        assert!(message.starts_with("mine.toml:7: unknown field `choises`"), "{message}");
        assert!(message.contains("`choices`"), "{message}");
    }

    #[test]
    fn what_no_mode_has_is_missed_by_name() {
        let message = refused("gold = { label = [\"0\", \"1\"] }\n", "");
        assert_eq!(message, "mine.toml: no `gold` in [task], nor in [mode.polyglot]");
    }

    #[test]
    fn no_choices_and_other_numbers_of_words_than_choices_are_refused() {
        let message = refused("[\"no\", \"yes\"]", "[]");
        assert_eq!(message, "mine.toml: choices: an empty list; give at least one");
        let message = refused("[\"0\", \"1\"]", "[\"0\", \"1\", \"2\"]");
        assert_eq!(message, "mine.toml: gold: 3 words for \"label\", but 2 choices");
    }

    #[test]
    fn what_is_of_another_kind_is_told_what_was_expected() {
        let message = refused("[\"no\", \"yes\"]", "3");
        assert!(message.starts_with("mine.toml:7: expected a list of templates"), "{message}");
        let message = refused("[mode.lm-eval]", "[mode.lm-evil]");
        assert!(message.contains("lm-evil") && message.contains("`lm-eval`"), "{message}");
    }

    #[test]
    fn an_unknown_metric_is_answered_with_the_known_ones() {
        let message = refused("version = \"1.0\"", "metrics = [\"accuracy\"]");
        assert!(message.contains("no metric \"accuracy\"; there are acc, "), "{message}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_by_its_line() {
        let message = refused("gold = {", "gold = ");
        assert!(message.starts_with("mine.toml:8: "), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
