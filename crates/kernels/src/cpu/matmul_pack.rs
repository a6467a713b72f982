//! Copies one side of a product into panels, in the order in which the tile of `matmul_kernel.rs`
//! reads it: for each depth `k` the lanes of the panel side by side. The four layouts of a product
//! (either side along its rows or its columns) and the two dtypes differ only here.

use crate::cpu::instructions::Kernel;
use crate::cpu::simd::Simd;
use half::bf16;
use std::ops::Range;

/// Elements of a side as they are stored.
#[derive(Clone, Copy)]
pub enum Elements<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Widened while packing.
    Bf16(&'a [bf16]),
}

/// Which index of a side runs along memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// Element (lane, k) stands at `lane * stride + k`.
    Depth,
    /// Element (lane, k) stands at `k * stride + lane`.
    Lanes,
}

/// One side of a product: lanes (rows of the result on the left, columns on the right) by depth
/// (the index that is summed over).
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// From element (0, 0) on.
    pub elements: Elements<'a>,
    /// What runs along memory.
    pub along: Along,
    /// Elements from one row of memory to the next.
    pub stride: usize,
    /// Number of lanes.
    pub lanes: usize,
    /// Number of terms of each sum.
    pub depth: usize,
}

impl<'a> Side<'a> {
    /// `f32` elements from (0, 0) on.
    pub fn of(x: &'a [f32], along: Along, stride: usize, lanes: usize, depth: usize) -> Side<'a> {
        Side { elements: Elements::F32(x), along, stride, lanes, depth }
    }
}

/// Packs the given lanes and depths into panels of `width` lanes. A panel holds
/// `width * depths.len()` floats; the last one is narrower if `narrow`, else filled with zeros.
pub struct Pack<'a> {
    /// The panels, one after the other.
    pub out: &'a mut [f32],
    /// Where the numbers come from.
    pub side: Side<'a>,
    /// Which lanes.
    pub lanes: Range<usize>,
    /// Which depths.
    pub depths: Range<usize>,
    /// Lanes of a panel: at most two vectors.
    pub width: usize,
    /// Whether the last panel has only the lanes that are left.
    pub narrow: bool,
}

/// Floats of packed panels.
pub fn packed_length(lanes: usize, depth: usize, width: usize) -> usize {
    lanes.next_multiple_of(width) * depth
}

/// Elements of a row that are asked for ahead of their use: the rows of a panel are more streams
/// than a processor sees by itself.
const AHEAD: usize = 128;

/// An element type that vectors are loaded from.
pub trait Element: Copy {
    /// As [`Simd::load`].
    fn load<S: Simd>(s: S, x: &[Self]) -> S::V;
    /// # Safety
    /// As [`Simd::load_at`].
    unsafe fn load_at<S: Simd>(s: S, x: *const Self) -> S::V;
}

impl Element for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[f32]) -> S::V {
        s.load(x)
    }
    #[inline(always)]
    unsafe fn load_at<S: Simd>(s: S, x: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_at(x) }
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[bf16]) -> S::V {
        s.load_bf16(x)
    }
    #[inline(always)]
    unsafe fn load_at<S: Simd>(s: S, x: *const bf16) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_bf16_at(x) }
    }
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match (self.side.elements, self.side.along) {
            (Elements::F32(x), Along::Depth) => self.along_depth(s, x),
            (Elements::F32(x), Along::Lanes) => self.along_lanes(s, x),
            (Elements::Bf16(x), Along::Depth) => self.along_depth(s, x),
            (Elements::Bf16(x), Along::Lanes) => self.along_lanes(s, x),
        }
    }
}

impl Pack<'_> {
    /// Squares of a vector's worth of lanes and depths, turned in registers. Where a panel is
    /// narrower than a vector, a store runs into the place of the next depth, which is written
    /// after it; a second strip must not, since the first has written there already.
    #[inline(always)]
    fn along_depth<S: Simd, E: Element>(self, s: S, x: &[E]) {
        let (depth, stride) = (self.depths.len(), self.side.stride);
        let panels = self.out.chunks_mut(self.width * depth);
        for (panel, lane) in panels.zip(self.lanes.clone().step_by(self.width)) {
            let present = self.width.min(self.lanes.end - lane);
            let width = if self.narrow { present } else { self.width };
            let panel = &mut panel[..width * depth];
            for strip in (0..width).step_by(S::LANES) {
                let lanes = S::LANES.min(present.saturating_sub(strip));
                for k in (0..depth).step_by(S::LANES) {
                    let first = (lane + strip) * stride + self.depths.start + k;
                    let rows = if lanes > 0 { &x[first..] } else { &x[..0] };
                    let (out, depth) = (&mut panel[k * width + strip..], S::LANES.min(depth - k));
                    // Lanes of the next panel may come along where they are overwritten.
                    let spacious =
                        |length: usize, step: usize| length >= (S::LANES - 1) * step + S::LANES;
                    let spills = lanes < S::LANES && strip > 0;
                    let whole = (lanes == S::LANES || self.narrow) && depth == S::LANES && !spills;
                    if whole && spacious(rows.len(), stride) && spacious(out.len(), width) {
                        turn_square(s, out, width, rows, stride);
                    } else {
                        let own = width - strip;
                        turn_edge(s, out, (width, own), rows, stride, (lanes, depth));
                    }
                }
            }
        }
    }

    /// Rows of memory are rows of panels; a row is read as a whole, so that no cache line of it is
    /// fetched twice.
    #[inline(always)]
    fn along_lanes<S: Simd, E: Element>(self, s: S, x: &[E]) {
        let depth = self.depths.len();
        let last = (self.lanes.len().max(1) - 1) / self.width * self.width;
        for k in 0..depth {
            let start = (self.depths.start + k) * self.side.stride;
            let row = &x[start + self.lanes.start..start + self.lanes.end];
            for lane in (0..row.len()).step_by(self.width) {
                let narrow = self.narrow && lane == last;
                let width = if narrow { row.len() - lane } else { self.width };
                let panel = &mut self.out[lane * depth..lane * depth + width * depth];
                for strip in (0..width).step_by(S::LANES) {
                    let values = E::load(s, &row[(lane + strip).min(row.len())..]);
                    s.store(values, &mut panel[k * width + strip..]);
                }
            }
        }
    }
}

