//! What a task is: documents with a text to read, what is asked about it, and the solved examples
//! to draw from. Plain data; where it comes from is a matter of `tasks/`, what happens to it of the
//! others.

use crate::metrics::Metric;
use crate::mode::Mode;
use serde_json::Value;

/// A task with its splits in memory, in the order of their files, as one mode words it.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name on the command line and in result files.
    pub name: String,
    /// The protocol its prompts follow.
    pub mode: Mode,
    /// Version of the task in that harness; scores of different versions do not compare.
    pub version: String,
    /// The group it is averaged with (`mmlu`), where there is one.
    pub group: Option<String>,
    /// What every prompt begins with, to the letter; may be empty.
    pub description: String,
    /// Where shots are taken from.
    pub pool: Vec<Document>,
    /// What is scored.
    pub documents: Vec<Document>,
    /// How shots are taken from the pool.
    pub drawing: Drawing,
    /// What the outcomes are judged by.
    pub metrics: Vec<Metric>,
    /// Each split that was read, with the SHA-256 of its file.
    pub data: Vec<(String, String)>,
}

/// How a task takes shots from its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// A new sample for every document.
    Sampled {
        /// One example more is drawn, and the document itself is not among those that are shown.
        skips_itself: bool,
    },
    /// The first ones, in the order of the file.
    First,
    /// The task shows no examples.
    None,
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What the model reads before it has to answer.
    pub text: String,
    /// The right answer with the blank it begins with: a shot is `text` and `target`.
    pub target: String,
    /// What is asked.
    pub asked: Asked,
    /// The row it was made from, as the data has it.
    pub row: Value,
}

/// What is asked of the model after it has read a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// Which of some continuations is the likeliest.
    Choices {
        /// At least one.
        choices: Vec<Choice>,
        /// Index of the right one.
        gold: usize,
    },
    /// How much of the likelihood goes to the true ones.
    ManyTrue {
        /// At least one.
        choices: Vec<Choice>,
        /// How many of the first choices are a question of their own, the true one first: the one
        /// that `mc1` judges. Where there are none, all are judged by both.
        apart: usize,
        /// For each choice after those, whether it is true.
        is_true: Vec<bool>,
    },
    /// What it writes.
    Written {
        /// Writing ends at the first of these.
        stop: Vec<String>,
        /// Writing ends after this many tokens.
        max_new_tokens: usize,
        /// What counts as right: each answer with its parts, most have one.
        answers: Vec<Vec<String>>,
        /// How what was written is compared with them.
        judge: Judge,
    },
}

/// How a written answer is compared with the right ones ([`crate::answers`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The number behind `####`, as GSM8K was judged by the first leaderboard.
    FinalNumber,
    /// That number, and the last number of all, as today's lm-eval looks for them.
    StrictAndFlexibleNumber,
    /// Bags of words of one or several spans, as DROP has it.
    Spans,
}

/// What might follow a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Read in place of the document's text, where a choice stands before its continuation.
    pub context: Option<String>,
    /// What is scored, with the blank it begins with.
    pub continuation: String,
    /// Unicode characters of the answer without that blank: the divisor of `acc_norm`.
    pub characters: usize,
}

impl Choice {
    /// An answer that follows the document's text after `delimiter`.
    pub fn new(delimiter: &str, answer: &str) -> Choice {
        Choice {
            context: None,
            continuation: format!("{delimiter}{answer}"),
            characters: answer.chars().count(),
        }
    }
}

impl Document {
    /// The document as a shot shows it: the question with its right answer.
    pub fn solved(&self) -> String {
        format!("{}{}", self.text, self.target)
    }

    /// What is scored; nothing where the model writes.
    pub fn choices(&self) -> &[Choice] {
        match &self.asked {
            Asked::Choices { choices, .. } | Asked::ManyTrue { choices, .. } => choices,
            Asked::Written { .. } => &[],
        }
    }
}
