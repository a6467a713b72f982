//! The tile: a few rows by two vectors of columns of a product, kept in registers while the depth
//! runs by (Goto and van de Geijn 2008). All multiplications of all operations end here.
//!
//! An element of the result is the chain of its terms in the order of the depth, each added by one
//! rounding (two where there is no FMA), whatever tile it lies in and however many rows there are.

use crate::cpu::instructions::{DotKernel, Dots, Instructions, Kernel};
use crate::cpu::simd::{OneProduct, Simd, TILE_VECTORS, Term};

/// What happens to the chain of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It starts from zero and replaces what was there.
    Overwrite,
    /// It starts from zero and is added to what was there, in one rounding.
    Add,
    /// It goes on from what was there.
    Continue,
}

/// A rectangle of floats in memory: where it starts and how far apart its rows are.
#[derive(Clone, Copy)]
pub struct Target {
    /// Element (0, 0).
    pub start: *mut f32,
    /// Floats from one row to the next.
    pub stride: usize,
}

/// Packed rows times packed columns (see `matmul_pack.rs`: the left side narrow, the right side
/// filled up).
pub struct PanelProduct<'a> {
    target: Target,
    rows: usize,
    columns: usize,
    depth: usize,
    left: &'a [f32],
    right: &'a [f32],
    store: Store,
}

impl<'a> PanelProduct<'a> {
    /// # Safety
    /// `rows` by `columns` floats of `target` must be valid, and nobody else may use them until
    /// the product has run.
    pub unsafe fn new(
        target: Target,
        (rows, columns, depth): (usize, usize, usize),
        left: &'a [f32],
        right: &'a [f32],
        store: Store,
    ) -> PanelProduct<'a> {
        PanelProduct { target, rows, columns, depth, left, right, store }
    }

    /// Multiplies pairs of bf16 where there are dots, else numbers.
    pub fn run_on(self, instructions: Instructions, dots: Option<Dots>) {
        match dots {
            Some(dots) => dots.run(self),
            None => instructions.run(self),
        }
    }
}

impl Kernel for PanelProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        DotKernel::run(self, s, OneProduct(s));
    }
}

impl DotKernel for PanelProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, T: Term<S::V>>(self, s: S, term: T) {
        assert!(self.left.len() >= self.rows * self.depth, "packed rows");
        let width = self.columns.next_multiple_of(S::TILE_COLUMNS);
        assert!(self.right.len() >= width * self.depth, "packed columns");
        // The panel of rows, which is small, stays in the first-level cache.
        for row in (0..self.rows).step_by(S::TILE_ROWS) {
            for column in (0..self.columns).step_by(S::TILE_COLUMNS) {
                // SAFETY: row and column lie inside the target, and the panels that start there
                // inside the packed sides, by the assertions.
                unsafe { self.tile_of(s, term, row, column) };
            }
        }
    }
}

impl PanelProduct<'_> {
    /// # Safety
    /// `row` and `column` must be multiples of the tile inside the product.
    #[inline(always)]
    unsafe fn tile_of<S: Simd, T: Term<S::V>>(&self, s: S, term: T, row: usize, column: usize) {
        let tile = Tile {
            // SAFETY: the caller's promise.
            start: unsafe { self.target.start.add(row * self.target.stride + column) },
            stride: self.target.stride,
            columns: S::TILE_COLUMNS.min(self.columns - column),
            depth: self.depth,
            left: self.left[row * self.depth..].as_ptr(),
            right: self.right[column * self.depth..].as_ptr(),
            store: self.store,
        };
        // SAFETY: the caller's promise; a panel has as many rows as the arm says.
        unsafe {
            match S::TILE_ROWS.min(self.rows - row) {
                1 => tile.run::<S, T, 1>(s, term),
                2 => tile.run::<S, T, 2>(s, term),
                3 if S::TILE_ROWS >= 3 => tile.run::<S, T, 3>(s, term),
                4 if S::TILE_ROWS >= 4 => tile.run::<S, T, 4>(s, term),
                5 if S::TILE_ROWS >= 5 => tile.run::<S, T, 5>(s, term),
                6 if S::TILE_ROWS >= 6 => tile.run::<S, T, 6>(s, term),
                7 if S::TILE_ROWS >= 7 => tile.run::<S, T, 7>(s, term),
                8 if S::TILE_ROWS >= 8 => tile.run::<S, T, 8>(s, term),
                9 if S::TILE_ROWS >= 9 => tile.run::<S, T, 9>(s, term),
                10 if S::TILE_ROWS >= 10 => tile.run::<S, T, 10>(s, term),
                11 if S::TILE_ROWS >= 11 => tile.run::<S, T, 11>(s, term),
                12 if S::TILE_ROWS >= 12 => tile.run::<S, T, 12>(s, term),
                13 if S::TILE_ROWS >= 13 => tile.run::<S, T, 13>(s, term),
                14 if S::TILE_ROWS >= 14 => tile.run::<S, T, 14>(s, term),
                rows => unreachable!("a tile of {rows} rows"),
            }
        }
    }
}

