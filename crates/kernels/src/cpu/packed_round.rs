//! Rounds rows of activations for a packed weight, tile after tile, and computes them first where they are
//! nowhere in memory. How a block is rounded says `packed_format.rs`, how rounded rows lie in memory
//! `packed_group.rs`.

use crate::cpu::machine::{Buffer, Machine};
use crate::cpu::matmul_plan::group_of;
use crate::cpu::packed_format::{Format, MOST_ROWS};
use crate::cpu::packed_group::Rows;
use crate::cpu::packed_instructions::{PackedKernel, run};
use crate::cpu::simd::Simd;
use crate::cpu::swiglu::gated;
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::packed_block::filled_up;
use crate::packed_layout::BLOCK;
use std::ops::Range;

/// Activations that are asked for ahead of their use: the rows of a tile are more streams than a
/// processor sees by itself.
const AHEAD: usize = 4 * BLOCK;
/// Activations of a task, about.
const VALUES: usize = 32 << 10;

/// Rows of activations.
pub trait Source: Copy + Sync {
    /// Rows and columns.
    fn size(self) -> (usize, usize);
    /// A row from a column on: a block of it, zeros beyond its end.
    fn block<S: Simd>(self, s: S, row: usize, start: usize, out: &mut [f32; BLOCK]);
}

/// Rows that are there.
#[derive(Clone, Copy)]
pub struct Plain<'a> {
    /// Row after row.
    pub x: &'a [f32],
    /// Columns of a row.
    pub columns: usize,
}

impl Source for Plain<'_> {
    fn size(self) -> (usize, usize) {
        (self.x.len() / self.columns, self.columns)
    }

    #[inline(always)]
    fn block<S: Simd>(self, s: S, row: usize, start: usize, out: &mut [f32; BLOCK]) {
        let x = &self.x[row * self.columns + start..(row + 1) * self.columns];
        ask_for_a_block(s, x);
        match x.first_chunk() {
            Some(x) => *out = *x,
            None => *out = filled_up(x),
        }
    }
}

/// `gate · σ(gate) · up`
#[derive(Clone, Copy)]
pub struct Gated<'a> {
    /// Row after row.
    pub gate: &'a [f32],
    /// As many.
    pub up: &'a [f32],
    /// Columns of a row.
    pub columns: usize,
}

impl Source for Gated<'_> {
    fn size(self) -> (usize, usize) {
        (self.gate.len() / self.columns, self.columns)
    }

    #[inline(always)]
    fn block<S: Simd>(self, s: S, row: usize, start: usize, out: &mut [f32; BLOCK]) {
        let (here, end) = (row * self.columns + start, (row + 1) * self.columns);
        ask_for_a_block(s, &self.gate[here..end]);
        ask_for_a_block(s, &self.up[here..end]);
        for i in (0..BLOCK).step_by(S::LANES) {
            let at = (here + i).min(end);
            let (gate, up) = (s.load(&self.gate[at..end]), s.load(&self.up[at..end]));
            s.store(gated(s, gate, up), &mut out[i..]);
        }
    }
}

/// What comes some blocks later.
#[inline(always)]
fn ask_for_a_block<S: Simd>(s: S, x: &[f32]) {
    for line in (0..BLOCK).step_by(16) {
        s.prefetch(x.as_ptr().wrapping_add(AHEAD + line));
    }
}

/// All rows.
pub fn round<'a>(
    machine: &Machine,
    buffer: &'a mut Buffer,
    source: impl Source,
    rows: Rows,
    dtype: DType,
) -> &'a [u32] {
    let rounded = buffer.floats(rows.count * rows.blocks * rows.words);
    let parts = SharedMut::new(&mut *rounded);
    let together = (VALUES / (BLOCK * rows.tile)).max(1);
    let pieces = rows.blocks.div_ceil(together);
    machine.pool.run(rows.tiles() * pieces, &|task, _| {
        let (tile, piece) = (task / pieces, task % pieces);
        let (of, blocks) = (rows.of(tile), group_of(&(0..rows.blocks), together, piece));
        let (words, start) = (rows.words * of.len(), rows.words_of(tile).start);
        // SAFETY: blocks of tiles do not overlap.
        let out = unsafe { parts.part(start + words * blocks.start..start + words * blocks.end) };
        run(machine.instructions, dtype, Round { out, source, rows: of, blocks });
    });
    bytemuck::cast_slice(rounded)
}

/// Rounds some blocks of the rows of a tile.
struct Round<'a, X> {
    out: &'a mut [f32],
    source: X,
    rows: Range<usize>,
    blocks: Range<usize>,
}

impl<X: Source> PackedKernel for Round<'_, X> {
    type Output = ();

    #[inline(always)]
    fn run<F: Format>(self, format: F) {
        let Round { out, source, rows, blocks } = self;
        let mut room = [[0.0; BLOCK]; MOST_ROWS];
        for (i, block) in blocks.enumerate() {
            for (row, room) in rows.clone().zip(&mut room) {
                source.block(format.floats(), row, block * BLOCK, room);
            }
            format.round(&room[..rows.len()], &mut out[i * F::WORDS * rows.len()..]);
        }
    }
}
