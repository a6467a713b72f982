//! Brings both sides of a product of pairs of bf16 into the layouts that tiles are loaded from (see
//! `tiles.rs`). Depths are filled up with zeros to whole steps.

use crate::cpu::instructions::{Instructions, Kernel};
use crate::cpu::matmul_pack::{Along, Elements, Pack, Pairs, Rows, Side};
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::cpu::tiles::{SQUARE, STEP};
use std::ops::Range;

/// Pairs of whole steps.
pub fn whole_steps(depth: usize) -> usize {
    depth.next_multiple_of(STEP)
}

/// Pairs from one packed row to the next: an odd number of cache lines, since rows at a distance of a
/// power of two would all want the same few places of the first-level cache.
pub fn row_stride(depth: usize) -> usize {
    whole_steps(depth) | STEP
}

/// Where a part of a side is packed to.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Memory of which this part is written by nobody else.
    pub out: SharedMut<'a, f32>,
    /// Index of the first pair of the first row or panel.
    pub start: usize,
    /// Pairs from one row or panel to the next.
    pub stride: usize,
}

impl<'a> Place<'a> {
    /// # Safety
    /// Nobody else may use these pairs.
    #[inline(always)]
    unsafe fn pairs(&self, index: usize, first: usize, count: usize) -> &'a mut [f32] {
        let start = self.start + index * self.stride + first;
        // SAFETY: the caller's promise.
        unsafe { self.out.part(start..start + count) }
    }
}

/// Some lanes and depths of a side. The first depth is the first of a step.
#[derive(Clone)]
pub struct Part<'a> {
    /// The side.
    pub side: Side<'a>,
    /// Which lanes.
    pub lanes: Range<usize>,
    /// Which pairs of depth.
    pub depths: Range<usize>,
}

/// Packs columns into panels.
///
/// # Safety
/// Nobody else may use the panels at the place, for as many steps.
pub unsafe fn pack_panels(instructions: Instructions, place: Place, part: Part) {
    if let (Along::LanesOfPairs, Elements::Bf16(x)) = (part.side.along, part.side.elements) {
        return instructions.run(Weave { place, x, part });
    }
    let Part { side, lanes, depths } = part;
    let (depth, width, narrow) = (depths.len(), SQUARE, false);
    for (index, lane) in lanes.clone().step_by(SQUARE).enumerate() {
        // SAFETY: the caller's promise.
        let panel = unsafe { place.pairs(index, 0, whole_steps(depth) * SQUARE) };
        let lanes = lane..(lane + SQUARE).min(lanes.end);
        let (out, rest) = panel.split_at_mut(depth * SQUARE);
        instructions.run(Pack { out, side, lanes, depths: depths.clone(), width, narrow });
        rest.fill(0.0);
    }
}

/// Packs rows: pairs of a lane side by side.
///
/// # Safety
/// Nobody else may use the rows at the place, for as many steps.
pub unsafe fn pack_rows(instructions: Instructions, place: Place, part: Part) {
    match (part.side.along, part.side.elements) {
        (Along::LanesOfPairs, Elements::Bf16(x)) => instructions.run(Turn { place, x, part }),
        (Along::Depth, Elements::F32(x)) => {
            let depth = part.depths.len();
            for (index, lane) in part.lanes.enumerate() {
                // SAFETY: the caller's promise.
                let row = unsafe { place.pairs(index, 0, whole_steps(depth)) };
                let (out, rest) = row.split_at_mut(depth);
                out.copy_from_slice(&x[lane * part.side.stride..][part.depths.clone()]);
                rest.fill(0.0);
            }
        }
        _ => unreachable!("sides of pairs are bf16"),
    }
}

/// Lanes that stand along rows of memory become panels: two rows at a time, pair by pair.
struct Weave<'a> {
    place: Place<'a>,
    x: &'a [half::bf16],
    part: Part<'a>,
}

impl Kernel for Weave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        /// Pairs of rows of memory that are asked for ahead.
        const AHEAD: usize = 8;
        let Part { side, lanes, depths } = &self.part;
        for k in 0..whole_steps(depths.len()) {
            let row = (depths.start + k, side.stride);
            let panels = lanes.len().div_ceil(SQUARE);
            let lanes = if k < depths.len() { lanes.clone() } else { lanes.end..lanes.end };
            if depths.start + k + AHEAD < depths.end {
                Pairs(self.x).ask(s, (row.0 + AHEAD, row.1), lanes.clone());
            }
            for panel in 0..panels {
                // SAFETY: nobody else uses it, by the promise of `pack_panels`.
                let out = unsafe { self.place.pairs(panel, k * SQUARE, SQUARE) };
                for strip in (0..SQUARE).step_by(S::LANES) {
                    let lanes = (lanes.start + panel * SQUARE + strip).min(lanes.end)..lanes.end;
                    let pairs = match lanes.is_empty() {
                        true => s.splat(0.0),
                        false => Pairs(self.x).load(s, row, lanes),
                    };
                    s.store(pairs, &mut out[strip..strip + S::LANES]);
                }
            }
        }
    }
}

/// Lanes that stand along rows of memory become rows of pairs.
struct Turn<'a> {
    place: Place<'a>,
    x: &'a [half::bf16],
    part: Part<'a>,
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Part { side, lanes, depths } = &self.part;
        for k in (0..whole_steps(depths.len())).step_by(S::LANES) {
            let next = depths.start + k + S::LANES;
            for row in next..(next + S::LANES).min(depths.end) {
                Pairs(self.x).ask(s, (row, side.stride), lanes.clone());
            }
            let depth = S::LANES.min(depths.len().saturating_sub(k));
            for lane in (0..lanes.len()).step_by(S::LANES) {
                let mut square = s.square();
                let own = lanes.start + lane..lanes.end;
                // The first loop has a constant end, so that the square stays in registers.
                if depth == S::LANES {
                    for i in 0..S::LANES {
                        let row = (depths.start + k + i, side.stride);
                        square.as_mut()[i] = Pairs(self.x).load(s, row, own.clone());
                    }
                } else {
                    for i in 0..depth {
                        let row = (depths.start + k + i, side.stride);
                        square.as_mut()[i] = Pairs(self.x).load(s, row, own.clone());
                    }
                }
                s.transpose(&mut square);
                if own.len() >= S::LANES {
                    for i in 0..S::LANES {
                        // SAFETY: nobody else uses it, by the promise of `pack_rows`.
                        let out = unsafe { self.place.pairs(lane + i, k, S::LANES) };
                        s.store(square.as_mut()[i], out);
                    }
                } else {
                    for i in 0..own.len() {
                        // SAFETY: as above.
                        let out = unsafe { self.place.pairs(lane + i, k, S::LANES) };
                        s.store(square.as_mut()[i], out);
                    }
                }
            }
        }
    }
}
