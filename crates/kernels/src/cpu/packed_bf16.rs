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
    fn round(self, x: &[[f32; BLOCK]], out: &mut [f32]) {
        turn::<S, false>(self.0, x, out);
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

/// Rounds a block of rows and turns it, square by square: a word, or with `PAIRS` half of one, is a
/// column, of which every row has a lane.
#[inline(always)]
fn turn<S: Simd, const PAIRS: bool>(s: S, x: &[[f32; BLOCK]], out: &mut [f32]) {
    let (rows, columns_of_word) = (x.len(), if PAIRS { 2 } else { 1 });
    if rows == 1 {
        return round_row::<S, PAIRS>(s, &x[0], out);
    }
    for first in (0..rows).step_by(S::LANES) {
        for start in (0..BLOCK).step_by(S::LANES) {
            let mut square = s.square();
            for lane in 0..S::LANES {
                let row = &x[(first + lane).min(rows - 1)];
                square.as_mut()[lane] = s.load(&row[start..start + S::LANES]);
            }
            s.transpose(&mut square);
            for column in square.as_mut().iter_mut() {
                *column = s.nearest_bf16(*column);
            }
            // Lanes beyond the last row are overwritten by the next word, unless it stands there already.
            let free = if first > 0 { rows - first } else { S::LANES };
            let out = &mut out[start / columns_of_word * rows + first..];
            for (word, columns) in square.as_mut().chunks_exact(columns_of_word).enumerate() {
                let words = if PAIRS { s.pair(columns[0], columns[1]) } else { columns[0] };
                let end = out.len().min(word * rows + free);
                s.store(words, &mut out[word * rows..end]);
            }
        }
    }
}

/// A row alone stands as it is.
#[inline(always)]
fn round_row<S: Simd, const PAIRS: bool>(s: S, x: &[f32; BLOCK], out: &mut [f32]) {
    for (i, x) in (0..).step_by(S::LANES).zip(x.chunks_exact(S::LANES)) {
        let x = s.load(x);
        if PAIRS {
            s.store_bf16(x, &mut bytemuck::cast_slice_mut(out)[i..]);
        } else {
            s.store(s.nearest_bf16(x), &mut out[i..]);
        }
    }
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
    fn round(self, x: &[[f32; BLOCK]], out: &mut [f32]) {
        turn::<S, true>(self.0, x, out);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd_portable::Portable;

    #[test]
    fn words_of_a_column_stand_side_by_side_however_many_rows_and_lanes() {
        for rows in [1, 3, 4, 7, 14] {
            let x: Vec<[f32; BLOCK]> = (0..rows)
                .map(|row| std::array::from_fn(|i| (row * 1000 + i) as f32 / 7.0))
                .collect();
            let (mut wide, mut pairs) =
                (vec![f32::NAN; BLOCK * rows], vec![f32::NAN; BLOCK / 2 * rows]);
            turn::<_, false>(Portable, &x, &mut wide);
            turn::<_, true>(Portable, &x, &mut pairs);
            for (row, i) in (0..rows).flat_map(|row| (0..BLOCK).map(move |i| (row, i))) {
                let expected = bf16::from_f32(x[row][i]);
                let pair = pairs[i / 2 * rows + row].to_bits();
                assert_eq!(wide[i * rows + row], expected.to_f32(), "{rows} rows, row {row}, {i}");
                assert_eq!((pair >> (16 * (i % 2))) as u16, expected.to_bits(), "{rows} rows, {i}");
            }
        }
    }
}
