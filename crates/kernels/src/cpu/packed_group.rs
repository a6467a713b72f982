//! Some panels of a packed weight times some tiles of rounded rows, and how those lie in memory. Which
//! ones belong together is decided in `packed_product.rs` and `packed_stream.rs`.

use crate::cpu::matmul_plan::group_of;
use crate::cpu::packed_format::{Format, VECTORS};
use crate::cpu::packed_instructions::PackedKernel;
use crate::cpu::packed_tile::Tile;
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::packed_layout::PANEL;
use std::ops::Range;

/// Blocks of a piece.
pub const PIECE: usize = 16;

/// How rounded rows lie in memory: tiles of `tile` rows, the last may have fewer.
#[derive(Clone, Copy)]
pub struct Rows {
    /// How many rows.
    pub count: usize,
    /// Rows of a tile.
    pub tile: usize,
    /// Blocks of a row.
    pub blocks: usize,
    /// Words of a block of a row.
    pub words: usize,
}

impl Rows {
    /// How many tiles.
    pub fn tiles(&self) -> usize {
        self.count.div_ceil(self.tile)
    }

    /// The rows of a tile.
    pub fn of(&self, tile: usize) -> Range<usize> {
        group_of(&(0..self.count), self.tile, tile)
    }

    /// Where their words stand.
    pub fn words_of(&self, tile: usize) -> Range<usize> {
        let (rows, words) = (self.of(tile), self.blocks * self.words);
        rows.start * words..rows.end * words
    }
}

/// A packed weight, rounded rows, how many outputs a row gets, and where they go.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// The panels.
    pub weights: &'a [u8],
    /// The rounded rows.
    pub x: &'a [u32],
    /// How the rounded rows lie.
    pub rows: Rows,
    /// Outputs of a row.
    pub outputs: usize,
    /// The result.
    pub out: SharedMut<'a, f32>,
}

impl Product<'_> {
    /// How many panels.
    pub fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
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
