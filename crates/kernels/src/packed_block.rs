//! How 32 numbers are rounded to 8 or 4 bits with a scale: the definition, for weights and for the
//! rows they are multiplied with. Plain arithmetic without fused additions, so that every device
//! that does the same has the same bits.

use crate::dtype::DType;
use crate::packed_layout::{BLOCK, put_bf16, put_q4, put_q8, put_scale};
use half::bf16;

/// Writes a row of a block of a packed matrix: at most 32 values, zeros after them.
#[inline(always)]
pub fn pack_row(block: &mut [u8], row: usize, x: &[f32], dtype: DType) {
    let x = filled_up(x);
    match dtype {
        DType::Q8 => {
            let Rounded { scale, numbers } = q8(&x);
            put_scale(block, row, scale);
            put_q8(block, row, &numbers);
        }
        DType::Q4 => {
            let Rounded { scale, numbers } = q4(&x);
            put_scale(block, row, scale);
            put_q4(block, row, &numbers);
        }
        _ => put_bf16(block, row, &x.map(bf16::from_f32)),
    }
}

/// A block of a row, zeros beyond its end.
#[inline(always)]
pub fn filled_up(x: &[f32]) -> [f32; BLOCK] {
    x.first_chunk().copied().unwrap_or_else(|| {
        let mut filled = [0.0; BLOCK];
        filled[..x.len()].copy_from_slice(x);
        filled
    })
}

/// A row of a block, rounded: element `i` is `scale · numbers[i]`.
pub struct Rounded {
    /// The size of a step; negative in `Q4` where the largest number is positive.
    pub scale: bf16,
    /// Whole numbers of steps.
    pub numbers: [i8; BLOCK],
}

/// What a row of a block with a number that is not finite becomes, so that nothing is hidden.
const NOT_A_NUMBER: Rounded = Rounded { scale: bf16::NAN, numbers: [0; BLOCK] };

/// Weights in -127 ..= 127 steps of the largest of them / 127.
#[inline(always)]
pub fn q8(weights: &[f32; BLOCK]) -> Rounded {
    if !finite(weights) {
        return NOT_A_NUMBER;
    }
    let scale = bf16::from_f32(largest(weights) / 127.0);
    // A scale rounded down by half its last bit makes 127.25 of 127, which is rounded back.
    let numbers = steps(weights, inverse(scale.to_f32()), -127.0, 127.0);
    Rounded { scale, numbers: numbers.map(|number| number as i8) }
}

/// Scales that are tried, as the number of steps of the largest weight: -8 has one step more than 7.
/// Beyond them lie scales that cut the largest weights off, which pays where they are alone.
const TRIED: [f32; 12] = [-8.0, -8.4, -7.6, -8.8, -7.2, -9.3, -6.8, -9.9, 7.0, 7.4, 6.6, 7.9];

/// Weights in -8 ..= 7 steps. Each of some scales leads to numbers, and these to the scale of least
/// squares, which leaves `Σ w² − (Σ w·number)² / Σ number²` of the weights `w`: the one that leaves
/// least is taken, and the weights are rounded once more, with it.
#[inline(always)]
pub fn q4(weights: &[f32; BLOCK]) -> Rounded {
    if !finite(weights) {
        return NOT_A_NUMBER;
    }
    let (mut best, mut most) = (0.0, 0.0);
    let far = farthest(weights);
    for tried in TRIED {
        let numbers = steps(weights, tried * inverse(far), -8.0, 7.0);
        let product = products(weights, &numbers);
        let scale = product * inverse(products(&numbers, &numbers));
        if product * scale > most {
            (best, most) = (scale, product * scale);
        }
    }
    let scale = bf16::from_f32(best);
    let numbers = steps(weights, inverse(scale.to_f32()), -8.0, 7.0);
    Rounded { scale, numbers: numbers.map(|number| number as i8) }
}

/// What a row of activations becomes: numbers -127 ..= 127 and their scale, in single precision,
/// which is NaN where a number is not finite.
#[inline(always)]
pub fn activations(x: &[f32; BLOCK]) -> (f32, [i8; BLOCK]) {
    if !finite(x) {
        return (f32::NAN, [0; BLOCK]);
    }
    let largest = largest(x);
    let numbers = steps(x, activation_steps(largest), -127.0, 127.0);
    (largest / 127.0, numbers.map(|number| number as i8))
}

/// Steps of one, of a block whose largest number is `largest`: none where they would be infinitely many.
#[inline(always)]
pub fn activation_steps(largest: f32) -> f32 {
    let steps = 127.0 / largest;
    if steps.is_finite() { steps } else { 0.0 }
}

/// The nearest whole numbers (even ones in the middle) of `steps · x`.
#[inline(always)]
fn steps(x: &[f32; BLOCK], steps: f32, lowest: f32, highest: f32) -> [f32; BLOCK] {
    let mut numbers = [0.0; BLOCK];
    for (number, x) in numbers.iter_mut().zip(x) {
        *number = (x * steps).clamp(lowest, highest).round_ties_even();
    }
    numbers
}

/// 1 / x, and 0 where that is no number to multiply with.
#[inline(always)]
fn inverse(x: f32) -> f32 {
    let inverse = 1.0 / x;
    if inverse.is_finite() { inverse } else { 0.0 }
}

#[inline(always)]
fn finite(x: &[f32; BLOCK]) -> bool {
    x.iter().all(|x| x.is_finite())
}

#[inline(always)]
fn largest(x: &[f32; BLOCK]) -> f32 {
    x.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()))
}

/// The first of the numbers that are farthest from zero, with its sign.
#[inline(always)]
fn farthest(x: &[f32; BLOCK]) -> f32 {
    x.iter().fold(0.0, |far: f32, &x| if x.abs() > far.abs() { x } else { far })
}

/// Σ x·y in sixteen sums, whose order any vector can keep.
#[inline(always)]
fn products(x: &[f32; BLOCK], y: &[f32; BLOCK]) -> f32 {
    let mut sums = [0.0; BLOCK / 2];
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = x[i] * y[i] + x[i + BLOCK / 2] * y[i + BLOCK / 2];
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_zeros_stays_zeros_and_one_that_is_not_finite_says_so() {
        let zeros = [0.0; BLOCK];
        assert_eq!((q8(&zeros).scale, q4(&zeros).scale), (bf16::ZERO, bf16::ZERO));
        assert_eq!(activations(&zeros), (0.0, [0; BLOCK]));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = zeros;
            x[5] = wrong;
            let scales = [activations(&x).0, q8(&x).scale.to_f32(), q4(&x).scale.to_f32()];
            assert!(scales.iter().all(|scale| scale.is_nan()), "{wrong}");
        }
    }

    #[test]
    fn numbers_of_any_size_are_rounded_to_half_a_step() {
        for size in [1e-30, 1e-20, 1e-3, 1.0, 1e20, 1e30] {
            let x: [f32; BLOCK] = std::array::from_fn(|i| size * (i as f32 - 11.0) / 20.0);
            let (scale, numbers) = activations(&x);
            for (x, number) in x.iter().zip(numbers) {
                assert!((x - scale * f32::from(number)).abs() <= 0.51 * scale, "{x} of {size}");
            }
            let Rounded { scale, numbers } = q8(&x);
            for (x, number) in x.iter().zip(numbers) {
                let apart = (x - scale.to_f32() * f32::from(number)).abs();
                assert!(apart <= 0.51 * scale.to_f32(), "{x} of {size}");
            }
        }
    }
}
