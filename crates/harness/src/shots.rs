//! Which documents are scored, in which order, and which solved examples stand before each.
//!
//! This is the protocol of the `polyglot` branch of lm-evaluation-harness: one generator,
//! `Random(42)`, shuffles the documents and then goes on to draw one sample from the pool per
//! document; `limit` counts documents after the shuffle. Hence the first documents of a task get
//! the same shots under any limit, and other shots under another number of shots.

use crate::error::HarnessError;
use crate::python_random::PythonRandom;
use crate::task::Task;

/// Seed of the one generator.
pub const SEED: u64 = 42;

/// Stands between shots, and between the last shot and the question.
const SEPARATOR: &str = "\n\n";

/// What the model reads for one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Index of the document in [`Task::documents`].
    pub document: usize,
    /// The shots and the question.
    pub context: String,
}

/// The prompts of a task in the order of scoring; all documents where there is no `limit`.
pub fn prompts(
    task: &Task,
    shots: usize,
    limit: Option<usize>,
) -> Result<Vec<Prompt>, HarnessError> {
    let pool = task.pool.len();
    if shots > pool {
        return Err(HarnessError::TooManyShots { task: task.name, shots, pool });
    }
    let mut random = PythonRandom::new(SEED);
    let mut order: Vec<usize> = (0..task.documents.len()).collect();
    random.shuffle(&mut order);
    order.truncate(limit.unwrap_or(usize::MAX));
    if order.is_empty() {
        return Err(HarnessError::NothingToScore { what: task.name.to_owned() });
    }
    let prompt = |document| {
        let shown = random.sample(pool, shots);
        Prompt { document, context: context(task, &shown, document) }
    };
    Ok(order.into_iter().map(prompt).collect())
}

fn context(task: &Task, shown: &[usize], document: usize) -> String {
    let mut context = String::new();
    for &shot in shown {
        context.push_str(&task.pool[shot].solved());
        context.push_str(SEPARATOR);
    }
    context + &task.documents[document].text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Document;

    fn numbered(count: usize, prefix: &str) -> Vec<Document> {
        let document = |n| Document {
            text: format!("{prefix}{n}"),
            choices: vec!["!".to_owned(), "?".to_owned()],
            gold: n % 2,
        };
        (0..count).map(document).collect()
    }

    fn task() -> Task {
        let (pool, documents) = (numbered(4, "p"), numbered(6, "d"));
        Task { name: "numbers", version: 0, pool, documents, metrics: &[] }
    }

    fn contexts(shots: usize, limit: Option<usize>) -> Vec<String> {
        let prompts = prompts(&task(), shots, limit).unwrap();
        prompts.into_iter().map(|prompt| prompt.context).collect()
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
        assert_eq!(contexts(2, None), expected);
    }

    #[test]
    fn a_limit_counts_shuffled_documents_and_moves_no_shot() {
        assert_eq!(contexts(2, Some(3)), contexts(2, None)[..3]);
        assert_eq!(contexts(2, Some(99)).len(), 6);
    }

    #[test]
    fn without_shots_the_question_stands_alone() {
        assert_eq!(contexts(0, None), ["d3", "d1", "d2", "d4", "d0", "d5"]);
    }

    #[test]
    fn more_shots_than_examples_are_refused_with_both_numbers() {
        let message = prompts(&task(), 5, None).unwrap_err().to_string();
        assert!(message.contains("5 shots") && message.contains("only 4 rows"), "{message}");
    }

    #[test]
    fn nothing_to_score_is_an_error_and_not_a_mean_of_nothing() {
        assert!(matches!(prompts(&task(), 0, Some(0)), Err(HarnessError::NothingToScore { .. })));
    }
}
