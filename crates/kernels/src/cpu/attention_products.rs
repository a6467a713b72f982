//! The products of attention: blocks of queries, keys and scores, panel by panel, each as far as its
//! rows see. Scores are multiplied where they stand; the rest is packed.

use crate::cpu::attention_blocks::{HeadRows, KEYS, Kept, Seen};
use crate::cpu::attention_kept::WidenRows;
use crate::cpu::elements::{Convert, ElementsMut};
use crate::cpu::instructions::Instructions;
use crate::cpu::matmul_kernel::{PanelProduct, Store, Target, Unpacked, UnpackedProduct};
use crate::cpu::matmul_pack::{Pack, Side};
use crate::q8_rows;
use std::ops::Range;

/// Packing and multiplying blocks.
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

    /// The columns of a head in rows that lie together, as rows of `size` floats.
    pub fn gather(self, out: &mut [f32], kept: &Kept, place: HeadRows, size: usize) {
        let HeadRows { first_column: first, columns, .. } = place;
        match *kept {
            Kept::Floats(x) => {
                for (row, out) in out.chunks_exact_mut(size).enumerate() {
                    let x = x.part(place.row(row, size));
                    self.0.run(Convert { out: ElementsMut::F32(out), x });
                }
            }
            Kept::EightBit(kept) => {
                let kept = &kept[place.first_row * q8_rows::row_bytes(columns)..];
                self.0.run(WidenRows { out, kept, first, columns, size });
            }
        }
    }

    /// `out = left · rightᵀ`, queries by keys with sums over `size`, as far as each panel of queries
    /// sees; beyond, `out` keeps what it held. A row of it is [`KEYS`] long.
    pub fn scores(self, out: &mut [f32], seen: Seen, size: usize, left: &[f32], right: &[f32]) {
        assert!(out.len() >= seen.rows * KEYS && seen.keys <= KEYS);
        for rows in self.panels(seen.rows) {
            let sizes = (rows.len(), seen.by(rows.end - 1), size);
            let target = Target { start: out[rows.start * KEYS..].as_mut_ptr(), stride: KEYS };
            let left = &left[rows.start * size..];
            // SAFETY: rows of `out` by the assertion, which nobody else holds.
            let product =
                unsafe { PanelProduct::new(target, sizes, left, right, Store::Overwrite) };
            self.0.run(product);
        }
    }

    /// `out[query, i] = Σ_key scores[query, key] · right[key, i]`, or added to it.
    ///
    /// # Safety
    /// `seen.rows` rows of `size` floats of `out` must be valid, and nobody else may use them.
    pub unsafe fn by_query(
        self,
        out: Target,
        (seen, size): (Seen, usize),
        scores: &[f32],
        right: &[f32],
        store: Store,
    ) {
        for rows in self.panels(seen.rows) {
            let (right, sizes) = ((right, seen.keys), (rows.len(), size, seen.by(rows.end - 1)));
            let left = Unpacked::Rows(&scores[rows.start * KEYS..]);
            // SAFETY: the caller's promise.
            unsafe { self.add_panel(out, rows.start, sizes, left, right, store) };
        }
    }

    /// `out[key, i] += Σ_query scores[query, key] · right[query, i]`
    ///
    /// # Safety
    /// As [`Products::by_query`], for `seen.keys` rows.
    pub unsafe fn by_key(
        self,
        out: Target,
        (seen, size): (Seen, usize),
        scores: &[f32],
        right: &[f32],
    ) {
        for keys in self.panels(seen.keys) {
            let first = seen.first_row(keys.start);
            let sizes = (keys.len(), size, seen.rows - first);
            let right = (&right[first * self.0.tile_columns()..], seen.rows);
            let left = Unpacked::Depths(&scores[first * KEYS + keys.start..]);
            // SAFETY: the caller's promise.
            unsafe { self.add_panel(out, keys.start, sizes, left, right, Store::Add) };
        }
    }

    /// # Safety
    /// The rows of the panel, which begins at `row` of `out`, must be valid and nobody else's.
    unsafe fn add_panel(
        self,
        out: Target,
        row: usize,
        sizes: (usize, usize, usize),
        left: Unpacked,
        right: (&[f32], usize),
        store: Store,
    ) {
        if sizes.2 == 0 {
            return;
        }
        let target = Target { start: out.start.wrapping_add(row * out.stride), ..out };
        // SAFETY: the caller's promise.
        self.0.run(unsafe { UnpackedProduct::new(target, sizes, left, right, store) });
    }

    /// `0..rows` in panels of a tile.
    fn panels(self, rows: usize) -> impl Iterator<Item = Range<usize>> {
        let height = self.0.tile_rows();
        (0..rows).step_by(height).map(move |row| row..(row + height).min(rows))
    }
}