struct Tile {
    start: *mut f32,
    stride: usize,
    columns: usize,
    depth: usize,
    left: *const f32,
    right: *const f32,
    store: Store,
}

/// Depths that the right panel is asked for ahead of its use.
const AHEAD: usize = 12;

/// Depths before the end at which the result is asked for: earlier, the panels would push it out of
/// the cache again.
const NEAR_THE_END: usize = 96;

/// Adds `depth` terms to each chain.
///
/// # Safety
/// `ROWS * depth` floats at `left` and `S::TILE_COLUMNS * depth` at `right` must be readable.
#[inline(always)]
unsafe fn chain<S: Simd, T: Term<S::V>, const ROWS: usize>(
    (s, term): (S, T),
    mut sums: [[S::V; TILE_VECTORS]; ROWS],
    mut left: *const f32,
    mut right: *const f32,
    depth: usize,
) -> [[S::V; TILE_VECTORS]; ROWS] {
    for _ in 0..depth {
        // SAFETY: `depth` steps stay inside by the caller's promise.
        unsafe {
            let b0 = s.load_at(right);
            let b1 = s.load_at(right.add(S::LANES));
            s.prefetch(right.wrapping_add(AHEAD * S::TILE_COLUMNS));
            s.prefetch(right.wrapping_add(AHEAD * S::TILE_COLUMNS + S::LANES));
            for (row, sums) in sums.iter_mut().enumerate() {
                let a = s.splat(*left.add(row));
                *sums = [term.add(a, b0, sums[0]), term.add(a, b1, sums[1])];
            }
            left = left.add(ROWS);
            right = right.add(S::TILE_COLUMNS);
        }
    }
    sums
}

impl Tile {
    /// # Safety
    /// `ROWS` rows of `columns` floats at `start`, `ROWS * depth` at `left` and
    /// `S::TILE_COLUMNS * depth` at `right` must be valid.
    #[inline(always)]
    unsafe fn run<S: Simd, T: Term<S::V>, const ROWS: usize>(&self, s: S, term: T) {
        let mut sums = [[s.splat(0.0); TILE_VECTORS]; ROWS];
        if self.store == Store::Continue {
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let out = unsafe { self.row(row) };
                *sums = [s.load(out), s.load(&out[S::LANES.min(out.len())..])];
            }
        }
        let before = self.depth.saturating_sub(NEAR_THE_END);
        let (middle_left, middle_right) = (before * ROWS, before * S::TILE_COLUMNS);
        // SAFETY: both halves together stay inside the panels by the caller's promise.
        unsafe {
            sums = chain((s, term), sums, self.left, self.right, before);
            self.prefetch_rows::<S, ROWS>(s);
            let (left, right) = (self.left.add(middle_left), self.right.add(middle_right));
            sums = chain((s, term), sums, left, right, self.depth - before);
        }
        for (row, sums) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            let out = unsafe { self.row(row) };
            let (first, second) = out.split_at_mut(S::LANES.min(self.columns));
            self.put(s, first, sums[0]);
            self.put(s, second, sums[1]);
        }
    }

    #[inline(always)]
    fn prefetch_rows<S: Simd, const ROWS: usize>(&self, s: S) {
        for row in 0..ROWS {
            let line = self.start.wrapping_add(row * self.stride);
            s.prefetch(line);
            s.prefetch(line.wrapping_add(S::TILE_COLUMNS - 1));
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

    #[inline(always)]
    fn put<S: Simd>(&self, s: S, out: &mut [f32], sums: S::V) {
        match self.store {
            Store::Add => s.store(s.add(s.load(out), sums), out),
            Store::Overwrite | Store::Continue => s.store(sums, out),
        }
    }
}
