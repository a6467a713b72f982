//! Rows of activations times a packed weight.
//!
//! ```text
//! round all rows of x once, tile after tile                                  (all threads)
//! for each group of rows x group of panels:                                  (a task)
//!     for each piece of the depth:      the rows of a piece fit the second-level cache
//!         for each panel:               its piece comes from memory into the first-level cache
//!             for each tile of rows: one tile in registers              (`packed_tile.rs`)
//! ```
//!
//! Few rows take one panel after the other instead (`packed_stream.rs`). An element of the result is the
//! chain of its blocks in the order of the depth on either road, so a row depends neither on the number
//! of threads nor on the rows beside it.

use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::packed_format::{Format, VECTORS};
use crate::cpu::packed_instructions::{PackedKernel, run};
use crate::cpu::packed_stream;
use crate::cpu::packed_tile::Tile;
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::packed_block::filled_up;
use crate::packed_layout::{BLOCK, PANEL};
use crate::view::View;
use std::ops::Range;

/// Blocks of a piece.
pub const PIECE: usize = 16;
/// Rows of a group.
const GROUP_ROWS: usize = 512;
/// Words of rows that may be few: they stay in the second-level cache whatever the order.
const FEW_WORDS: usize = 48 << 10;
/// Panels of a group.
const GROUP_PANELS: usize = 8;

/// `out[t, o] = Σ_i x[t, i] · w[o, i]` of every `(out, w)`; the weights are of one dtype.
pub fn forward(machine: &Machine, scratch: &mut Scratch, products: &[(View, View)], x: View) {
    if x.rows == 0 || x.columns == 0 {
        // SAFETY: the outputs of the running operation.
        return products.iter().for_each(|(out, _)| unsafe { out.f32s_mut() }.fill(0.0));
    }
    let dtype = products[0].1.dtype;
    let rows = run(machine.instructions, dtype, Plan { count: x.rows, columns: x.columns });
    let x = round(machine, scratch, x, rows, dtype);
    let products = products.iter().map(|(out, w)| {
        // SAFETY: the outputs and inputs of the running operation.
        let (weights, out) = unsafe { (w.panels(), SharedMut::new(out.f32s_mut())) };
        Product { weights, x, rows, outputs: w.rows, out }
    });
    if rows.few() {
        return packed_stream::forward(machine, products, dtype);
    }
    products.for_each(|product| many_rows(machine, product, dtype));
}

/// All rows, rounded once.
fn round<'a>(
    machine: &Machine,
    scratch: &'a mut Scratch,
    x: View,
    rows: Rows,
    dtype: DType,
) -> &'a [u32] {
    // SAFETY: the input of the running operation.
    let values = unsafe { x.f32s() };
    let rounded = scratch.left.floats(rows.count * rows.blocks * rows.words);
    let rounded: &mut [u32] = bytemuck::cast_slice_mut(rounded);
    let parts = SharedMut::new(&mut *rounded);
    machine.pool.run(rows.tiles(), &|tile, _| {
        // SAFETY: tiles do not overlap.
        let out = unsafe { parts.part(rows.words_of(tile)) };
        let of = rows.of(tile);
        let x = &values[of.start * x.columns..of.end * x.columns];
        run(machine.instructions, dtype, Round { out, x, columns: x.len() / of.len() });
    });
    rounded
}

fn many_rows(machine: &Machine, product: Product, dtype: DType) {
    let rows = product.rows;
    let group = product.group_of_panels(machine.pool.threads());
    let row_tiles = (GROUP_ROWS / rows.tile).max(1);
    let (across, down) = (product.panels().div_ceil(group), rows.tiles().div_ceil(row_tiles));
    machine.pool.run(across * down, &|task, _| {
        let panels = part(product.panels(), group, task % across);
        let tiles = part(rows.tiles(), row_tiles, task / across);
        run(machine.instructions, dtype, Group { product, panels, tiles });
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
pub struct Rows {
    count: usize,
    tile: usize,
    /// Blocks of a row.
    pub blocks: usize,
    words: usize,
}

impl Rows {
    fn few(&self) -> bool {
        self.count * self.blocks * self.words <= FEW_WORDS
    }

    /// How many tiles.
    pub fn tiles(&self) -> usize {
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

/// A packed weight, rounded rows, how many outputs a row gets, and where they go.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// The panels.
    pub weights: &'a [u8],
    x: &'a [u32],
    /// How the rounded rows lie.
    pub rows: Rows,
    outputs: usize,
    out: SharedMut<'a, f32>,
}

impl Product<'_> {
    /// How many panels.
    pub fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    /// Fewer panels where the weight is too small to keep all threads busy to the end.
    fn group_of_panels(&self, threads: usize) -> usize {
        (self.panels() / (4 * threads)).clamp(1, GROUP_PANELS)
    }
}

/// A task: some panels times some tiles of rows.
pub struct Group<'a> {
    /// Of what.
    pub product: Product<'a>,
    /// Which panels.
    pub panels: Range<usize>,
    /// Which tiles.
    pub tiles: Range<usize>,
}

impl PackedKernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Format>(self, format: F) {
        let Product { weights, rows, .. } = self.product;
        for first in (0..rows.blocks).step_by(PIECE) {
            let piece = first..(first + PIECE).min(rows.blocks);
            for panel in self.panels.clone() {
                let next = ((panel + 1) * rows.blocks + first) * F::BYTES;
                let ahead = weights.as_ptr().wrapping_add(next);
                self.piece_of_a_panel(format, panel, piece.clone(), ahead);
            }
        }
    }
}

impl Group<'_> {
    /// All tiles; what begins at `ahead` is asked for meanwhile, as many blocks as those of the piece.
    #[inline(always)]
    pub fn piece_of_a_panel<F: Format>(
        &self,
        format: F,
        panel: usize,
        piece: Range<usize>,
        ahead: *const u8,
    ) {
        for lane in (0..PANEL).step_by(VECTORS * F::S::LANES) {
            if panel * PANEL + lane < self.product.outputs {
                for tile in self.tiles.clone() {
                    let ahead = (tile == self.tiles.start && lane == 0).then_some(ahead);
                    self.tile(format, (panel, lane), piece.clone(), tile, ahead);
                }
            }
        }
    }

    #[inline(always)]
    fn tile<F: Format>(
        &self,
        format: F,
        (panel, lane): (usize, usize),
        piece: Range<usize>,
        tile: usize,
        ahead: Option<*const u8>,
    ) {
        let Product { weights, x, rows, outputs, out } = self.product;
        let (of, blocks, first) = (rows.of(tile), piece.len(), piece.start == 0);
        let column = panel * PANEL + lane;
        let columns = (outputs - column).min(VECTORS * F::S::LANES);
        let last = (of.end - 1) * outputs + column + columns;
        let weights = &weights[(panel * rows.blocks + piece.start) * F::BYTES..];
        let weights = &weights[..blocks * F::BYTES];
        let words = rows.words_of(tile).start + piece.start * F::WORDS * of.len();
        let x = &x[words..][..blocks * F::WORDS * of.len()];
        let start = out.pointer(of.start * outputs + column..last);
        let ahead = ahead.unwrap_or(weights.as_ptr());
        let product =
            Tile { weights, lane, x, blocks, start, stride: outputs, columns, first, ahead };
        // SAFETY: the slices are as long as said, and no other task writes this rectangle.
        unsafe { product.run(format, of.len()) }
    }
}
