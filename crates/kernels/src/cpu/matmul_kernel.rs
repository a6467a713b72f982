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
        let rows = S::TILE_ROWS.min(self.rows - row);
        let tile = Tile {
            // SAFETY: the caller's promise.
            start: unsafe { self.target.start.add(row * self.target.stride + column) },
            stride: self.target.stride,
            columns: S::TILE_COLUMNS.min(self.columns - column),
            depth: self.depth,
            left: self.left[row * self.depth..].as_ptr(),
            lanes: Lanes::SideBySide { step: rows },
            right: self.right[column * self.depth..].as_ptr(),
            store: self.store,
        };
        // SAFETY: the caller's promise; a panel has as many rows as its first depth is long.
        unsafe { tile.run_rows(s, term, rows) };
    }
}

/// Floats in a row of an [`Unpacked`] side.
pub const BLOCK: usize = 128;

/// A left side of at most one panel of rows that is not packed but a part of a block of rows of
/// [`BLOCK`] floats, from its element (0, 0) on.
#[derive(Clone, Copy)]
pub enum Unpacked<'a> {
    /// A row of the block is a row of the result.
    Rows(&'a [f32]),
    /// A row of the block is a depth.
    Depths(&'a [f32]),
}

/// An [`Unpacked`] side times packed columns.
pub struct UnpackedProduct<'a> {
    target: Target,
    rows: usize,
    columns: usize,
    depth: usize,
    left: Unpacked<'a>,
    right: &'a [f32],
    right_depth: usize,
    store: Store,
}

impl<'a> UnpackedProduct<'a> {
    /// Of `right`, only the first `depth` of `right_depth` packed depths are used.
    ///
    /// # Safety
    /// As [`PanelProduct::new`].
    pub unsafe fn new(
        target: Target,
        (rows, columns, depth): (usize, usize, usize),
        left: Unpacked<'a>,
        (right, right_depth): (&'a [f32], usize),
        store: Store,
    ) -> UnpackedProduct<'a> {
        UnpackedProduct { target, rows, columns, depth, left, right, right_depth, store }
    }
}

impl Kernel for UnpackedProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!((1..=S::TILE_ROWS).contains(&self.rows) && self.depth > 0, "one panel of rows");
        let (left, lanes) = match self.left {
            Unpacked::Rows(x) => {
                assert!(x.len() >= (self.rows - 1) * BLOCK + self.depth, "rows of a block");
                (x, Lanes::Apart)
            }
            Unpacked::Depths(x) => {
                assert!(x.len() >= (self.depth - 1) * BLOCK + self.rows, "depths of a block");
                (x, Lanes::SideBySide { step: BLOCK })
            }
        };
        let panels = self.columns.div_ceil(S::TILE_COLUMNS);
        let beyond = (self.right_depth - self.depth) * S::TILE_COLUMNS;
        let needed = panels * S::TILE_COLUMNS * self.right_depth - beyond;
        assert!(self.right.len() >= needed, "packed columns");
        for column in (0..self.columns).step_by(S::TILE_COLUMNS) {
            let tile = Tile {
                // SAFETY: the column lies inside the target.
                start: unsafe { self.target.start.add(column) },
                stride: self.target.stride,
                columns: S::TILE_COLUMNS.min(self.columns - column),
                depth: self.depth,
                left: left.as_ptr(),
                lanes,
                right: self.right[column * self.right_depth..].as_ptr(),
                store: self.store,
            };
            // SAFETY: the target by the promise of `new`, both sides by the assertions.
            unsafe { tile.run_rows(s, OneProduct(s), self.rows) };
        }
    }
}

/// Where the floats of the left side stand.
#[derive(Clone, Copy)]
enum Lanes {
    /// Rows side by side, and a depth `step` floats after the one before.
    SideBySide { step: usize },
    /// Rows [`BLOCK`] floats apart, depths side by side.
    Apart,
}

struct Tile {
    start: *mut f32,
    stride: usize,
    columns: usize,
    depth: usize,
    left: *const f32,
    lanes: Lanes,
    right: *const f32,
    store: Store,
}

