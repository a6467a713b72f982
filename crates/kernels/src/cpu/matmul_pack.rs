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
    /// Elements (lane, 2k) and (lane, 2k + 1) of bf16 stand as in `Lanes` and become the pair
    /// (lane, k); a row that is missing at the end is zero. (Where the depth runs along memory, pairs
    /// stand there already, and are moved like `f32`.)
    LanesOfPairs,
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

/// Rows of memory that are spread over panels at a time.
const FEW: usize = 8;

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
            (Elements::Bf16(x), Along::LanesOfPairs) => self.along_lanes(s, Pairs(x)),
            (Elements::F32(_), Along::LanesOfPairs) => unreachable!("pairs are of bf16"),
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

    /// Rows of memory are rows of panels. A few rows are spread over the panels at a time, so that
    /// each panel is written in a run, while the next few are asked for. As in `along_depth`, what is
    /// stored beyond a panel narrower than a vector is overwritten by its next depth.
    #[inline(always)]
    fn along_lanes<S: Simd, R: Rows>(self, s: S, rows: R) {
        let depth = self.depths.len();
        let last = (self.lanes.len().max(1) - 1) / self.width * self.width;
        let (stride, lanes) = (self.side.stride, self.lanes.clone());
        for first in (0..depth).step_by(FEW) {
            let few = first..(first + FEW).min(depth);
            for k in few.end..(few.end + FEW).min(depth) {
                rows.ask(s, (self.depths.start + k, stride), lanes.clone());
            }
            for lane in (0..lanes.len()).step_by(self.width) {
                let narrow = self.narrow && lane == last;
                let width = if narrow { lanes.len() - lane } else { self.width };
                let panel = &mut self.out[lane * depth..lane * depth + width * depth];
                for k in few.clone() {
                    let row = (self.depths.start + k, stride);
                    for strip in (0..width).step_by(S::LANES) {
                        let lanes = (lanes.start + lane + strip).min(lanes.end)..lanes.end;
                        s.store(rows.load(s, row, lanes), &mut panel[k * width + strip..]);
                    }
                }
            }
        }
    }
}

/// Memory whose rows are depths, one or two to each. `row` is a depth and the stride.
pub trait Rows: Copy {
    /// The first of the given lanes, followed by zeros if there are too few.
    fn load<S: Simd>(self, s: S, row: (usize, usize), lanes: Range<usize>) -> S::V;
    /// Asks for all of the given lanes.
    fn ask<S: Simd>(self, s: S, row: (usize, usize), lanes: Range<usize>);
}

impl<E: Element> Rows for &[E] {
    #[inline(always)]
    fn load<S: Simd>(self, s: S, (k, stride): (usize, usize), lanes: Range<usize>) -> S::V {
        E::load(s, &self[k * stride + lanes.start..k * stride + lanes.end])
    }
    #[inline(always)]
    fn ask<S: Simd>(self, s: S, (k, stride): (usize, usize), lanes: Range<usize>) {
        for lane in lanes.step_by(64 / size_of::<E>()) {
            s.prefetch(self.as_ptr().wrapping_add(k * stride + lane).cast());
        }
    }
}

/// See [`Along::LanesOfPairs`].
#[derive(Clone, Copy)]
pub struct Pairs<'a>(pub &'a [bf16]);

impl Rows for Pairs<'_> {
    #[inline(always)]
    fn load<S: Simd>(self, s: S, (k, stride): (usize, usize), lanes: Range<usize>) -> S::V {
        let even = self.0.load(s, (2 * k, stride), lanes.clone());
        let is_last = (2 * k + 1) * stride == self.0.len();
        let odd = if is_last { s.splat(0.0) } else { self.0.load(s, (2 * k + 1, stride), lanes) };
        s.pair(even, odd)
    }
    #[inline(always)]
    fn ask<S: Simd>(self, s: S, (k, stride): (usize, usize), lanes: Range<usize>) {
        self.0.ask(s, (2 * k, stride), lanes.clone());
        self.0.ask(s, (2 * k + 1, stride), lanes);
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

    fn side_of(x: &[f32], along: Along, stride: usize, lanes: usize, depth: usize) -> Side<'_> {
        Side { elements: Elements::F32(x), along, stride, lanes, depth }
    }

    fn packed(path: CpuPath, side: Side, width: usize, narrow: bool) -> Vec<f32> {
        let mut out = vec![f32::NAN; packed_length(side.lanes, side.depth, width)];
        let (lanes, depths) = (0..side.lanes, 0..side.depth);
        let pack = Pack { out: &mut out, side, lanes, depths, width, narrow };
        Instructions::checked(path).unwrap().run(pack);
        out
    }

    #[test]
    fn pairs_are_packed_alike_whether_they_stand_along_the_depth_or_across_rows() {
        for path in CpuPath::available() {
            let tile = Instructions::checked(path).unwrap();
            for (lanes, depth) in [(1usize, 1usize), (37, 19), (64, 32), (5, 51), (29, 35)] {
                let at = |lane: usize, k: usize| bf16::from_f32((lane * 100 + k) as f32);
                let even = depth.next_multiple_of(2);
                let rows: Vec<bf16> = (0..lanes * even)
                    .map(|i| if i % even < depth { at(i / even, i % even) } else { bf16::ZERO })
                    .collect();
                let columns: Vec<bf16> =
                    (0..lanes * depth).map(|i| at(i % lanes, i / lanes)).collect();
                let by_rows: Vec<f32> = rows
                    .chunks(2)
                    .map(|x| f32::from_bits(x[0].to_bits() as u32 | (x[1].to_bits() as u32) << 16))
                    .collect();
                let by_rows = side_of(&by_rows, Along::Depth, even / 2, lanes, even / 2);
                let (elements, along) = (Elements::Bf16(&columns), Along::LanesOfPairs);
                let by_columns = Side { elements, along, stride: lanes, ..by_rows };
                let bits = |x: Vec<f32>| -> Vec<u32> { x.into_iter().map(f32::to_bits).collect() };
                for (width, narrow) in [(tile.tile_rows(), true), (tile.tile_columns(), false)] {
                    // What lies beyond the last narrow panel is not written by either.
                    let used = if narrow { lanes * even / 2 } else { usize::MAX };
                    let [mut x, mut y] =
                        [by_rows, by_columns].map(|side| bits(packed(path, side, width, narrow)));
                    x.truncate(used);
                    y.truncate(used);
                    assert!(x == y, "{path:?} {lanes} lanes, {depth} deep, {width} wide");
                }
            }
        }
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
            let by_rows = side_of(&rows, Along::Depth, depth, lanes, depth);
            let by_columns = side_of(&columns, Along::Lanes, lanes, lanes, depth);
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
