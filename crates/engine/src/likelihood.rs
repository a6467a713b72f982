//! A context, what might follow it, and how likely that is: question and answer of scoring.

/// A context and what might follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreRequest {
    /// Ids before the continuation; where empty, the scorer's prefix token stands in.
    pub context: Vec<u32>,
    /// Ids whose likelihood is asked for; at least one.
    pub continuation: Vec<u32>,
}

/// The answer to a [`ScoreRequest`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Σ ln p over the ids of the continuation.
    pub logprob: f64,
    /// Whether each of them was the likeliest (the first, among equals).
    pub is_greedy: bool,
    /// How many ids were scored.
    pub num_tokens: usize,
}

impl Score {
    /// Of the losses of ids, and whether each was the likeliest.
    pub(crate) fn of(ids: impl Iterator<Item = (f32, bool)>) -> Score {
        let none = Score { logprob: 0.0, is_greedy: true, num_tokens: 0 };
        ids.fold(none, |sum, (loss, greedy)| Score {
            logprob: sum.logprob - f64::from(loss),
            is_greedy: sum.is_greedy && greedy,
            num_tokens: sum.num_tokens + 1,
        })
    }
}
