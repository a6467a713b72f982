//! Which row comes when: every row once per epoch, in an order that is a pure function of seed and
//! epoch and is found without storing it, so that any step of any run can be looked up at once.
//!
//! A balanced Feistel network permutes the smallest power of four that covers the rows; results
//! outside are sent through again until they fall inside ("cycle walking", Black and Rogaway 2002,
//! "Ciphers with Arbitrary Finite Domains"). Fewer than four passes are needed on average.

const ROUNDS: usize = 8;

/// A permutation of `0..size`.
pub struct Permutation {
    size: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The order of an epoch.
    ///
    /// # Panics
    /// If `size` is 0.
    pub fn new(size: u64, seed: u64, epoch: u64) -> Permutation {
        assert!(size > 0, "a permutation of nothing");
        let bits = u64::BITS - (size - 1).leading_zeros();
        let mut state = mixed(mixed(seed) ^ epoch);
        let keys = std::array::from_fn(|_| {
            state = mixed(state);
            state
        });
        Permutation { size, half_bits: bits.div_ceil(2).max(1), keys }
    }

    /// What stands at `place`, which is below `size`.
    pub fn at(&self, place: u64) -> u64 {
        debug_assert!(place < self.size);
        let mut value = self.encrypted(place);
        while value >= self.size {
            value = self.encrypted(value);
        }
        value
    }

    fn encrypted(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let halves = (value >> self.half_bits, value & mask);
        let (left, right) = self
            .keys
            .iter()
            .fold(halves, |(left, right), key| (right, left ^ (mixed(right ^ key) & mask)));
        left << self.half_bits | right
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(size: u64, seed: u64, epoch: u64) -> Vec<u64> {
        let permutation = Permutation::new(size, seed, epoch);
        (0..size).map(|place| permutation.at(place)).collect()
    }

    #[test]
    fn every_row_comes_once_whatever_their_number() {
        for size in (1..=130).chain([1000, 4096, 4097, 65_537]) {
            let mut rows = order(size, 7, 3);
            rows.sort_unstable();
            assert!(rows.into_iter().eq(0..size), "{size} rows");
        }
    }

    #[test]
    fn another_seed_or_another_epoch_is_another_order() {
        assert_eq!(order(100, 1, 0), order(100, 1, 0));
        assert_ne!(order(100, 1, 0), order(100, 2, 0));
        assert_ne!(order(100, 1, 0), order(100, 1, 1));
        assert_ne!(order(100, 1, 0), order(100, 0, 1));
    }

    #[test]
    fn over_many_seeds_every_row_comes_first_about_equally_often() {
        let (size, draws) = (20, 20_000);
        let mut counts = vec![0.0; size as usize];
        for seed in 0..draws {
            counts[Permutation::new(size, seed, 0).at(0) as usize] += 1.0;
        }
        let expected = draws as f64 / size as f64;
        let chi_square: f64 = counts.iter().map(|n: &f64| (n - expected).powi(2) / expected).sum();
        assert!(chi_square < 43.8, "{chi_square}: 0.1 % of fair orders are as uneven");
    }

    #[test]
    fn neighbours_do_not_stay_together() {
        let rows = order(10_000, 5, 0);
        let close = rows.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 100).count();
        assert!(close < 400, "{close} of 9,999 pairs, about 200 are expected");
    }
}
