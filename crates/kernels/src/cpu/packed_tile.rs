//! A few rows by two vectors of outputs of a packed product, kept in registers while the depth runs
//! by. An output is the chain of its blocks in the order of the depth, whatever tile it lies in.

use crate::cpu::packed_format::{Format, Sums, VECTORS};
use crate::cpu::simd::Simd;

/// Blocks of rounded rows that are asked for ahead: many rows come from the second-level cache.
const ROWS_AHEAD: usize = 2;

/// A few rows by two vectors of outputs, over a piece of the depth.
pub struct Tile<'a> {
    /// The blocks of its piece of a panel.
    pub weights: &'a [u8],
    /// The first of its rows of the panel.
    pub lane: usize,
    /// The rounded rows, as many blocks.
    pub x: &'a [u32],
    /// Blocks of the piece.
    pub blocks: usize,
    /// Element (0, 0) of the result.
    pub start: *mut f32,
    /// Floats from one row of the result to the next.
    pub stride: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Whether the sums start from zero; else they go on from the result.
    pub first: bool,
    /// Where as many blocks stand that are asked for meanwhile; it need not be memory.
    pub ahead: *const u8,
}

impl Tile<'_> {
    /// Adds up all blocks, of `rows` rows.
    ///
    /// # Safety
    /// `rows` rows of `columns` floats at `start` must be valid and used by nobody else; `weights` and
    /// `x` hold `blocks` blocks, `x` of `rows` rows.
    #[inline(always)]
    pub unsafe fn run<F: Format>(&self, format: F, rows: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match rows {
                1 => self.rows::<F, 1>(format),
                2 => self.rows::<F, 2>(format),
                3 if F::TILE_ROWS >= 3 => self.rows::<F, 3>(format),
                4 if F::TILE_ROWS >= 4 => self.rows::<F, 4>(format),
                5 if F::TILE_ROWS >= 5 => self.rows::<F, 5>(format),
                6 if F::TILE_ROWS >= 6 => self.rows::<F, 6>(format),
                7 if F::TILE_ROWS >= 7 => self.rows::<F, 7>(format),
                8 if F::TILE_ROWS >= 8 => self.rows::<F, 8>(format),
                9 if F::TILE_ROWS >= 9 => self.rows::<F, 9>(format),
                10 if F::TILE_ROWS >= 10 => self.rows::<F, 10>(format),
                11 if F::TILE_ROWS >= 11 => self.rows::<F, 11>(format),
                12 if F::TILE_ROWS >= 12 => self.rows::<F, 12>(format),
                13 if F::TILE_ROWS >= 13 => self.rows::<F, 13>(format),
                14 if F::TILE_ROWS >= 14 => self.rows::<F, 14>(format),
                rows => unreachable!("a tile of {rows} rows"),
            }
        }
    }

    /// # Safety
    /// As [`Tile::run`].
    #[inline(always)]
    unsafe fn rows<F: Format, const ROWS: usize>(&self, format: F) {
        let s = format.floats();
        let mut sums: Sums<F, ROWS> = [[s.splat(0.0); VECTORS]; ROWS];
        if !self.first {
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let out = unsafe { self.row(row) };
                *sums = [s.load(out), s.load(&out[F::S::LANES.min(out.len())..])];
            }
        }
        for block in 0..self.blocks {
            let later = self.x.as_ptr().wrapping_add((block + ROWS_AHEAD) * F::WORDS * ROWS);
            for line in (0..F::WORDS * ROWS).step_by(16) {
                s.prefetch(later.wrapping_add(line).cast());
            }
            // SAFETY: the caller's promise.
            unsafe {
                let weights = self.weights.as_ptr().add(block * F::BYTES);
                let x = self.x.as_ptr().add(block * F::WORDS * ROWS);
                let ahead = self.ahead.wrapping_add(block * F::BYTES);
                sums = format.block::<ROWS>(sums, weights, self.lane, x, ahead);
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            let out = unsafe { self.row(row) };
            let (first, second) = out.split_at_mut(F::S::LANES.min(self.columns));
            s.store(sums[0], first);
            s.store(sums[1], second);
        }
    }

    /// # Safety
    /// The row must be valid, and no other slice of it in use.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the tile is a rectangle that it owns; see Safety")]
    unsafe fn row(&self, row: usize) -> &mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }
}
