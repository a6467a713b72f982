//! Weights in bytes or half bytes with scales, times rows that are rounded to bytes. The weights have
//! no sign and the activations have one, as the instructions want it; what the offset of the weights
//! adds to a sum is known from the activations alone, and the sum starts at its negative.

use crate::cpu::packed_dot::Dot;
use crate::cpu::packed_format::{Format, MOST_ROWS, Sums, VECTORS, ask_for};
use crate::cpu::simd::Simd;
use crate::packed_block::activation_steps;
use crate::packed_layout::{BLOCK, PANEL, Q4_OFFSET, Q8_OFFSET, SCALES};
use half::bf16;

/// Whole numbers with scales: of four bits if `HALVES`, else of eight.
#[derive(Clone, Copy)]
pub struct Numbers<D, const HALVES: bool>(pub D);

/// Words of four activations in a block.
const FOURS: usize = BLOCK / 4;
/// Where the scale of an activation block stands, and the number that its sums start at, which takes
/// the offset of the weights away again.
const SCALE: usize = FOURS;
const START: usize = FOURS + 1;

impl<D: Dot, const HALVES: bool> Format for Numbers<D, HALVES> {
    type S = D::S;
    const BYTES: usize = SCALES + PANEL * BLOCK / if HALVES { 2 } else { 1 };
    const WORDS: usize = FOURS + 2;
    const TILE_ROWS: usize = D::TILE_ROWS;
    const TILE_OF_MANY: usize = D::TILE_OF_MANY;

    #[inline(always)]
    fn floats(self) -> D::S {
        self.0.floats()
    }

    #[inline(always)]
    fn round(self, x: &[[f32; BLOCK]], out: &mut [f32]) {
        let offset = if HALVES { Q4_OFFSET } else { Q8_OFFSET };
        let (rows, mut numbers) = (x.len(), [[0; BLOCK]; MOST_ROWS]);
        for (row, (x, numbers)) in x.iter().zip(&mut numbers).enumerate() {
            let (scale, sum) = round_block(self.0, x, numbers);
            out[SCALE * rows + row] = scale;
            out[START * rows + row] = f32::from_bits((-offset * sum).cast_unsigned());
        }
        for (four, words) in out.chunks_exact_mut(rows).take(FOURS).enumerate() {
            for (word, numbers) in words.iter_mut().zip(&numbers) {
                let four = std::array::from_fn(|i| numbers[4 * four + i].cast_unsigned());
                *word = f32::from_bits(u32::from_le_bytes(four));
            }
        }
    }

    #[inline(always)]
    unsafe fn block<const ROWS: usize>(
        self,
        mut sums: Sums<Self, ROWS>,
        weights: *const u8,
        lane: usize,
        x: *const u32,
        ahead: *const u8,
    ) -> Sums<Self, ROWS> {
        let (d, s) = (self.0, self.0.floats());
        // SAFETY: everything read lies inside the two blocks by the caller's promise.
        unsafe {
            let bytes = weights.add(SCALES + 4 * lane);
            let mut numbers: [_; ROWS] = std::array::from_fn(|row| {
                let start = d.splat((*x.add(START * ROWS + row)).cast_signed());
                [start; VECTORS]
            });
            if HALVES {
                for eight in 0..FOURS / 2 {
                    ask_for(s, ahead.wrapping_add(4 * PANEL * eight));
                    let both = load_two(d, bytes.add(4 * PANEL * eight));
                    let x = x.add(2 * eight * ROWS);
                    let low = both.map(|bytes| d.low_halves(bytes));
                    numbers = dot_rows(d, numbers, low, x);
                    let high = both.map(|bytes| d.high_halves(bytes));
                    numbers = dot_rows(d, numbers, high, x.add(ROWS));
                }
            } else {
                for four in 0..FOURS {
                    ask_for(s, ahead.wrapping_add(4 * PANEL * four));
                    let both = load_two(d, bytes.add(4 * PANEL * four));
                    numbers = dot_rows(d, numbers, both, x.add(four * ROWS));
                }
            }
            s.prefetch(ahead.wrapping_add(Self::BYTES - SCALES).cast());
            let scales: *const bf16 = weights.add(2 * lane).cast();
            let scales = [s.load_bf16_at(scales), s.load_bf16_at(scales.add(D::S::LANES))];
            for (row, sums) in sums.iter_mut().enumerate() {
                let scale = s.splat(f32::from_bits(*x.add(SCALE * ROWS + row)));
                for vector in 0..VECTORS {
                    let number = d.to_floats(numbers[row][vector]);
                    let scale = s.mul(scales[vector], scale);
                    sums[vector] = s.mul_add(number, scale, sums[vector]);
                }
            }
        }
        sums
    }
}

/// # Safety
/// Two vectors must be readable at `bytes`.
#[inline(always)]
unsafe fn load_two<D: Dot>(d: D, bytes: *const u8) -> [D::Bytes; VECTORS] {
    // SAFETY: the caller's promise.
    unsafe { [d.load(bytes), d.load(bytes.add(4 * D::S::LANES))] }
}

/// Four columns of a block.
///
/// # Safety
/// `ROWS` words must be readable at `x`.
#[inline(always)]
unsafe fn dot_rows<D: Dot, const ROWS: usize>(
    d: D,
    mut numbers: [[D::Numbers; VECTORS]; ROWS],
    weights: [D::Bytes; VECTORS],
    x: *const u32,
) -> [[D::Numbers; VECTORS]; ROWS] {
    for (row, numbers) in numbers.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let x = d.splat_four(unsafe { *x.add(row) });
        *numbers = [d.dot(numbers[0], weights[0], x), d.dot(numbers[1], weights[1], x)];
    }
    numbers
}

/// The same as [`crate::packed_block::activations`]: writes numbers, returns the scale and the sum of the
/// numbers.
#[inline(always)]
fn round_block<D: Dot>(d: D, x: &[f32; BLOCK], numbers: &mut [i8; BLOCK]) -> (f32, i32) {
    let s = d.floats();
    let zero = s.splat(0.0);
    let mut largest = zero;
    for x in x.chunks_exact(D::S::LANES).map(|x| s.load(x)) {
        largest = s.max(largest, s.max(x, s.sub(zero, x)));
    }
    let largest = s.largest(largest);
    let steps = s.splat(activation_steps(largest));
    let mut sum = zero;
    for (x, numbers) in x.chunks_exact(D::S::LANES).zip(numbers.chunks_exact_mut(D::S::LANES)) {
        let number = s.round(s.mul(s.load(x), steps));
        sum = s.add(sum, number);
        // SAFETY: there are as many numbers as lanes.
        unsafe { d.store_bytes(number, numbers.as_mut_ptr()) };
    }
    // Of an infinite number there are no steps, and no steps times it is not a number either.
    let sum = s.sum(sum);
    if sum.is_nan() {
        numbers.fill(0);
        return (f32::NAN, 0);
    }
    (largest / 127.0, sum as i32)
}
