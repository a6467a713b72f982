//! Brings both sides of a product of pairs of bf16 into the layouts that tiles are loaded from (see
//! `tiles.rs`). Depths are filled up with zeros to whole steps.

use crate::cpu::instructions::{Instructions, Kernel};
use crate::cpu::matmul_pack::{Along, Elements, Pack, Pairs, Rows, Side};
use crate::cpu::simd::Simd;
use crate::cpu::tiles::{SQUARE, STEP};
use std::ops::Range;

/// Pairs of whole steps.
pub fn whole_steps(depth: usize) -> usize {
    depth.next_multiple_of(STEP)
}

/// Packs columns into panels.
pub fn pack_panels(
    instructions: Instructions,
    out: &mut [f32],
    side: Side,
    lanes: Range<usize>,
    depths: Range<usize>,
) {
    let (depth, width, narrow) = (depths.len(), SQUARE, false);
    if depth.is_multiple_of(STEP) {
        return instructions.run(Pack { out, side, lanes, depths, width, narrow });
    }
    let panels = out.chunks_exact_mut(SQUARE * whole_steps(depth));
    for (panel, lane) in panels.zip(lanes.clone().step_by(SQUARE)) {
        let lanes = lane..(lane + SQUARE).min(lanes.end);
        let (out, rest) = panel.split_at_mut(SQUARE * depth);
        instructions.run(Pack { out, side, lanes, depths: depths.clone(), width, narrow });
        rest.fill(0.0);
    }
}

/// Packs rows: pairs of a lane side by side, one lane after the other.
pub fn pack_rows(
    instructions: Instructions,
    out: &mut [f32],
    side: Side,
    lanes: Range<usize>,
    depths: Range<usize>,
) {
    match (side.along, side.elements) {
        (Along::LanesOfPairs, Elements::Bf16(x)) => {
            instructions.run(Turn { out, x, stride: side.stride, lanes, depths });
        }
        (Along::Depth, Elements::F32(x)) => {
            let whole = whole_steps(depths.len());
            for (lane, out) in lanes.zip(out.chunks_exact_mut(whole)) {
                let (out, rest) = out.split_at_mut(depths.len());
                out.copy_from_slice(&x[lane * side.stride..][depths.clone()]);
                rest.fill(0.0);
            }
        }
        _ => unreachable!("sides of pairs are bf16"),
    }
}

/// Lanes that stand across rows of memory become rows of pairs.
struct Turn<'a> {
    out: &'a mut [f32],
    x: &'a [half::bf16],
    stride: usize,
    lanes: Range<usize>,
    depths: Range<usize>,
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = whole_steps(self.depths.len());
        assert!(self.out.len() >= self.lanes.len() * whole, "room for all lanes");
        for k in (0..whole).step_by(S::LANES) {
            let next = self.depths.start + k + S::LANES;
            for row in next..(next + S::LANES).min(self.depths.end) {
                Pairs(self.x).ask(s, (row, self.stride), self.lanes.clone());
            }
            for lane in (0..self.lanes.len()).step_by(S::LANES) {
                let depth = S::LANES.min(self.depths.len().saturating_sub(k));
                let mut square = s.square();
                let lanes = self.lanes.start + lane..self.lanes.end;
                if depth == S::LANES {
                    for i in 0..S::LANES {
                        let row = (self.depths.start + k + i, self.stride);
                        square.as_mut()[i] = Pairs(self.x).load(s, row, lanes.clone());
                    }
                } else {
                    for i in 0..depth {
                        let row = (self.depths.start + k + i, self.stride);
                        square.as_mut()[i] = Pairs(self.x).load(s, row, lanes.clone());
                    }
                }
                s.transpose(&mut square);
                if lanes.len() >= S::LANES {
                    for i in 0..S::LANES {
                        s.store(square.as_mut()[i], &mut self.out[(lane + i) * whole + k..]);
                    }
                } else {
                    for i in 0..lanes.len() {
                        let out = &mut self.out[(lane + i) * whole + k..][..S::LANES];
                        s.store(square.as_mut()[i], out);
                    }
                }
            }
        }
    }
}
