//! What a task is: documents with a text to read, choices to score and the right one among them.
//! Plain data; where it comes from is a matter of `tasks/`, what happens to it one of the others.

use crate::metrics::Metric;

/// A task with both of its splits in memory, in the order of their files.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name on the command line and in result files.
    pub name: &'static str,
    /// Version of the task in lm-evaluation-harness; scores of different versions do not compare.
    pub version: u32,
    /// Where shots are drawn from: the train split.
    pub pool: Vec<Document>,
    /// What is scored: the test split.
    pub documents: Vec<Document>,
    /// What the predictions are judged by.
    pub metrics: &'static [Metric],
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What the model reads before it has to choose.
    pub text: String,
    /// What might follow, each with the blank it begins with. At least one.
    pub choices: Vec<String>,
    /// Index of the right choice.
    pub gold: usize,
}

impl Document {
    /// The document as a shot shows it: the question with its right answer.
    pub fn solved(&self) -> String {
        format!("{}{}", self.text, self.choices[self.gold])
    }
}
