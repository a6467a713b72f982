//! Logits to log-probabilities: of one token, and of the likeliest. What the model says, before any
//! penalty, bias or temperature.

use crate::request::TokenLogprobs;
use std::cmp::Ordering;

/// ln p of `token` and of the `count` likeliest, likeliest first, the smaller id first among equals.
/// `None` if a logit is NaN or +∞, or none is finite.
pub fn logprobs_of(logits: &[f32], token: u32, count: usize) -> Option<TokenLogprobs> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from((logit - highest).exp())).sum();
    let all = f64::from(highest) + sum.ln();
    if !all.is_finite() {
        return None;
    }
    let logprob = |logit: f32| (f64::from(logit) - all) as f32;
    let likeliest = likeliest(logits, count).into_iter().map(|(id, x)| (id, logprob(x))).collect();
    Some(TokenLogprobs { token, logprob: logprob(logits[token as usize]), likeliest })
}

fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let count = count.min(logits.len());
    if count == 0 {
        return Vec::new();
    }
    let mut pairs: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    pairs.select_nth_unstable_by(count - 1, likelier_first);
    pairs.truncate(count);
    pairs.sort_unstable_by(likelier_first);
    pairs
}

/// The order of candidates.
pub fn likelier_first(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_all_tokens_sum_to_one_and_the_first_of_equals_leads() {
        let logits = [0.5, 3.0, -1.0, 3.0, f32::NEG_INFINITY];
        let told = logprobs_of(&logits, 2, 9).unwrap();
        let ids: Vec<u32> = told.likeliest.iter().map(|&(id, _)| id).collect();
        assert_eq!(ids, [1, 3, 0, 2, 4]);
        let sum: f64 = told.likeliest.iter().map(|&(_, x)| f64::from(x).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        assert_eq!(told.logprob, told.likeliest[3].1);
    }

    #[test]
    fn what_is_no_number_has_no_probability() {
        assert_eq!(logprobs_of(&[0.0, f32::NAN], 0, 1), None);
        assert_eq!(logprobs_of(&[f32::NEG_INFINITY; 2], 0, 1), None);
        assert_eq!(logprobs_of(&[0.0, f32::INFINITY], 0, 1), None);
    }
}
