//! A task, a model and a number of shots to a result: the other files in their order.

use crate::error::HarnessError;
use crate::generation::{self, Answer};
use crate::metrics::{self, Measured, Outcome};
use crate::mode::Mode;
use crate::request_cache::RequestCache;
use crate::requests;
use crate::shots::{self, Asking, Prompt};
use crate::task::{Asked, Choice, Document, Task};
use kollama_engine::{Score, ScoreRequest, Scorer, Tokenizer};
use serde_json::Value;

/// Resamples behind the standard error of a metric that is no plain mean; takes about a second for
/// 1,000 documents.
pub const BOOTSTRAP_ITERATIONS: usize = 100_000;

/// What a model did on a task, with all that is needed to know whether two results compare.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskResult {
    /// Name of the task.
    pub task: String,
    /// The protocol; its seeds are [`Mode::seeds`].
    pub mode: Mode,
    /// Version of the task.
    pub version: String,
    /// The group it is averaged with, where there is one.
    pub group: Option<String>,
    /// Solved examples before each question, how they were chosen, and the limit on documents.
    pub asking: Asking,
    /// Positions of the model; longer requests lost their beginning.
    pub window: usize,
    /// Fingerprint of the tokenizer.
    pub tokenizer: String,
    /// SHA-256 over the texts of all requests ([`requests::texts_fingerprint`]).
    pub prompts_sha256: String,
    /// SHA-256 over the ids of all requests ([`requests::fingerprint`]).
    pub requests_sha256: String,
    /// Each split that was read, with the SHA-256 of its file.
    pub data: Vec<(String, String)>,
    /// All documents of the split, of which a limit leaves the first ones.
    pub documents: usize,
    /// One number for each metric of the task.
    pub metrics: Vec<Measured>,
    /// Other metrics to print beside them ([`metrics::beside`]).
    pub beside: Vec<Measured>,
    /// The documents in the order of scoring.
    pub samples: Vec<Sample>,
}

/// One document, scored.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The document and what the model read.
    pub prompt: Prompt,
    /// What was scored, in the order of `scores`.
    pub choices: Vec<Choice>,
    /// What came of it.
    pub outcome: Outcome,
    /// The score of each choice.
    pub scores: Vec<Score>,
    /// What the model wrote, where it was to write.
    pub written: Option<Written>,
    /// The row the document was made from.
    pub row: Value,
    /// The right answer with the blank it begins with.
    pub target: String,
    /// SHA-256 over the ids of its requests.
    pub requests_sha256: String,
    /// Whether at least one of its requests was longer than the model's window.
    pub is_cut: bool,
    /// The shots that every one of its requests still showed whole.
    pub effective_shots: usize,
}

/// What a model wrote for one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text, cut at its stop.
    pub text: String,
    /// The answer that each filter found in it.
    pub extracted: Vec<(&'static str, String)>,
}

/// The model that is asked, and its words.
pub struct Model<'a> {
    /// Texts to ids.
    pub tokenizer: &'a Tokenizer,
    /// Ids to likelihoods.
    pub scorer: &'a mut Scorer,
    /// Likelihoods that are known already, and keep those that are new.
    pub cache: Option<&'a mut RequestCache>,
}

impl TaskResult {
    /// How many documents the model saw without their beginning.
    pub fn cut_documents(&self) -> usize {
        self.samples.iter().filter(|sample| sample.is_cut).count()
    }

    /// Shots that were still whole, on average over all documents.
    pub fn effective_shots(&self) -> f64 {
        let whole: usize = self.samples.iter().map(|sample| sample.effective_shots).sum();
        whole as f64 / self.samples.len() as f64
    }
}

