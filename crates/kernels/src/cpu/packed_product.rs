//! Rows of activations times a packed weight.
//!
//! ```text
//! round all rows of x once, tile after tile                                  (all threads)
//! for each group of rows x group of panels:                                  (a task)
//!     for each piece of the depth:      the rows of a piece fit the second-level cache
//!         for each panel:               its piece comes from memory into the first-level cache
//!             for each tile of rows: one tile in registers
//! ```
//!
//! Few rows take one panel after the other instead, so that memory is read in one go. An element of
//! the result is the chain of its blocks in the order of the depth on either road, so a row depends
//! neither on the number of threads nor on the rows beside it.

use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::packed_format::{Format, Sums, VECTORS};
use crate::cpu::packed_instructions::{PackedKernel, run};
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::packed_block::filled_up;
use crate::packed_layout::{BLOCK, PANEL};
use crate::view::View;
use std::ops::Range;

/// Blocks of a piece.
const PIECE: usize = 16;
/// Rows of a group.
const GROUP_ROWS: usize = 512;
/// Words of rows that may be few: they stay in the second-level cache whatever the order.
const FEW_WORDS: usize = 48 << 10;
/// Panels of a group.
const GROUP_PANELS: usize = 8;

/// `out[t, o] = Σ_i x[t, i] · w[o, i]`
pub fn forward(machine: &Machine, scratch: &mut Scratch, out: View, x: View, w: View) {
    // SAFETY: the inputs and the output of the running operation.
    let (weights, values, floats) = unsafe { (w.panels(), x.f32s(), out.f32s_mut()) };
    if x.rows == 0 || x.columns == 0 {
        return floats.fill(0.0);
    }
    let rows = run(machine.instructions, w.dtype, Plan { count: x.rows, columns: x.columns });
    let rounded = scratch.left.floats(rows.count * rows.blocks * rows.words);
    let rounded: &mut [u32] = bytemuck::cast_slice_mut(rounded);
    let parts = SharedMut::new(rounded);
    machine.pool.run(rows.tiles(), &|tile, _| {
        // SAFETY: tiles do not overlap.
        let out = unsafe { parts.part(rows.words_of(tile)) };
        let of = rows.of(tile);
        let x = &values[of.start * x.columns..of.end * x.columns];
        run(machine.instructions, w.dtype, Round { out, x, columns: x.len() / of.len() });
    });
    let product = Product { weights, x: rounded, rows, outputs: w.rows };
    let out = SharedMut::new(floats);
    let group = product.group_of_panels(machine.pool.threads());
    let row_tiles = (GROUP_ROWS / rows.tile).max(1);
    let (across, down) = (w.rows.div_ceil(group * PANEL), rows.tiles().div_ceil(row_tiles));
    machine.pool.run(across * down, &|task, _| {
        let panels = part(w.rows.div_ceil(PANEL), group, task % across);
        let tiles = part(rows.tiles(), row_tiles, task / across);
        run(machine.instructions, w.dtype, Group { product, panels, tiles, out });
    });
}

/// The `index`th range of `size` of `0..length`.
fn part(length: usize, size: usize, index: usize) -> Range<usize> {
    index * size..((index + 1) * size).min(length)
}

/// Decides how rounded rows lie in memory.
struct Plan {
    count: usize,
    columns: usize,
}

impl PackedKernel for Plan {
    type Output = Rows;

    #[inline(always)]
    fn run<F: Format>(self, _: F) -> Rows {
        let Plan { count, columns } = self;
        let tile = count.div_ceil(count.div_ceil(F::TILE_ROWS));
        Rows { count, tile, blocks: columns.div_ceil(BLOCK), words: F::WORDS }
    }
}

/// How rounded rows lie in memory: tiles of `tile` rows, the last may have fewer.
#[derive(Clone, Copy)]
struct Rows {
    count: usize,
    tile: usize,
    blocks: usize,
    words: usize,
}

impl Rows {
    fn few(&self) -> bool {
        self.count * self.blocks * self.words <= FEW_WORDS
    }

    fn tiles(&self) -> usize {
        self.count.div_ceil(self.tile)
    }

    fn of(&self, tile: usize) -> Range<usize> {
        part(self.count, self.tile, tile)
    }

    fn words_of(&self, tile: usize) -> Range<usize> {
        let (rows, words) = (self.of(tile), self.blocks * self.words);
        rows.start * words..rows.end * words
    }
}

/// Rounds the rows of a tile.
struct Round<'a> {
    out: &'a mut [u32],
    x: &'a [f32],
    columns: usize,
}

impl PackedKernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Format>(self, format: F) {
        let rows = self.x.len() / self.columns;
        for (row, x) in self.x.chunks_exact(self.columns).enumerate() {
            let blocks = self.out.chunks_exact_mut(F::WORDS * rows);
            for (block, x) in blocks.zip(x.chunks(BLOCK)) {
                format.round(&filled_up(x), block, row, rows);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Product<'a> {
    weights: &'a [u8],
    x: &'a [u32],
    rows: Rows,
    outputs: usize,
}

impl Product<'_> {
    /// Fewer panels where the weight is too small to keep all threads busy to the end.
    fn group_of_panels(&self, threads: usize) -> usize {
        let panels = self.outputs.div_ceil(PANEL);
        (panels / (4 * threads)).clamp(1, GROUP_PANELS)
    }
}

/// A task: some panels times some tiles of rows.
struct Group<'a> {
    product: Product<'a>,
    panels: Range<usize>,
    tiles: Range<usize>,
    out: SharedMut<'a, f32>,
}

