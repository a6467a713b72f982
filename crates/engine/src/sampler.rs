//! Logits to one id. Deterministic: the draw is a pure function of seed, number of the token and
//! logits. A vocabulary is read a few times, never sorted as a whole.

use crate::logprobs::likelier_first;
use crate::request::Sampling;

/// Candidates that are put in order first; the one that is drawn is nearly always among them.
const FIRST_PORTION: usize = 64;
/// Values that are compared side by side.
const LANES: usize = 16;

/// Chooses ids; keeps its working memory from one to the next.
#[derive(Debug, Default)]
pub struct Sampler {
    /// Which ids were penalised already; all `false` between two draws.
    penalised: Vec<bool>,
    /// Ids that may be drawn, with their logits.
    kept: Vec<(u32, f32)>,
}

impl Sampler {
    /// Chooses the next id.
    ///
    /// `logits` has one entry per vocabulary id and is used as scratch; `seen` holds prompt and
    /// answer so far; `index` counts the tokens of the answer, the last of them. `None` if a logit is NaN or +∞, or
    /// none is finite; −∞ is an id that is never chosen.
    pub fn sample(
        &mut self,
        logits: &mut [f32],
        seen: &[u32],
        sampling: &Sampling,
        index: u64,
    ) -> Option<u32> {
        self.penalise(logits, seen, sampling.repetition_penalty);
        self.penalise_answer(logits, &seen[seen.len() - index as usize..], sampling);
        let highest = highest(logits)?;
        if sampling.temperature == 0.0 {
            return logits.iter().position(|&logit| logit == highest).map(|id| id as u32);
        }
        let temperature = f64::from(sampling.temperature);
        let weight = |logit: f32| ((f64::from(logit) - f64::from(highest)) / temperature).exp();
        self.keep_candidates(logits, sampling, weight);
        let total: f64 = self.kept.iter().map(|&(_, logit)| weight(logit)).sum();
        let mut target = uniform(sampling.seed, index) * total;
        let drawn = first_of_likeliest(&mut self.kept, |logit| {
            target -= weight(logit);
            target < 0.0
        });
        // What rounding leaves of the target belongs to the last.
        drawn.map_or(self.kept.last(), |place| self.kept.get(place)).map(|&(id, _)| id)
    }

