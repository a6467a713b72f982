//! Which documents are scored, in which order, and which solved examples stand before each.
//!
//! In the modes `polyglot` and `leaderboard-v1` one generator, `Random(42)`, shuffles the documents
//! and then goes on to draw one sample from the pool per document; a limit counts documents after
//! the shuffle. In the mode `lm-eval` documents keep the order of their file, and a generator of
//! the task's own, `Random(1234)`, draws one sample per document. Hence the first documents of a
//! task get the same shots under any limit, and other shots under another number of shots.

use crate::error::HarnessError;
use crate::mode::Mode;
use crate::python_random::PythonRandom;
use crate::task::{Choice, Document, Drawing, Task};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Stands between shots, and between the last shot and the question.
const SEPARATOR: &str = "\n\n";

/// How documents get their shots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fewshot {
    /// As the mode and the task say.
    #[default]
    Drawn,
    /// One sample for all documents, the one that the first of them would get. No harness does
    /// this; scores do not compare with those of drawn shots.
    Fixed,
}

/// How much of a task is asked, and with which shots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// Solved examples before each question.
    pub shots: usize,
    /// How many documents are scored; all where there is none.
    pub limit: Option<usize>,
    /// How shots are chosen.
    pub fewshot: Fewshot,
}

/// What the model reads before it answers about one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Index of the document in [`Task::documents`].
    pub document: usize,
    /// Description, shots and the document's text.
    pub text: String,
    /// Bytes of `text` before the document's own.
    pub before: usize,
    /// The byte of `text` at which each shot begins.
    pub shots: Vec<usize>,
}

impl Prompt {
    /// What the model reads before one choice.
    pub fn context(&self, choice: &Choice) -> Cow<'_, str> {
        match &choice.context {
            None => Cow::Borrowed(&self.text),
            Some(own) => Cow::Owned(format!("{}{own}", &self.text[..self.before])),
        }
    }
}

/// The prompts of a task in the order of scoring.
pub fn prompts(task: &Task, asking: &Asking) -> Result<Vec<Prompt>, HarnessError> {
    check(task, asking)?;
    let mut order: Vec<usize> = (0..task.documents.len()).collect();
    let mut random = generator(task.mode, &mut order);
    order.truncate(asking.limit.unwrap_or(usize::MAX));
    if order.is_empty() {
        return Err(HarnessError::NothingToScore { what: task.name.clone() });
    }
    let mut fixed = None;
    let prompt = |document| {
        let question = &task.documents[document];
        let shown = match asking.fewshot {
            Fewshot::Drawn => {
                let drawn = draw(task, asking.shots, &mut random);
                shown(task, question, drawn, asking.shots, &mut random)
            }
            Fewshot::Fixed => {
                let drawn = fixed.get_or_insert_with(|| draw(task, asking.shots, &mut random));
                shown(task, question, drawn.clone(), asking.shots, &mut random.clone())
            }
        };
        joined(task, document, &shown)
    };
    Ok(order.into_iter().map(prompt).collect())
}

/// The generator that draws shots, after it has shuffled the documents where the mode does that.
fn generator(mode: Mode, order: &mut [usize]) -> PythonRandom {
    let seeds = mode.seeds();
    match seeds.documents {
        None => PythonRandom::new(seeds.shots),
        Some(seed) => {
            let mut random = PythonRandom::new(seed);
            random.shuffle(order);
            random
        }
    }
}

fn check(task: &Task, asking: &Asking) -> Result<(), HarnessError> {
    let Asking { shots, .. } = *asking;
    if shots > 0 && task.drawing == Drawing::None {
        return Err(HarnessError::NoShots { task: task.name.clone(), shots });
    }
    let pool = task.pool.len();
    let spare = usize::from(shots > 0 && skips_itself(task));
    if shots + spare > pool {
        return Err(HarnessError::TooManyShots { task: task.name.clone(), shots, pool });
    }
    Ok(())
}

fn skips_itself(task: &Task) -> bool {
    task.drawing == Drawing::Sampled { skips_itself: true }
}

/// Indices of the pool: one more than `shots` where the document itself may be among them.
fn draw(task: &Task, shots: usize, random: &mut PythonRandom) -> Vec<usize> {
    match task.drawing {
        Drawing::Sampled { skips_itself } if shots > 0 => {
            random.sample(task.pool.len(), shots + usize::from(skips_itself))
        }
        Drawing::Sampled { .. } | Drawing::None => Vec::new(),
        Drawing::First => (0..shots).collect(),
    }
}

