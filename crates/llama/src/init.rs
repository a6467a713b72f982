//! Random weights. Each tensor is a function of the seed and of its name, so that neither the
//! order of tensors, nor the number of threads, nor the rest of the model changes it.

use crate::checkpoint::plan;
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::parameters::is_norm;
use crate::safetensors::TensorHead;
use crate::stored_type::StoredType;
use crate::writing::{Progress, Sink, write_folder};
use std::path::Path;

/// Values drawn and written at a time.
const PIECE: usize = 1 << 21;
/// Fewer values than this are not worth another thread.
const THREAD_PIECE: usize = 1 << 14;

/// Writes a model of random weights: matrices from N(0, `initializer_range`), norms 1. Needs
/// memory for a few megabytes, whatever the size of the model.
///
/// # Errors
/// If the configuration cannot make a model, or a file cannot be written.
pub fn init_checkpoint(
    config: &LlamaConfig,
    seed: u64,
    stored: StoredType,
    out: &Path,
    progress: Progress<'_>,
) -> Result<(), LlamaError> {
    config.validate()?;
    let config = LlamaConfig { dtype: Some(stored.name().into()), ..config.clone() };
    let plan = plan(&config, stored);
    write_folder(out, &config, &plan, progress, &mut |head, sink| {
        let values = head.shape.iter().product();
        write_random(head, seed, values, config.initializer_range, stored, sink)
    })?;
    Ok(())
}

fn write_random(
    head: &TensorHead,
    seed: u64,
    values: usize,
    deviation: f32,
    stored: StoredType,
    sink: &mut Sink<'_>,
) -> Result<(), LlamaError> {
    let normals = Normals::new(seed, &head.name);
    let mut bytes = Vec::new();
    let mut piece = vec![1.0; values.min(PIECE)];
    for first in (0..values).step_by(PIECE) {
        piece.truncate(values - first);
        if !is_norm(&head.name) {
            normals.fill(first as u64, &mut piece);
            piece.iter_mut().for_each(|value| *value *= deviation);
        }
        stored.encode(&piece, &mut bytes);
        sink.write(&bytes)?;
    }
    Ok(())
}

/// A sequence of values from N(0, 1) of which any can be asked for: SplitMix64 (Steele, Lea and
/// Flood 2014) of a counter, made normal by the inverse of the normal distribution.
pub(crate) struct Normals {
    key: u64,
}

/// 2⁶⁴ divided by the golden ratio: the step of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Normals {
    /// The sequence that belongs to a seed and a name.
    pub fn new(seed: u64, name: &str) -> Normals {
        // FNV-1a, then mixed with the seed.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Normals { key: mixed(hash ^ mixed(seed.wrapping_add(STEP))) }
    }

    /// Values `first ..` of the sequence; drawn by several threads if there are many.
    pub fn fill(&self, first: u64, out: &mut [f32]) {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        let part = out.len().div_ceil(threads).max(THREAD_PIECE);
        std::thread::scope(|scope| {
            for (number, values) in out.chunks_mut(part).enumerate() {
                scope.spawn(move || self.fill_here(first + (number * part) as u64, values));
            }
        });
    }

    fn fill_here(&self, first: u64, out: &mut [f32]) {
        for (place, value) in (first..).zip(out) {
            let bits = mixed(self.key.wrapping_add(STEP.wrapping_mul(place)));
            *value = normal_quantile(((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64) as f32;
        }
    }
}

/// The output function of SplitMix64.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The value below which a share `p` of N(0, 1) lies, to 7 digits: PPND7 of algorithm AS 241
/// (Wichura 1988), three quotients of polynomials for the middle, the sides and the far ends.
fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let above = polynomial([3.3871327179, 50.434271938, 159.29113202, 59.109374720], r);
        return q * above / polynomial([1.0, 17.895169469, 78.757757664, 67.187563600], r);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let size = if r <= 5.0 {
        let r = r - 1.6;
        let above = polynomial([1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103], r);
        above / polynomial([1.0, 0.73700164250, 0.12021132975], r)
    } else {
        let r = r - 5.0;
        let above = polynomial([6.6579051150, 3.0812263860, 0.42868294337, 0.017337203997], r);
        above / polynomial([1.0, 0.24197894225, 0.012258202635], r)
    };
    size.copysign(q)
}

/// `Σ_i coefficients[i] · xⁱ`
fn polynomial<const N: usize>(coefficients: [f64; N], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(first: u64, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        Normals::new(7, "a.weight").fill(first, &mut values);
        values
    }

    #[test]
    fn any_part_of_a_sequence_can_be_drawn_alone() {
        let all = drawn(0, 100_000);
        assert_eq!(drawn(17, 50_001), all[17..50_018]);
        assert_eq!(drawn(18, 3), all[18..21]);
        assert_eq!(drawn(99_999, 1), all[99_999..]);
    }

    #[test]
    fn values_are_normal_in_their_first_four_moments() {
        let values = drawn(0, 1 << 20);
        let moment = |power: i32| {
            values.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / values.len() as f64
        };
        for (power, expected) in [(1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)] {
            assert!((moment(power) - expected).abs() < 0.02, "moment {power}: {}", moment(power));
        }
    }

    #[test]
    fn another_seed_or_name_is_another_sequence() {
        let first = |seed, name| {
            let mut values = [0.0; 2];
            Normals::new(seed, name).fill(0, &mut values);
            values
        };
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_eq!(first(1, "a"), first(1, "a"));
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // From the cumulative distribution in 30 digits.
        for (p, expected) in [
            (0.5, 0.0),
            (0.025, -1.959963984540054),
            (0.9, 1.2815515655446004),
            (1e-5, -4.264890793922825),
            (1e-13, -7.348796102800334),
        ] {
            let apart = (normal_quantile(p) - expected).abs();
            assert!(apart <= 1e-6 * f64::abs(expected), "{p}: {apart:e} apart");
        }
    }
}
