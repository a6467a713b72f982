//! Blocks of queries, keys and scores, and the products of them: what both directions of attention
//! are built from. See `attention.rs` for the plan.

use crate::backend::QkvViews;
use crate::cpu::attention_few::BlockRows;
use crate::cpu::attention_kept::WidenRows;
use crate::cpu::elements::Elements;
use crate::cpu::instructions::Instructions;
use crate::cpu::matmul_kernel::{PanelProduct, Store, Target};
use crate::cpu::matmul_pack::{Along, Pack, Side, packed_length};
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::layout::{Heads, Span};
use crate::q8_rows;
use crate::view::View;
use std::ops::Range;

/// Queries of a block: whole tiles of rows on AVX-512.
pub const QUERIES: usize = 56;
/// Keys of a block: whole tiles of columns on every path.
pub const KEYS: usize = 128;
/// Room for a block of scores.
pub const SCORES: usize = (if QUERIES > KEYS { QUERIES } else { KEYS }) * KEYS;

/// What attention reads; each may be bf16.
pub struct Input<'a> {
    pub queries: Elements<'a>,
    pub keys: Kept<'a>,
    pub values: Kept<'a>,
}

/// Keys or values.
pub enum Kept<'a> {
    Floats(Elements<'a>),
    /// As `q8_rows.rs` says.
    EightBit(&'a [u8]),
}

impl<'a> Kept<'a> {
    /// # Safety
    /// As [`View::f32s`].
    unsafe fn of(view: View) -> Kept<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            match view.dtype {
                DType::Q8Rows => Kept::EightBit(view.q8_rows()),
                _ => Kept::Floats(Elements::of(view)),
            }
        }
    }

    /// Where there are gradients there are no 8-bit numbers.
    pub fn floats(&self) -> Elements<'a> {
        match self {
            Kept::Floats(x) => *x,
            Kept::EightBit(_) => unreachable!("`ops` refuses 8-bit keys and values with gradients"),
        }
    }
}

impl<'a> Input<'a> {
    /// # Safety
    /// As [`View::f32s`].
    pub unsafe fn new(views: QkvViews) -> Input<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            Input {
                queries: Elements::of(views.queries),
                keys: Kept::of(views.keys),
                values: Kept::of(views.values),
            }
        }
    }
}

/// Memory of one thread, cut into what a task needs.
pub struct Room<'a>(pub &'a mut [f32]);

impl<'a> Room<'a> {
    /// Packed and unpacked blocks are at most so large, whatever the tile.
    pub fn block(heads: Heads) -> usize {
        packed_length(heads.size, QUERIES.max(KEYS), 64)
    }

    /// The columns of a head for a block of queries.
    pub fn outputs(heads: Heads) -> usize {
        (QUERIES * heads.size).next_multiple_of(16)
    }

    pub fn block_of(&mut self, heads: Heads) -> &'a mut [f32] {
        self.take(Room::block(heads))
    }

    pub fn take(&mut self, length: usize) -> &'a mut [f32] {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut(length);
        self.0 = rest;
        taken
    }
}

/// Columns of one head in some rows of a matrix.
#[derive(Clone, Copy)]
pub struct HeadRows {
    pub first_row: usize,
    pub first_column: usize,
    pub columns: usize,
}

impl HeadRows {
    pub fn start(&self) -> usize {
        self.first_row * self.columns + self.first_column
    }

    /// As the left or right side of a product whose lanes are the rows.
    pub fn rows<'a>(&self, x: Elements<'a>, rows: usize, size: usize) -> Side<'a> {
        let (elements, along) = (x.after(self.start()).into(), Along::Depth);
        Side { elements, along, stride: self.columns, lanes: rows, depth: size }
    }

    /// As the right side of a product that sums over the rows.
    pub fn summed<'a>(&self, x: Elements<'a>, rows: usize, size: usize) -> Side<'a> {
        let (elements, along) = (x.after(self.start()).into(), Along::Lanes);
        Side { elements, along, stride: self.columns, lanes: size, depth: rows }
    }

    pub fn row(&self, row: usize, size: usize) -> Range<usize> {
        let start = self.start() + row * self.columns;
        start..start + size
    }

    pub fn target(&self, x: &SharedMut<f32>, rows: usize, size: usize) -> Target {
        let place = self.start()..self.row(rows - 1, size).end;
        Target { start: x.pointer(place), stride: self.columns }
    }
}