/// The examples that are shown of those drawn: none that is the document itself. Where a pool has
/// doubles of it and too few are left, `lm-eval` draws again from a pool without them.
fn shown(
    task: &Task,
    question: &Document,
    mut drawn: Vec<usize>,
    shots: usize,
    random: &mut PythonRandom,
) -> Vec<usize> {
    if !skips_itself(task) {
        return drawn;
    }
    let is_other = |shot: &usize| task.pool[*shot].row != question.row;
    drawn.retain(is_other);
    drawn.truncate(shots);
    if drawn.len() < shots && task.mode == Mode::LmEval {
        let others: Vec<usize> = (0..task.pool.len()).filter(is_other).collect();
        let again = random.sample(others.len(), shots.min(others.len()));
        drawn = again.into_iter().map(|place| others[place]).collect();
    }
    drawn
}

fn joined(task: &Task, document: usize, shown: &[usize]) -> Prompt {
    let mut text = task.description.clone();
    let mut shots = Vec::with_capacity(shown.len());
    for &shot in shown {
        shots.push(text.len());
        text.push_str(&task.pool[shot].text);
        text.push_str(&task.pool[shot].target);
        text.push_str(SEPARATOR);
    }
    let before = text.len();
    text.push_str(&task.documents[document].text);
    Prompt { document, text, before, shots }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Asked;
    use serde_json::json;

    fn numbered(count: usize, prefix: &str) -> Vec<Document> {
        let document = |n| Document {
            text: format!("{prefix}{n}"),
            target: if n % 2 == 0 { "!" } else { "?" }.to_owned(),
            asked: Asked::Choices { choices: vec![Choice::new("", "!")], gold: 0 },
            row: json!({"n": format!("{prefix}{n}")}),
        };
        (0..count).map(document).collect()
    }

    fn task(mode: Mode) -> Task {
        Task {
            name: "numbers".to_owned(),
            mode,
            version: "0".to_owned(),
            group: None,
            description: String::new(),
            pool: numbered(4, "p"),
            documents: numbered(6, "d"),
            drawing: Drawing::Sampled { skips_itself: false },
            metrics: Vec::new(),
            data: Vec::new(),
        }
    }

    fn asking(shots: usize, limit: Option<usize>) -> Asking {
        Asking { shots, limit, fewshot: Fewshot::Drawn }
    }

    fn texts(task: &Task, asking: Asking) -> Vec<String> {
        let prompts = prompts(task, &asking).unwrap();
        prompts.into_iter().map(|prompt| prompt.text).collect()
    }

    // CPython: Random(42).shuffle(range(6)) = 3 1 2 4 0 5; then sample(range(4), 2) six times =
    // 1 0, 1 2, 0 2, 0 2, 3 0, 0 3.

    #[test]
    fn documents_are_shuffled_and_the_same_generator_draws_their_shots() {
        let expected = [
            "p1?\n\np0!\n\nd3",
            "p1?\n\np2!\n\nd1",
            "p0!\n\np2!\n\nd2",
            "p0!\n\np2!\n\nd4",
            "p3?\n\np0!\n\nd0",
            "p0!\n\np3?\n\nd5",
        ];
        for mode in [Mode::Polyglot, Mode::LeaderboardV1] {
            assert_eq!(texts(&task(mode), asking(2, None)), expected);
        }
    }

    #[test]
    fn a_limit_counts_shuffled_documents_and_moves_no_shot() {
        let task = task(Mode::Polyglot);
        assert_eq!(texts(&task, asking(2, Some(3))), texts(&task, asking(2, None))[..3]);
        assert_eq!(texts(&task, asking(2, Some(99))).len(), 6);
    }

    #[test]
    fn without_shots_the_question_stands_alone() {
        let expected = ["d3", "d1", "d2", "d4", "d0", "d5"];
        assert_eq!(texts(&task(Mode::Polyglot), asking(0, None)), expected);
    }

    #[test]
    fn more_shots_than_examples_are_refused_with_both_numbers() {
        let message = prompts(&task(Mode::LmEval), &asking(5, None)).unwrap_err().to_string();
        assert!(message.contains("5 shots") && message.contains("only 4"), "{message}");
    }

    #[test]
    fn nothing_to_score_is_an_error_and_not_a_mean_of_nothing() {
        let nothing = prompts(&task(Mode::LmEval), &asking(0, Some(0)));
        assert!(matches!(nothing, Err(HarnessError::NothingToScore { .. })));
    }
}