    fn penalise(&mut self, logits: &mut [f32], seen: &[u32], penalty: f32) {
        if penalty == 1.0 {
            return;
        }
        self.penalised.resize(logits.len(), false);
        for id in seen.iter().map(|&id| id as usize) {
            if !std::mem::replace(&mut self.penalised[id], true) {
                let logit = &mut logits[id];
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        seen.iter().for_each(|&id| self.penalised[id as usize] = false);
    }

    /// As OpenAI's API defines it: once for being there, and once for each time.
    fn penalise_answer(&mut self, logits: &mut [f32], answer: &[u32], sampling: &Sampling) {
        let (presence, frequency) = (sampling.presence_penalty, sampling.frequency_penalty);
        if presence == 0.0 && frequency == 0.0 {
            return;
        }
        self.penalised.resize(logits.len(), false);
        for id in answer.iter().map(|&id| id as usize) {
            let is_new = !std::mem::replace(&mut self.penalised[id], true);
            logits[id] -= frequency + if is_new { presence } else { 0.0 };
        }
        answer.iter().for_each(|&id| self.penalised[id as usize] = false);
    }

    /// What may be drawn, with `weight` relative to the likeliest.
    fn keep_candidates(
        &mut self,
        logits: &[f32],
        sampling: &Sampling,
        weight: impl Fn(f32) -> f64,
    ) {
        let kept = &mut self.kept;
        kept.clear();
        kept.extend((0..).zip(logits.iter().copied()).filter(|pair| pair.1 != f32::NEG_INFINITY));
        if (1..kept.len()).contains(&sampling.top_k) {
            kept.select_nth_unstable_by(sampling.top_k - 1, likelier_first);
            kept.truncate(sampling.top_k);
        }
        if sampling.top_p < 1.0 {
            let total: f64 = kept.iter().map(|&(_, logit)| weight(logit)).sum();
            let (goal, mut reached) = (f64::from(sampling.top_p) * total, 0.0);
            let enough = first_of_likeliest(kept, |logit| {
                reached += weight(logit);
                reached >= goal
            });
            kept.truncate(enough.map_or(kept.len(), |last| last + 1));
        }
        if sampling.min_p > 0.0 {
            kept.retain(|&(_, logit)| weight(logit) >= f64::from(sampling.min_p));
        }
    }
}

/// The greatest logit; `None` where any is NaN or +∞ or none is finite.
fn highest(logits: &[f32]) -> Option<f32> {
    let (mut greatest, mut bad) = ([f32::NEG_INFINITY; LANES], [false; LANES]);
    let (parts, rest) = logits.as_chunks::<LANES>();
    let mut take = |lane: usize, logit: f32| {
        greatest[lane] = if logit > greatest[lane] { logit } else { greatest[lane] };
        bad[lane] |= logit.is_nan();
    };
    for part in parts {
        (0..LANES).for_each(|lane| take(lane, part[lane]));
    }
    rest.iter().for_each(|&logit| take(0, logit));
    let highest = greatest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    (highest.is_finite() && !bad.contains(&true)).then_some(highest)
}

/// Place of the first candidate, taken likeliest first, whose logit `found` accepts; puts them in
/// order only as far as that.
fn first_of_likeliest(
    kept: &mut [(u32, f32)],
    mut found: impl FnMut(f32) -> bool,
) -> Option<usize> {
    let (mut sorted, mut portion) = (0, FIRST_PORTION);
    while sorted < kept.len() {
        let rest = &mut kept[sorted..];
        let portion_here = portion.min(rest.len());
        rest.select_nth_unstable_by(portion_here - 1, likelier_first);
        let part = &mut rest[..portion_here];
        part.sort_unstable_by(likelier_first);
        if let Some(place) = part.iter().position(|&(_, logit)| found(logit)) {
            return Some(sorted + place);
        }
        sorted += portion_here;
        portion *= 8;
    }
    None
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

    fn sample(logits: &mut [f32], seen: &[u32], sampling: &Sampling, index: u64) -> Option<u32> {
        Sampler::default().sample(logits, seen, sampling, index)
    }

    const HOT: Sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };

    fn drawn(logits: &[f32], sampling: Sampling) -> Vec<u32> {
        let draw = |index| sample(&mut logits.to_vec(), &vec![0; index as usize], &sampling, index);
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
    fn presence_counts_once_and_frequency_each_time_in_the_answer_only() {
        let presence = Sampling { presence_penalty: 1.0, ..Sampling::GREEDY };
        let frequency = Sampling { frequency_penalty: 1.0, ..Sampling::GREEDY };
        let both = [0, 0];
        assert_eq!(sample(&mut [2.5, 1.0], &both, &presence, 2), Some(0));
        assert_eq!(sample(&mut [2.5, 1.0], &both, &frequency, 2), Some(1));
        assert_eq!(sample(&mut [2.5, 1.0], &both, &frequency, 1), Some(0), "one is the prompt's");
        assert_eq!(sample(&mut [1.5, 1.0], &both, &presence, 2), Some(1));
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

    #[test]
    fn a_large_vocabulary_is_drawn_from_as_if_it_were_sorted() {
        let logits: Vec<f32> = (0..3000).map(|id| (id * 7919 % 3001) as f32 / 900.0).collect();
        let mut sampler = Sampler::default();
        for sampling in [HOT, Sampling { top_p: 0.7, ..HOT }, Sampling { top_k: 900, ..HOT }] {
            for index in 0..200 {
                let seen = vec![0; index as usize];
                let drawn = sampler.sample(&mut logits.clone(), &seen, &sampling, index);
                assert_eq!(drawn, drawn_from_sorted(&logits, &sampling, index));
            }
        }
    }

    fn drawn_from_sorted(logits: &[f32], sampling: &Sampling, index: u64) -> Option<u32> {
        let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
        ids.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
        ids.truncate(if sampling.top_k > 0 { sampling.top_k } else { ids.len() });
        let weight = |&id: &u32| f64::from(logits[id as usize]).exp();
        let goal = ids.iter().map(weight).sum::<f64>() * f64::from(sampling.top_p);
        let mut sum = 0.0;
        let before = |sum: &mut f64, id: &u32| std::mem::replace(sum, *sum + weight(id));
        ids.retain(|id| before(&mut sum, id) < goal);
        let target = uniform(sampling.seed, index) * ids.iter().map(weight).sum::<f64>();
        sum = 0.0;
        ids.into_iter().take_while(|id| before(&mut sum, id) <= target).last()
    }
}