impl PackedKernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Format>(self, format: F) {
        let together = if self.product.rows.few() { 1 } else { self.panels.len() };
        for first in self.panels.clone().step_by(together) {
            for piece in (0..self.product.rows.blocks).step_by(PIECE) {
                for panel in first..(first + together).min(self.panels.end) {
                    self.piece_of_a_panel(format, panel, piece);
                }
            }
        }
    }
}

impl Group<'_> {
    #[inline(always)]
    fn piece_of_a_panel<F: Format>(&self, format: F, panel: usize, piece: usize) {
        let blocks = PIECE.min(self.product.rows.blocks - piece);
        for lane in (0..PANEL).step_by(VECTORS * F::S::LANES) {
            if panel * PANEL + lane < self.product.outputs {
                for tile in self.tiles.clone() {
                    self.tile(format, (panel, lane), (piece, blocks), tile);
                }
            }
        }
    }

    /// Blocks from a piece to the next one.
    fn ahead(&self, panel: usize, piece: usize) -> usize {
        if self.product.rows.few() { piece } else { panel }
    }

    #[inline(always)]
    fn tile<F: Format>(
        &self,
        format: F,
        (panel, lane): (usize, usize),
        (piece, blocks): (usize, usize),
        tile: usize,
    ) {
        let Product { weights, x, rows, outputs } = self.product;
        let of = rows.of(tile);
        let column = panel * PANEL + lane;
        let columns = (outputs - column).min(VECTORS * F::S::LANES);
        let last = (of.end - 1) * outputs + column + columns;
        let weights = &weights[(panel * rows.blocks + piece) * F::BYTES..][..blocks * F::BYTES];
        let words = rows.words_of(tile).start + piece * F::WORDS * of.len();
        let x = &x[words..][..blocks * F::WORDS * of.len()];
        let start = self.out.pointer(of.start * outputs + column..last);
        let ahead = match tile == self.tiles.start && lane == 0 {
            true => Some(weights.as_ptr().wrapping_add(self.ahead(rows.blocks, blocks) * F::BYTES)),
            false => None,
        };
        let first = piece == 0;
        let product =
            Tile { weights, lane, x, blocks, start, stride: outputs, columns, first, ahead };
        // SAFETY: the slices are as long as said, and no other task writes this rectangle.
        unsafe {
            match of.len() {
                1 => product.run::<F, 1>(format),
                2 => product.run::<F, 2>(format),
                3 if F::TILE_ROWS >= 3 => product.run::<F, 3>(format),
                4 if F::TILE_ROWS >= 4 => product.run::<F, 4>(format),
                5 if F::TILE_ROWS >= 5 => product.run::<F, 5>(format),
                6 if F::TILE_ROWS >= 6 => product.run::<F, 6>(format),
                7 if F::TILE_ROWS >= 7 => product.run::<F, 7>(format),
                8 if F::TILE_ROWS >= 8 => product.run::<F, 8>(format),
                9 if F::TILE_ROWS >= 9 => product.run::<F, 9>(format),
                10 if F::TILE_ROWS >= 10 => product.run::<F, 10>(format),
                11 if F::TILE_ROWS >= 11 => product.run::<F, 11>(format),
                12 if F::TILE_ROWS >= 12 => product.run::<F, 12>(format),
                13 if F::TILE_ROWS >= 13 => product.run::<F, 13>(format),
                14 if F::TILE_ROWS >= 14 => product.run::<F, 14>(format),
                rows => unreachable!("a tile of {rows} rows"),
            }
        }
    }
}

/// A few rows by two vectors of outputs, over a piece of the depth.
struct Tile<'a> {
    weights: &'a [u8],
    lane: usize,
    x: &'a [u32],
    blocks: usize,
    start: *mut f32,
    stride: usize,
    columns: usize,
    first: bool,
    /// What is multiplied next, to be asked for meanwhile.
    ahead: Option<*const u8>,
}

impl Tile<'_> {
    /// # Safety
    /// `ROWS` rows of `columns` floats at `start` must be valid and used by nobody else; `weights` and
    /// `x` hold `blocks` blocks, those of `ROWS` rows.
    #[inline(always)]
    unsafe fn run<F: Format, const ROWS: usize>(&self, format: F) {
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
            // SAFETY: the caller's promise.
            unsafe {
                let weights = self.weights.as_ptr().add(block * F::BYTES);
                let x = self.x.as_ptr().add(block * F::WORDS * ROWS);
                sums = format.block::<ROWS>(sums, weights, self.lane, x);
            }
            if let Some(ahead) = self.ahead {
                for line in (0..F::BYTES).step_by(64) {
                    s.prefetch(ahead.wrapping_add(block * F::BYTES + line).cast());
                }
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
