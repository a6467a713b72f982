//! A task, a model and a number of shots to a result: the other files in their order.

use crate::error::HarnessError;
use crate::metrics::{self, Measured, Outcome};
use crate::requests;
use crate::shots::{self, Prompt};
use crate::task::Task;
use kollama_engine::{Score, ScoreRequest, Scorer, Tokenizer};

/// The protocol that prompts, shots and ids follow.
pub const MODE: &str = "polyglot";

/// Resamples behind the standard error of a metric that is no plain mean; takes about a second for
/// 1,000 documents.
pub const BOOTSTRAP_ITERATIONS: usize = 100_000;

/// What a model did on a task, with all that is needed to know whether two results compare.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskResult {
    /// Name of the task.
    pub task: &'static str,
    /// Version of the task.
    pub version: u32,
    /// Solved examples before each question.
    pub shots: usize,
    /// The limit on documents, where there was one.
    pub limit: Option<usize>,
    /// Positions of the model; longer requests lost their beginning.
    pub window: usize,
    /// Fingerprint of the tokenizer.
    pub tokenizer: String,
    /// SHA-256 over the ids of all requests ([`requests::fingerprint`]).
    pub requests_sha256: String,
    /// One number for each metric of the task.
    pub metrics: Vec<Measured>,
    /// The documents in the order of scoring.
    pub samples: Vec<Sample>,
}

/// One document, scored.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The document and what the model read.
    pub prompt: Prompt,
    /// The choices, in the order of `scores`.
    pub choices: Vec<String>,
    /// The right choice and the likeliest one.
    pub outcome: Outcome,
    /// The score of each choice.
    pub scores: Vec<Score>,
    /// SHA-256 over the ids of its requests.
    pub requests_sha256: String,
    /// Whether at least one of its requests was longer than the model's window.
    pub is_cut: bool,
}

impl TaskResult {
    /// How many documents the model saw without their beginning.
    pub fn cut_documents(&self) -> usize {
        self.samples.iter().filter(|sample| sample.is_cut).count()
    }
}

/// Scores the first `limit` (or all) documents of a task with `shots` examples before each.
///
/// `progress` hears how many requests are done and how many there are. The result depends on
/// nothing but the arguments: not on threads, and not on which requests share a batch.
pub fn evaluate(
    task: &Task,
    tokenizer: &Tokenizer,
    scorer: &mut Scorer,
    shots: usize,
    limit: Option<usize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<TaskResult, HarnessError> {
    let prompts = shots::prompts(task, shots, limit)?;
    let requests = requests::requests(task, &prompts, tokenizer);
    let total = requests.len();
    let scores = scorer.score(&requests, &mut |done| progress(done, total))?;
    let window = scorer.window();
    let samples = samples(task, prompts, &requests, &scores, window);
    let outcomes: Vec<Outcome> = samples.iter().map(|sample| sample.outcome.clone()).collect();
    Ok(TaskResult {
        task: task.name,
        version: task.version,
        shots,
        limit,
        window,
        tokenizer: tokenizer.fingerprint(),
        requests_sha256: requests::fingerprint(&requests),
        metrics: metrics::measure(task.metrics, &outcomes, BOOTSTRAP_ITERATIONS),
        samples,
    })
}

/// Deals requests and their scores back to the documents they belong to.
fn samples(
    task: &Task,
    prompts: Vec<Prompt>,
    requests: &[ScoreRequest],
    scores: &[Score],
    window: usize,
) -> Vec<Sample> {
    let mut dealt = 0;
    let mut deal = |prompt: Prompt| {
        let document = &task.documents[prompt.document];
        let own = dealt..dealt + document.choices.len();
        dealt = own.end;
        let scores = scores[own.clone()].to_vec();
        let logprobs: Vec<f64> = scores.iter().map(|score| score.logprob).collect();
        let characters = document.choices.iter().map(|choice| choice.trim_start().chars().count());
        let per_character: Vec<f64> =
            logprobs.iter().zip(characters).map(|(score, count)| score / count as f64).collect();
        let outcome = Outcome::Chosen {
            gold: document.gold,
            predicted: metrics::first_maximum(&logprobs),
            predicted_normalised: metrics::first_maximum(&per_character),
        };
        Sample {
            prompt,
            choices: document.choices.clone(),
            outcome,
            scores,
            requests_sha256: requests::fingerprint(&requests[own.clone()]),
            is_cut: requests[own].iter().any(|request| requests::is_cut(request, window)),
        }
    };
    prompts.into_iter().map(&mut deal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Document;

    fn score(logprob: f64) -> Score {
        Score { logprob, is_greedy: false, num_tokens: 1 }
    }

    fn request(length: usize) -> ScoreRequest {
        ScoreRequest { context: vec![5; length], continuation: vec![6] }
    }

    #[test]
    fn scores_return_to_their_documents_even_where_these_differ_in_choices() {
        let document = |choices: usize, gold| Document {
            text: String::new(),
            choices: vec!["x".to_owned(); choices],
            gold,
        };
        let documents = vec![document(3, 2), document(2, 1)];
        let task = Task { name: "two", version: 0, pool: vec![], documents, metrics: &[] };
        let prompts = [1, 0].map(|document| Prompt { document, context: String::new() }).to_vec();
        let requests = [4, 5, 4, 4, 4].map(request);
        let scores = [-1.0, -1.0, -3.0, -2.0, -1.5].map(score);
        let samples = samples(&task, prompts, &requests, &scores, 4);
        let outcomes: Vec<Outcome> = samples.iter().map(|sample| sample.outcome.clone()).collect();
        let pairs = outcomes.iter().map(|outcome| (outcome.gold(), outcome.predicted()));
        assert_eq!(pairs.collect::<Vec<_>>(), [(Some(1), Some(0)), (Some(2), Some(2))]);
        assert_eq!(samples.iter().map(|s| s.is_cut).collect::<Vec<_>>(), [true, false]);
        assert_eq!(samples[1].requests_sha256, requests::fingerprint(&requests[2..]));
    }
}
