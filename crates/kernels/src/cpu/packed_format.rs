//! What a block of a packed weight is multiplied with, and how: one type per way to store weights.
//!
//! Rows of activations are rounded once into words of 32 bits. The rows of a tile lie side by side,
//! block after block, so that each word is read where the last one ended and goes to all lanes at
//! once; 32 outputs lie in the lanes of the weights (see `packed_layout.rs`), so no sum runs across
//! lanes.

use crate::cpu::packed_dot::Dot;
use crate::cpu::simd::{Simd, Term};
use crate::packed_block::activation_steps;
use crate::packed_layout::{BLOCK, PANEL, Q4_OFFSET, Q8_OFFSET, SCALES};
use half::bf16;

/// Vectors of outputs in a tile.
pub const VECTORS: usize = 2;

/// The vectors of floats of a format.
pub type V<F> = <<F as Format>::S as Simd>::V;

/// The rows of a tile and its two vectors of outputs.
pub type Sums<F, const ROWS: usize> = [[V<F>; VECTORS]; ROWS];

/// A way to store weights, with the instructions to multiply them.
pub trait Format: Copy {
    /// The floats that products are added up in.
    type S: Simd;
    /// Bytes of a block of weights.
    const BYTES: usize;
    /// Words of a block of a row of activations.
    const WORDS: usize;
    /// Rows of a tile, at most; no more than 14.
    const TILE_ROWS: usize;

    fn floats(self) -> Self::S;

    /// Rounds 32 activations; word `i` goes to `out[i * rows + row]`.
    fn round(self, x: &[f32; BLOCK], out: &mut [u32], row: usize, rows: usize);

    /// Adds the products of a block of weights, from row `lane` of its panel on, with a block of
    /// `ROWS` rows of activations.
    ///
    /// # Safety
    /// `BYTES` must be readable at `weights` and `ROWS * WORDS` words at `x`; from `lane` on, the panel
    /// has two vectors of rows.
    unsafe fn block<const ROWS: usize>(
        self,
        sums: Sums<Self, ROWS>,
        weights: *const u8,
        lane: usize,
        x: *const u32,
    ) -> Sums<Self, ROWS>;
}

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

    #[inline(always)]
    fn floats(self) -> D::S {
        self.0.floats()
    }

    #[inline(always)]
    fn round(self, x: &[f32; BLOCK], out: &mut [u32], row: usize, rows: usize) {
        let (scale, sum, numbers) = round_block(self.0, x);
        for (i, four) in numbers.chunks_exact(4).enumerate() {
            let four = [four[0], four[1], four[2], four[3]].map(i8::cast_unsigned);
            out[i * rows + row] = u32::from_le_bytes(four);
        }
        let offset = if HALVES { Q4_OFFSET } else { Q8_OFFSET };
        out[SCALE * rows + row] = scale.to_bits();
        out[START * rows + row] = (-offset * sum).cast_unsigned();
    }

    #[inline(always)]
    unsafe fn block<const ROWS: usize>(
        self,
        mut sums: Sums<Self, ROWS>,
        weights: *const u8,
        lane: usize,
        x: *const u32,
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
                    let both = load_two(d, bytes.add(4 * PANEL * eight));
                    let x = x.add(2 * eight * ROWS);
                    let low = both.map(|bytes| d.low_halves(bytes));
                    numbers = dot_rows(d, numbers, low, x);
                    let high = both.map(|bytes| d.high_halves(bytes));
                    numbers = dot_rows(d, numbers, high, x.add(ROWS));
                }
            } else {
                for four in 0..FOURS {
                    let both = load_two(d, bytes.add(4 * PANEL * four));
                    numbers = dot_rows(d, numbers, both, x.add(four * ROWS));
                }
            }
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

/// The same as [`crate::packed_block::activations`], and the sum of the numbers.
#[inline(always)]
fn round_block<D: Dot>(d: D, x: &[f32; BLOCK]) -> (f32, i32, [i8; BLOCK]) {
    let s = d.floats();
    let zero = s.splat(0.0);
    let (mut largest, mut nothing) = (zero, zero);
    for x in x.chunks_exact(D::S::LANES).map(|x| s.load(x)) {
        largest = s.max(largest, s.max(x, s.sub(zero, x)));
        nothing = s.mul_add(x, zero, nothing);
    }
    // Zero times what is not finite is not a number.
    if s.sum(nothing).is_nan() {
        return (f32::NAN, 0, [0; BLOCK]);
    }
    let largest = s.largest(largest);
    let steps = s.splat(activation_steps(largest));
    let (mut numbers, mut sum) = ([0; BLOCK], zero);
    for (x, numbers) in x.chunks_exact(D::S::LANES).zip(numbers.chunks_exact_mut(D::S::LANES)) {
        let number = s.round(s.mul(s.load(x), steps));
        sum = s.add(sum, number);
        // SAFETY: there are as many numbers as lanes.
        unsafe { d.store_bytes(number, numbers.as_mut_ptr()) };
    }
    (largest / 127.0, s.sum(sum) as i32, numbers)
}