/// Depths that the right panel is asked for ahead of its use.
const AHEAD: usize = 12;

/// Depths before the end at which the result is asked for: earlier, the panels would push it out of
/// the cache again.
const NEAR_THE_END: usize = 96;

/// Adds `depth` terms to each chain. The rows of the left side stand `APART` floats apart, its depths
/// `step`.
///
/// # Safety
/// That many floats of `left`, and `S::TILE_COLUMNS * depth` at `right`, must be readable.
#[inline(always)]
unsafe fn chain<S: Simd, T: Term<S::V>, const ROWS: usize, const APART: usize>(
    (s, term): (S, T),
    mut sums: [[S::V; TILE_VECTORS]; ROWS],
    (mut left, step): (*const f32, usize),
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
                let a = s.splat(*left.add(row * APART));
                *sums = [term.add(a, b0, sums[0]), term.add(a, b1, sums[1])];
            }
            left = left.wrapping_add(step);
            right = right.add(S::TILE_COLUMNS);
        }
    }
    sums
}

impl Tile {
    /// # Safety
    /// `rows` rows of `columns` floats at `start`, `depth` depths of as many rows at `left`, and
    /// `S::TILE_COLUMNS * depth` floats at `right` must be valid.
    #[inline(always)]
    unsafe fn run_rows<S: Simd, T: Term<S::V>>(&self, s: S, term: T, rows: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match rows {
                1 => self.run::<S, T, 1>(s, term),
                2 => self.run::<S, T, 2>(s, term),
                3 if S::TILE_ROWS >= 3 => self.run::<S, T, 3>(s, term),
                4 if S::TILE_ROWS >= 4 => self.run::<S, T, 4>(s, term),
                5 if S::TILE_ROWS >= 5 => self.run::<S, T, 5>(s, term),
                6 if S::TILE_ROWS >= 6 => self.run::<S, T, 6>(s, term),
                7 if S::TILE_ROWS >= 7 => self.run::<S, T, 7>(s, term),
                8 if S::TILE_ROWS >= 8 => self.run::<S, T, 8>(s, term),
                9 if S::TILE_ROWS >= 9 => self.run::<S, T, 9>(s, term),
                10 if S::TILE_ROWS >= 10 => self.run::<S, T, 10>(s, term),
                11 if S::TILE_ROWS >= 11 => self.run::<S, T, 11>(s, term),
                12 if S::TILE_ROWS >= 12 => self.run::<S, T, 12>(s, term),
                13 if S::TILE_ROWS >= 13 => self.run::<S, T, 13>(s, term),
                14 if S::TILE_ROWS >= 14 => self.run::<S, T, 14>(s, term),
                rows => unreachable!("a tile of {rows} rows"),
            }
        }
    }

    /// The next `depth` terms from the `first` on.
    ///
    /// # Safety
    /// As [`Tile::run_rows`], for `ROWS` rows; the terms must be among those of the tile.
    #[inline(always)]
    unsafe fn chain<S: Simd, T: Term<S::V>, const ROWS: usize>(
        &self,
        with: (S, T),
        sums: [[S::V; TILE_VECTORS]; ROWS],
        first: usize,
        depth: usize,
    ) -> [[S::V; TILE_VECTORS]; ROWS] {
        let right = self.right.wrapping_add(first * S::TILE_COLUMNS);
        // SAFETY: the caller's promise.
        unsafe {
            match self.lanes {
                Lanes::SideBySide { step } => {
                    let left = (self.left.wrapping_add(first * step), step);
                    chain::<S, T, ROWS, 1>(with, sums, left, right, depth)
                }
                Lanes::Apart => {
                    let left = (self.left.wrapping_add(first), 1);
                    chain::<S, T, ROWS, BLOCK>(with, sums, left, right, depth)
                }
            }
        }
    }

    /// # Safety
    /// As [`Tile::run_rows`], for `ROWS` rows.
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
        // SAFETY: both parts together are the terms of the tile.
        unsafe {
            sums = self.chain((s, term), sums, 0, before);
            self.prefetch_rows::<S, ROWS>(s);
            sums = self.chain((s, term), sums, before, self.depth - before);
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
