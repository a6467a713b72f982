//! One document after it was asked: what the model answered, and what that came to. Knows scores and
//! texts; who got them from the model is [`mod@crate::evaluate`]'s matter.

use crate::generation::Answer;
use crate::metrics::{self, Outcome};
use crate::requests;
use crate::shots::Prompt;
use crate::task::{Asked, Choice, Document, Task};
use kollama_engine::{Score, ScoreRequest, Tokenizer};
use serde_json::Value;

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

/// Deals requests and their scores back to the documents they belong to; `window` is the model's.
pub fn samples(
    task: &Task,
    prompts: Vec<Prompt>,
    mut requests: &[ScoreRequest],
    mut scores: &[Score],
    tokenizer: &Tokenizer,
    window: usize,
) -> Vec<Sample> {
    let mut deal = |prompt: Prompt| {
        let document = &task.documents[prompt.document];
        let (own_requests, own_scores);
        (own_requests, requests) = requests.split_at(document.choices().len());
        (own_scores, scores) = scores.split_at(document.choices().len());
        let whole = |(request, choice): (&ScoreRequest, &Choice)| {
            let context = prompt.context(choice);
            requests::whole_shots(task.mode, &context, &prompt.shots, request, tokenizer, window)
        };
        let effective_shots = own_requests.iter().zip(document.choices()).map(whole).min();
        Sample {
            choices: document.choices().to_vec(),
            outcome: outcome(document, own_scores),
            scores: own_scores.to_vec(),
            written: None,
            row: document.row.clone(),
            target: document.target.clone(),
            requests_sha256: requests::fingerprint(own_requests),
            is_cut: own_requests.iter().any(|request| requests::is_cut(request, window)),
            effective_shots: effective_shots.unwrap_or(prompt.shots.len()),
            prompt,
        }
    };
    prompts.into_iter().map(&mut deal).collect()
}

impl Sample {
    /// Takes what the model wrote for the document.
    pub fn take(&mut self, answer: Answer, tokenizer: &Tokenizer) {
        let Prompt { text, shots, .. } = &self.prompt;
        let ids = answer.lost + answer.request.context.len();
        self.effective_shots = requests::shots_seen(text, shots, ids, answer.lost, tokenizer);
        self.is_cut = answer.lost > 0;
        self.requests_sha256 = requests::fingerprint(std::slice::from_ref(&answer.request));
        self.outcome = answer.judged.outcome;
        self.written = Some(Written { text: answer.text, extracted: answer.judged.found });
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
