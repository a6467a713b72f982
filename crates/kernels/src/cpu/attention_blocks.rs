//! Blocks of queries, keys and scores, and who sees what: what both directions of attention are built
//! from. Multiplies nothing; see `attention.rs` for the plan.

use crate::backend::QkvViews;
use crate::cpu::elements::Elements;
use crate::cpu::matmul_kernel::{BLOCK, Target};
use crate::cpu::matmul_pack::{Along, Side, packed_length};
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::layout::{Heads, Span};
use crate::view::View;
use std::ops::Range;

/// Queries of a block: whole tiles of rows on AVX-512.
pub const QUERIES: usize = 56;
/// Keys of a block: whole tiles of columns on every path.
pub const KEYS: usize = BLOCK;
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

    /// The block of these queries, `heads` rows each, by some keys of the span.
    pub fn at(&self, keys: Range<usize>, heads: usize) -> Seen {
        let by_first = self.by_first as isize - keys.start as isize;
        Seen { rows: self.queries.len() * heads, heads, keys: keys.len(), by_first }
    }
}

/// A block of scores, of which every query sees one key more than the query before.
#[derive(Clone, Copy)]
pub struct Seen {
    /// Queries of the block times heads.
    pub rows: usize,
    /// Rows of a query.
    heads: usize,
    /// Keys of the block.
    pub keys: usize,
    /// Keys that the first query sees, negative where the first key is still ahead of it.
    by_first: isize,
}

impl Seen {
    /// How many keys of the block a row sees.
    pub fn by(&self, row: usize) -> usize {
        (self.by_first + (row / self.heads) as isize).clamp(0, self.keys as isize) as usize
    }

    /// The first row that sees a key of the block; beyond the last if none does.
    pub fn first_row(&self, key: usize) -> usize {
        let query = (key as isize + 1 - self.by_first).max(0) as usize;
        (query * self.heads).min(self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_sees_a_key_from_the_first_row_on_that_does() {
        for (cached, first) in [(0, 0), (0, 56), (7, 0), (300, 56)] {
            let span = Span { queries: 0..200, keys: 0..200 + cached };
            let sight = Sight::new(&span, first..first + 56);
            for keys in [0..128, 128..200, 128..256] {
                for heads in [1, 3] {
                    let seen = sight.at(keys.clone(), heads);
                    let places = |row| (0..keys.len()).map(move |key| (row, key));
                    for (row, key) in (0..56 * heads).flat_map(places) {
                        let sees = keys.start + key <= cached + first + row / heads;
                        assert_eq!(key < seen.by(row), sees);
                        assert_eq!(row >= seen.first_row(key), sees);
                    }
                }
            }
        }
    }
}