/// Asks a model what `asking` says of a task.
///
/// `progress` hears how many requests are done and how many there are. The result depends on
/// nothing but the arguments: not on threads, and not on which requests share a batch.
pub fn evaluate(
    task: &Task,
    asking: &Asking,
    model: &mut Model<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<TaskResult, HarnessError> {
    let prompts = shots::prompts(task, asking)?;
    let requests = requests::requests(task, &prompts, model.tokenizer)?;
    let total = requests.len();
    let mut tell = |done| progress(done, total);
    let scores = match &mut model.cache {
        Some(cache) => cache.score(model.scorer, &requests, &mut tell)?,
        None => model.scorer.score(&requests, &mut tell)?,
    };
    let prompts_sha256 = requests::texts_fingerprint(task, &prompts);
    let mut samples = samples(task, prompts, &requests, &scores, model);
    write_answers(task, &mut samples, model, progress)?;
    let outcomes: Vec<Outcome> = samples.iter().map(|sample| sample.outcome.clone()).collect();
    let all = [task.metrics.clone(), metrics::beside(&task.metrics)].concat();
    let mut measured = metrics::measure(&all, &outcomes, BOOTSTRAP_ITERATIONS);
    let beside = measured.split_off(task.metrics.len());
    Ok(TaskResult {
        task: task.name.clone(),
        mode: task.mode,
        version: task.version.clone(),
        group: task.group.clone(),
        asking: *asking,
        window: model.scorer.window(),
        tokenizer: model.tokenizer.fingerprint(),
        prompts_sha256,
        requests_sha256: requests::fingerprint(&all_requests(requests, &samples)),
        data: task.data.clone(),
        documents: task.documents.len(),
        metrics: measured,
        beside,
        samples,
    })
}

/// What was scored, then what answers were written after.
fn all_requests(mut requests: Vec<ScoreRequest>, samples: &[Sample]) -> Vec<ScoreRequest> {
    let written = samples.iter().filter_map(|sample| sample.written.as_ref());
    requests.extend(written.map(|answer| answer.request.clone()));
    requests
}

/// Lets the model write where documents ask for it.
fn write_answers(
    task: &Task,
    samples: &mut [Sample],
    model: &Model<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), HarnessError> {
    let document = |sample: &Sample| &task.documents[sample.prompt.document];
    let writes = |sample: &Sample| matches!(document(sample).asked, Asked::Written { .. });
    let asked: Vec<(&Document, &str)> = samples
        .iter()
        .filter(|sample| writes(sample))
        .map(|sample| (document(sample), sample.prompt.text.as_str()))
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let total = asked.len();
    let mut told = |done| progress(done, total);
    let answers = generation::answers(task.mode, &asked, model.tokenizer, model.scorer, &mut told)?;
    let writing = samples.iter_mut().filter(|sample| writes(sample));
    writing.zip(answers).for_each(|(sample, answer)| take(sample, answer, model.tokenizer));
    Ok(())
}

fn take(sample: &mut Sample, answer: Answer, tokenizer: &Tokenizer) {
    let Prompt { text, shots, .. } = &sample.prompt;
    let ids = answer.lost + answer.request.context.len();
    sample.effective_shots = requests::shots_seen(text, shots, ids, answer.lost, tokenizer);
    sample.is_cut = answer.lost > 0;
    sample.requests_sha256 = requests::fingerprint(std::slice::from_ref(&answer.request));
    sample.outcome = answer.judged.outcome.clone();
    sample.written = Some(answer);
}

/// Deals requests and their scores back to the documents they belong to.
fn samples(
    task: &Task,
    prompts: Vec<Prompt>,
    mut requests: &[ScoreRequest],
    mut scores: &[Score],
    model: &Model<'_>,
) -> Vec<Sample> {
    let mut deal = |prompt: Prompt| {
        let count = task.documents[prompt.document].choices().len();
        let (own_requests, own_scores);
        (own_requests, requests) = requests.split_at(count);
        (own_scores, scores) = scores.split_at(count);
        sample(task, prompt, own_requests, own_scores, model)
    };
    prompts.into_iter().map(&mut deal).collect()
}

fn sample(
    task: &Task,
    prompt: Prompt,
    requests: &[ScoreRequest],
    scores: &[Score],
    model: &Model<'_>,
) -> Sample {
    let document = &task.documents[prompt.document];
    let window = model.scorer.window();
    let whole = |(request, choice): (&ScoreRequest, &Choice)| {
        let context = prompt.context(choice);
        requests::whole_shots(task.mode, &context, &prompt.shots, request, model.tokenizer, window)
    };
    let effective_shots = requests.iter().zip(document.choices()).map(whole).min();
    Sample {
        choices: document.choices().to_vec(),
        outcome: outcome(document, scores),
        scores: scores.to_vec(),
        written: None,
        row: document.row.clone(),
        target: document.target.clone(),
        requests_sha256: requests::fingerprint(requests),
        is_cut: requests.iter().any(|request| requests::is_cut(request, window)),
        effective_shots: effective_shots.unwrap_or(prompt.shots.len()),
        prompt,
    }
}

/// What the likelihoods of a document's choices come to.
fn outcome(document: &Document, scores: &[Score]) -> Outcome {
    let logprobs: Vec<f64> = scores.iter().map(|score| score.logprob).collect();
    match &document.asked {
        Asked::Choices { choices, gold } => Outcome::Chosen {
            gold: *gold,
            predicted: metrics::first_maximum(&logprobs),
            predicted_normalised: metrics::first_maximum(&per_character(&logprobs, choices)),
        },
        Asked::ManyTrue { apart, is_true, .. } => many_true(&logprobs, *apart, is_true),
        Asked::Written { .. } => Outcome::Written { values: Vec::new() },
    }
}

fn per_character(logprobs: &[f64], choices: &[Choice]) -> Vec<f64> {
    let pairs = logprobs.iter().zip(choices);
    pairs.map(|(logprob, choice)| logprob / choice.characters as f64).collect()
}

/// The probabilities are taken relative to the likeliest, so that none of many tokens becomes 0.
fn many_true(logprobs: &[f64], apart: usize, is_true: &[bool]) -> Outcome {
    let (alone, logprobs) = logprobs.split_at(apart);
    let best = metrics::first_maximum(logprobs);
    let is_hit = if apart == 0 { is_true[best] } else { metrics::first_maximum(alone) == 0 };
    let shares = logprobs.iter().map(|logprob| (logprob - logprobs[best]).exp());
    let (mut of_true, mut of_all) = (0.0, 0.0);
    for (share, &is_true) in shares.zip(is_true) {
        of_all += share;
        of_true += if is_true { share } else { 0.0 };
    }
    Outcome::ManyTrue { mc1: f64::from(u8::from(is_hit)), mc2: of_true / of_all }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(logprob: f64) -> Score {
        Score { logprob, is_greedy: false, num_tokens: 1 }
    }

    fn came_to(asked: Asked, logprobs: &[f64]) -> Outcome {
        let document =
            Document { text: String::new(), target: String::new(), asked, row: Value::Null };
        let scores: Vec<Score> = logprobs.iter().copied().map(score).collect();
        outcome(&document, &scores)
    }

    #[test]
    fn the_first_of_equally_likely_choices_is_predicted_and_blanks_are_no_characters() {
        let choices = ["한국어", "가", "나"].map(|it| Choice::new(" ", it)).to_vec();
        let asked = Asked::Choices { choices, gold: 2 };
        let expected = Outcome::Chosen { gold: 2, predicted: 1, predicted_normalised: 0 };
        assert_eq!(came_to(asked, &[-2.0, -1.0, -1.0]), expected);
    }

    #[test]
    fn the_share_of_the_true_ones_is_that_of_probabilities_however_small_they_are() {
        let choices = ["a", "b", "c"].map(|it| Choice::new(" ", it)).to_vec();
        let asked = Asked::ManyTrue { choices, apart: 0, is_true: vec![true, false, true] };
        let quarter = 0.25f64.ln() - 2000.0;
        let Outcome::ManyTrue { mc1, mc2 } =
            came_to(asked, &[quarter, 0.5f64.ln() - 2000.0, quarter])
        else {
            panic!("several are true");
        };
        assert_eq!(mc1, 0.0);
        assert!((mc2 - 0.5).abs() < 1e-12, "{mc2}");
    }
}
