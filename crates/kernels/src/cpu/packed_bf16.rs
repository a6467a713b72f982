//! Weights in pairs of bf16, times rows that are rounded to bf16: in pairs where the processor gains
//! by it, else widened.

use crate::cpu::packed_format::{Format, Sums, ask_for};
use crate::cpu::simd::{Simd, Term};
use crate::packed_layout::{BLOCK, PANEL};
use half::bf16;

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
        ahead: *const u8,
    ) -> Sums<Self, ROWS> {
        let s = self.0;
        for pair in 0..BLOCK / 2 {
            ask_for(s, ahead.wrapping_add(4 * PANEL * pair));
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
        ahead: *const u8,
    ) -> Sums<Self, ROWS> {
        let Pairs(s, term) = self;
        for pair in 0..BLOCK / 2 {
            ask_for(s, ahead.wrapping_add(4 * PANEL * pair));
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