/// Turns a square of memory: `x[lane * stride + k]` to `out[k * width + lane]`. Never indexed by a
/// variable, the square stays in registers.
#[inline(always)]
fn turn_square<S: Simd, E: Element>(s: S, out: &mut [f32], width: usize, x: &[E], stride: usize) {
    assert!(x.len() >= (S::LANES - 1) * stride + S::LANES, "rows of a square");
    assert!(out.len() >= (S::LANES - 1) * width + S::LANES, "columns of a square");
    let mut square = s.square();
    for lane in 0..S::LANES {
        let row = x.as_ptr().wrapping_add(lane * stride);
        s.prefetch(row.wrapping_add(AHEAD).cast());
        // SAFETY: inside `x` by the assertion.
        square.as_mut()[lane] = unsafe { E::load_at(s, row) };
    }
    s.transpose(&mut square);
    for k in 0..S::LANES {
        // SAFETY: inside `out` by the assertion.
        unsafe { s.store_at(square.as_mut()[k], out.as_mut_ptr().add(k * width)) };
    }
}

/// The same at an edge: of only some lanes and depths, with zeros beyond the lanes. Writes no more
/// than `own` values of each depth.
#[inline(always)]
fn turn_edge<S: Simd, E: Element>(
    s: S,
    out: &mut [f32],
    (width, own): (usize, usize),
    x: &[E],
    stride: usize,
    (lanes, depth): (usize, usize),
) {
    let mut square = s.square();
    for lane in 0..lanes {
        square.as_mut()[lane] = E::load(s, &x[lane * stride..][..depth]);
    }
    s.transpose(&mut square);
    for k in 0..depth {
        let row = &mut out[k * width..];
        let own = own.min(row.len());
        s.store(square.as_mut()[k], &mut row[..own]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::instructions::Instructions;
    use crate::cpu::path::CpuPath;

    fn packed(path: CpuPath, side: Side, width: usize, narrow: bool) -> Vec<f32> {
        let mut out = vec![f32::NAN; packed_length(side.lanes, side.depth, width)];
        let (lanes, depths) = (0..side.lanes, 0..side.depth);
        let pack = Pack { out: &mut out, side, lanes, depths, width, narrow };
        Instructions::checked(path).unwrap().run(pack);
        out
    }

    #[test]
    fn both_layouts_and_dtypes_pack_to_the_same_panels_with_zeros_beyond_the_last_lane() {
        let sizes = [(1, 1), (37, 19), (64, 32), (5, 50), (29, 35)];
        let cases =
            CpuPath::available().into_iter().flat_map(|path| sizes.map(|size| (path, size)));
        for (path, (lanes, depth)) in cases {
            let at = |lane: usize, k: usize| (lane * depth + k) as f32 % 251.0;
            let rows: Vec<f32> = (0..lanes * depth).map(|i| at(i / depth, i % depth)).collect();
            let columns: Vec<f32> = (0..lanes * depth).map(|i| at(i % lanes, i / lanes)).collect();
            let short: Vec<bf16> = rows.iter().map(|&x| bf16::from_f32(x)).collect();
            let by_rows = Side::of(&rows, Along::Depth, depth, lanes, depth);
            let by_columns = Side::of(&columns, Along::Lanes, lanes, lanes, depth);
            let halved = Side { elements: Elements::Bf16(&short), ..by_rows };
            let tile = Instructions::checked(path).unwrap();
            // Narrow and two vectors wide is what the left side is where a tile has more rows than
            // a vector has lanes.
            let two = tile.tile_columns();
            for (width, narrow) in [(tile.tile_rows(), true), (two, false), (two, true)] {
                for side in [by_rows, by_columns, halved] {
                    let out = packed(path, side, width, narrow);
                    for lane in 0..lanes.next_multiple_of(width) {
                        let panel = lane / width * width;
                        let present = if narrow { width.min(lanes - panel) } else { width };
                        for k in (0..depth).filter(|_| lane - panel < present) {
                            let expected = if lane < lanes { at(lane, k) } else { 0.0 };
                            let found = out[panel * depth + k * present + lane - panel];
                            assert_eq!(found, expected, "{path:?} lane {lane} depth {k}");
                        }
                    }
                }
            }
        }
    }
}