/// Pairs of bf16, widened and multiplied in single precision.
#[derive(Clone, Copy)]
pub struct Wide<S>(pub S);

impl<S: Simd> Format for Wide<S> {
    type S = S;
    const BYTES: usize = 2 * PANEL * BLOCK;
    const WORDS: usize = BLOCK;
    const TILE_ROWS: usize = S::TILE_ROWS - 1;

    #[inline(always)]
    fn floats(self) -> S {
        self.0
    }

    #[inline(always)]
    fn round(self, x: &[f32; BLOCK], out: &mut [u32], row: usize, rows: usize) {
        for (i, x) in x.iter().enumerate() {
            out[i * rows + row] = u32::from(rounded_to_bf16(*x)) << 16;
        }
    }

    #[inline(always)]
    unsafe fn block<const ROWS: usize>(
        self,
        mut sums: Sums<Self, ROWS>,
        weights: *const u8,
        lane: usize,
        x: *const u32,
    ) -> Sums<Self, ROWS> {
        let s = self.0;
        for pair in 0..BLOCK / 2 {
            // SAFETY: inside the two blocks by the caller's promise.
            unsafe {
                let weights: *const [bf16; 2] = weights.add(4 * (PANEL * pair + lane)).cast();
                let (first, second) =
                    (s.load_pairs_at(weights), s.load_pairs_at(weights.add(S::LANES)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    for k in 0..2 {
                        let x = *x.add((2 * pair + k) * ROWS + row);
                        let x = s.splat(f32::from_bits(x));
                        *sums = [s.mul_add(x, first[k], sums[0]), s.mul_add(x, second[k], sums[1])];
                    }
                }
            }
        }
        sums
    }
}

/// The nearest bf16, an even one in the middle; in whole numbers, of which a compiler makes vectors.
#[inline(always)]
fn rounded_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let nearest = (bits.wrapping_add(0x7FFF + ((bits >> 16) & 1))) >> 16;
    let quiet = (bits >> 16) | 0x40;
    (if x.is_nan() { quiet } else { nearest }) as u16
}

/// Pairs of bf16, multiplied as they are.
#[derive(Clone, Copy)]
pub struct Pairs<S, T>(pub S, pub T);

impl<S: Simd, T: Term<S::V>> Format for Pairs<S, T> {
    type S = S;
    const BYTES: usize = 2 * PANEL * BLOCK;
    const WORDS: usize = BLOCK / 2;
    const TILE_ROWS: usize = S::TILE_ROWS;

    #[inline(always)]
    fn floats(self) -> S {
        self.0
    }

    #[inline(always)]
    fn round(self, x: &[f32; BLOCK], out: &mut [u32], row: usize, rows: usize) {
        let halves = x.map(rounded_to_bf16);
        for (i, pair) in halves.chunks_exact(2).enumerate() {
            out[i * rows + row] = u32::from(pair[0]) | u32::from(pair[1]) << 16;
        }
    }

    #[inline(always)]
    unsafe fn block<const ROWS: usize>(
        self,
        mut sums: Sums<Self, ROWS>,
        weights: *const u8,
        lane: usize,
        x: *const u32,
    ) -> Sums<Self, ROWS> {
        let Pairs(s, term) = self;
        for pair in 0..BLOCK / 2 {
            // SAFETY: inside the two blocks by the caller's promise.
            unsafe {
                let weights: *const f32 = weights.add(4 * (PANEL * pair + lane)).cast();
                let (first, second) = (s.load_at(weights), s.load_at(weights.add(S::LANES)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = s.splat(f32::from_bits(*x.add(pair * ROWS + row)));
                    *sums = [term.add(first, x, sums[0]), term.add(second, x, sums[1])];
                }
            }
        }
        sums
    }
}
