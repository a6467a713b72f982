//! Logits to one id. Deterministic: the draw is a pure function of seed, number of the token and
//! logits.

use crate::request::Sampling;

/// Chooses the next id.
///
/// `logits` has one entry per vocabulary id and is used as scratch; `seen` holds prompt and answer
/// so far; `index` counts the tokens of the answer. `None` if a logit is NaN or +∞, or none is
/// finite; −∞ is an id that is never chosen.
pub fn sample(logits: &mut [f32], seen: &[u32], sampling: &Sampling, index: u64) -> Option<u32> {
    penalise(logits, seen, sampling.repetition_penalty);
    if logits.iter().any(|&logit| logit.is_nan() || logit == f32::INFINITY) {
        return None;
    }
    let best = argmax(logits)?;
    if sampling.temperature == 0.0 {
        return Some(best as u32);
    }
    let candidates = candidates(logits, logits[best], sampling);
    let total: f64 = candidates.iter().map(|&(_, weight)| weight).sum();
    let mut target = uniform(sampling.seed, index) * total;
    let drawn = candidates.iter().find(|&&(_, weight)| {
        target -= weight;
        target < 0.0
    });
    Some(drawn.or(candidates.last()).map_or(best as u32, |&(id, _)| id))
}

/// First index of the greatest finite value.
pub fn argmax(logits: &[f32]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (index, &logit) in logits.iter().enumerate() {
        if logit.is_finite() && best.is_none_or(|best| logit > logits[best]) {
            best = Some(index);
        }
    }
    best
}

fn penalise(logits: &mut [f32], seen: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut seen = seen.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        let logit = &mut logits[id as usize];
        *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
    }
}

/// What may be drawn, likeliest first, with weights relative to the likeliest.
fn candidates(logits: &[f32], highest: f32, sampling: &Sampling) -> Vec<(u32, f64)> {
    let temperature = f64::from(sampling.temperature);
    let weight = |logit: f32| ((f64::from(logit) - f64::from(highest)) / temperature).exp();
    let mut kept: Vec<(u32, f64)> =
        logits.iter().zip(0..).map(|(&logit, id)| (id, weight(logit))).collect();
    kept.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if sampling.top_k > 0 {
        kept.truncate(sampling.top_k);
    }
    keep_top_p(&mut kept, f64::from(sampling.top_p));
    let least = f64::from(sampling.min_p);
    kept.retain(|&(_, weight)| weight >= least);
    kept
}

fn keep_top_p(kept: &mut Vec<(u32, f64)>, top_p: f64) {
    if top_p >= 1.0 {
        return;
    }
    let goal = top_p * kept.iter().map(|&(_, weight)| weight).sum::<f64>();
    let mut reached = 0.0;
    let enough = kept.iter().position(|&(_, weight)| {
        reached += weight;
        reached >= goal
    });
    kept.truncate(enough.map_or(kept.len(), |last| last + 1));
}

/// A number in [0, 1) from SplitMix64 (Steele, Lea and Flood 2014).
fn uniform(seed: u64, index: u64) -> f64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOT: Sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };

    fn drawn(logits: &[f32], sampling: Sampling) -> Vec<u32> {
        let draw = |index| sample(&mut logits.to_vec(), &[], &sampling, index);
        (0..2000).filter_map(draw).collect()
    }

    #[test]
    fn temperature_zero_takes_the_first_maximum() {
        assert_eq!(sample(&mut [0.0, 2.0, 2.0], &[], &Sampling::GREEDY, 0), Some(1));
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let ids = drawn(&[3f32.ln(), 0.0], HOT);
        let share = ids.iter().filter(|&&id| id == 0).count() as f64 / ids.len() as f64;
        assert!((share - 0.75).abs() < 0.04, "{share}");
    }

    #[test]
    fn top_k_top_p_and_min_p_cut_the_tail() {
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.15f32.ln(), 0.05f32.ln()];
        let highest = |sampling| drawn(&logits, sampling).into_iter().max();
        assert_eq!(highest(Sampling { top_k: 2, ..HOT }), Some(1));
        assert_eq!(highest(Sampling { top_p: 0.9, ..HOT }), Some(2));
        assert_eq!(highest(Sampling { min_p: 0.5, ..HOT }), Some(1));
        assert_eq!(highest(HOT), Some(3));
    }

    #[test]
    fn a_penalty_moves_both_signs_away_from_repetition() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::GREEDY };
        assert_eq!(sample(&mut [2.0, 1.5], &[0], &sampling, 0), Some(1));
        assert_eq!(sample(&mut [-1.0, -1.5], &[0], &sampling, 0), Some(1));
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for sampling in [Sampling::GREEDY, HOT] {
            for bad in [[0.0, f32::NAN], [0.0, f32::INFINITY], [f32::NEG_INFINITY; 2]] {
                assert_eq!(sample(&mut bad.clone(), &[], &sampling, 0), None, "{bad:?}");
            }
        }
    }

    #[test]
    fn a_penalty_that_overflows_is_refused() {
        let sampling = Sampling { repetition_penalty: 0.01, ..HOT };
        assert_eq!(sample(&mut [f32::MAX, 0.0], &[0], &sampling, 0), None);
    }

    #[test]
    fn minus_infinity_is_never_drawn() {
        let ids = drawn(&[f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY], HOT);
        assert_eq!((ids.len(), ids.iter().all(|&id| id == 1)), (2000, true));
    }
}