pub fn query_head(heads: Heads, first_row: usize, head: usize) -> HeadRows {
    HeadRows { first_row, first_column: head * heads.size, columns: heads.query_columns() }
}

pub fn key_head(heads: Heads, first_row: usize, head: usize) -> HeadRows {
    HeadRows { first_row, first_column: head * heads.size, columns: heads.key_columns() }
}

/// Packing and multiplying whole blocks.
#[derive(Clone, Copy)]
pub struct Products(pub Instructions);

impl Products {
    pub fn pack_left(self, out: &mut [f32], side: Side) {
        let (lanes, depths, width) = (0..side.lanes, 0..side.depth, self.0.tile_rows());
        self.0.run(Pack { out, side, lanes, depths, width, narrow: true });
    }

    pub fn pack_right(self, out: &mut [f32], side: Side) {
        let (lanes, depths, width) = (0..side.lanes, 0..side.depth, self.0.tile_columns());
        self.0.run(Pack { out, side, lanes, depths, width, narrow: false });
    }

    /// The columns of a head in 8-bit rows, as floats in `room`.
    pub fn widen<'a>(
        self,
        room: &'a mut [f32],
        kept: &[u8],
        place: HeadRows,
        rows: usize,
        size: usize,
    ) -> BlockRows<'a> {
        let bytes = q8_rows::row_bytes(place.columns);
        let kept = &kept[place.first_row * bytes..][..rows * bytes];
        let (out, HeadRows { first_column: first, columns, .. }) =
            (&mut room[..rows * size], place);
        self.0.run(WidenRows { out, kept, first, columns, size });
        BlockRows { elements: Elements::F32(room), stride: size, rows }
    }

    /// Rows times keys; a row of the result is [`KEYS`] long.
    pub fn scores(
        self,
        out: &mut [f32],
        sizes: (usize, usize, usize),
        left: &[f32],
        right: &[f32],
    ) {
        self.into_block((out, KEYS), sizes, left, right, Store::Overwrite);
    }

    /// Into a block whose rows are `stride` long.
    pub fn into_block(
        self,
        (out, stride): (&mut [f32], usize),
        sizes: (usize, usize, usize),
        left: &[f32],
        right: &[f32],
        store: Store,
    ) {
        assert!(out.len() >= sizes.0 * stride && sizes.1 <= stride);
        let target = Target { start: out.as_mut_ptr(), stride };
        // SAFETY: inside `out` by the assertion, which nobody else holds.
        self.0.run(unsafe { PanelProduct::new(target, sizes, left, right, store) });
    }

    /// Into the columns of one head.
    ///
    /// # Safety
    /// No other task may use these columns of these rows.
    pub unsafe fn into_head(
        self,
        (out, place): (&SharedMut<f32>, HeadRows),
        sizes: (usize, usize, usize),
        left: &[f32],
        right: &[f32],
        store: Store,
    ) {
        let target = place.target(out, sizes.0, sizes.1);
        // SAFETY: `target` asserts that it lies inside; alone by the caller's promise.
        self.0.run(unsafe { PanelProduct::new(target, sizes, left, right, store) });
    }
}

/// A block of scores as a side of a product.
pub fn scores_side(scores: &[f32], along: Along, lanes: usize, depth: usize) -> Side<'_> {
    Side::of(scores, along, KEYS, lanes, depth)
}

/// Queries of a span against its keys: who sees what.
#[derive(Clone)]
pub struct Sight {
    /// Queries, counted from the first of the span.
    pub queries: Range<usize>,
    /// Keys that the first of these queries sees, counted from the first of the span.
    pub by_first: usize,
}

impl Sight {
    pub fn new(span: &Span, queries: Range<usize>) -> Sight {
        let by_first = span.keys.len() - span.queries.len() + queries.start + 1;
        Sight { queries, by_first }
    }

    /// Keys that the last of these queries sees.
    pub fn by_last(&self) -> usize {
        self.by_first + self.queries.len() - 1
    }

    /// How many of `keys` keys from `first_key` on the `row`th of these queries sees.
    pub fn visible(&self, row: usize, first_key: usize, keys: usize) -> usize {
        (self.by_first + row).saturating_sub(first_key).min(keys)
    }
}
