//! Random weights. Each tensor is a function of the seed and of its name, so that neither the
//! order of tensors, nor the number of threads, nor the rest of the model changes it.

use crate::checkpoint::plan;
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::parameters::is_norm;
use crate::safetensors::{StoredType, TensorHead};
use crate::writing::{Progress, Sink, write_folder};
use std::path::Path;

/// Values drawn and written at a time.
const PIECE: usize = 1 << 21;
/// Fewer values than this are not worth a thread.
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
    let config = LlamaConfig {
        dtype: Some(stored.name().into()),
        ..config.clone()
    };
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
/// Flood 2014) of a counter, made normal as Box and Muller (1958) do.
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
        Normals {
            key: mixed(hash ^ mixed(seed.wrapping_add(STEP))),
        }
    }

    /// Values `first ..` of the sequence; drawn by several threads if there are many.
    pub fn fill(&self, first: u64, out: &mut [f32]) {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        if threads == 1 || out.len() < 2 * THREAD_PIECE {
            return self.fill_here(first, out);
        }
        let part = out.len().div_ceil(threads);
        std::thread::scope(|scope| {
            for (number, part_out) in out.chunks_mut(part).enumerate() {
                scope.spawn(move || self.fill_here(first + (number * part) as u64, part_out));
            }
        });
    }

    fn fill_here(&self, first: u64, out: &mut [f32]) {
        let (odd, pairs) = out.split_at_mut(usize::from(first % 2 == 1).min(out.len()));
        odd.fill(self.pair(first / 2)[1]);
        for (number, pair) in pairs.chunks_mut(2).enumerate() {
            let values = self.pair(first.div_ceil(2) + number as u64);
            pair.copy_from_slice(&values[..pair.len()]);
        }
    }

    /// Values `2 * number` and `2 * number + 1`.
    fn pair(&self, number: u64) -> [f32; 2] {
        let counter = self.key.wrapping_add(STEP.wrapping_mul(2 * number));
        let radius = (-2.0 * (1.0 - unit(mixed(counter))).ln()).sqrt();
        let angle = std::f64::consts::TAU * unit(mixed(counter.wrapping_add(STEP)));
        [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]
    }
}

/// The output function of SplitMix64.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// At least 0, below 1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
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
            values
                .iter()
                .map(|&x| f64::from(x).powi(power))
                .sum::<f64>()
                / values.len() as f64
        };
        for (power, expected) in [(1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)] {
            assert!(
                (moment(power) - expected).abs() < 0.02,
                "moment {power}: {}",
                moment(power)
            );
        }
    }

    #[test]
    fn another_seed_or_name_is_another_sequence() {
        let first = |seed, name| Normals::new(seed, name).pair(0);
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_eq!(first(1, "a"), first(1, "a"));
    }
}
