//! Matrix products of bf16 with bf16 in tiles (see `tiles.rs`), for all three layouts:
//!
//! ```text
//! for each piece of the side with fewer lanes, for each piece of the depth:
//!     pack it: it stays in the second-level cache                             (all threads)
//!     for each panel of the other side:                                       (tasks)
//!         for each block of the depth:
//!             pack the panel: it stays in the first-level cache
//!             for each panel of the first side: a square                      (`tile_strip.rs`)
//! ```
//!
//! Rows whose depth runs along memory are tiles as they lie and are not packed. A sum goes on from
//! block to block, so it depends neither on the cuts nor on the threads nor on the rows beside it.

use crate::cpu::machine::{Buffer, Machine, Scratch};
use crate::cpu::matmul_pack::{Along, Elements, Side};
use crate::cpu::matmul_plan::{Product, cut, group_of};
use crate::cpu::matmul_result::{Elements as Out, Rectangle, Sums};
use crate::cpu::threads::SharedMut;
use crate::cpu::tile_pack::{pack_panels, pack_rows, whole_steps};
use crate::cpu::tile_strip::{Ahead, Lanes, Strip};
use crate::cpu::tiles::{SQUARE, STEP, Tiles};
use std::ops::Range;

/// Pairs of depth of a block.
const DEPTH: usize = 256;
/// Lanes of a piece of the resident side.
const RESIDENT_LANES: usize = 1024;
/// Pairs of a piece of the resident side, at most, unless a block of it has more.
const RESIDENT_PAIRS: usize = 384 << 10;
/// Panels of a task.
const GROUP: usize = 8;

/// All of a product of which both sides are pairs.
pub fn run<T: Tiles>(
    tiles: T,
    product: &Product,
    machine: &Machine,
    scratch: &mut Scratch,
    out: Out,
) {
    let Scratch { left: panels, right: resident, parts, .. } = scratch;
    let job = Job { tiles, product, machine, out };
    let lanes = job.resident().lanes;
    for lanes in pieces(lanes, RESIDENT_LANES) {
        let longest = RESIDENT_PAIRS / lanes.len().next_multiple_of(SQUARE) / DEPTH * DEPTH;
        for depths in cut(product.left.depth, longest.max(DEPTH)) {
            job.pack_resident(resident, lanes.clone(), depths.clone());
            job.multiply((resident, panels, parts), lanes.clone(), depths);
        }
    }
}

/// `0..length` in pieces of about one size, whole squares.
fn pieces(length: usize, longest: usize) -> impl Iterator<Item = Range<usize>> {
    let count = length.div_ceil(longest).max(1);
    let size = length.div_ceil(count).next_multiple_of(SQUARE);
    (0..length).step_by(size).map(move |start| start..(start + size).min(length))
}

/// A product and where it goes.
struct Job<'a, T> {
    tiles: T,
    product: &'a Product<'a>,
    machine: &'a Machine,
    out: Out<'a>,
}

/// Packed memory of the resident side, of a panel for each thread, and of sums.
type Memory<'a> = (&'a mut Buffer, &'a mut Buffer, &'a mut Buffer);

impl<T: Tiles> Job<'_, T> {
    /// Whether the panels that pass by are rows; else they are columns.
    fn rows_pass(&self) -> bool {
        self.product.left.lanes >= self.product.right.lanes
    }

    fn resident(&self) -> &Side<'_> {
        if self.rows_pass() { &self.product.right } else { &self.product.left }
    }

    fn passing(&self) -> &Side<'_> {
        if self.rows_pass() { &self.product.left } else { &self.product.right }
    }

    /// The left side as it lies, if tiles can be loaded from there.
    fn rows_as_they_lie(&self, lanes: &Range<usize>, depths: &Range<usize>) -> Option<Lanes<'_>> {
        let Side { elements, along, stride, depth, .. } = self.product.left;
        match elements {
            Elements::F32(x) if along == Along::Depth && depth.is_multiple_of(STEP) => {
                let bytes = bytemuck::cast_slice(&x[lanes.start * stride + depths.start..]);
                Some(Lanes { bytes, stride: size_of::<f32>() * stride })
            }
            _ => None,
        }
    }

    fn pack_resident(&self, memory: &mut Buffer, lanes: Range<usize>, depths: Range<usize>) {
        const TOGETHER: usize = 4 * SQUARE;
        if !self.rows_pass() && self.rows_as_they_lie(&lanes, &depths).is_some() {
            return;
        }
        let depth = whole_steps(depths.len());
        let memory = memory.floats(lanes.len().next_multiple_of(SQUARE) * depth);
        let memory = SharedMut::new(memory);
        self.machine.pool.run(lanes.len().div_ceil(TOGETHER), &|task, _| {
            let group = group_of(&lanes, TOGETHER, task);
            let first = (group.start - lanes.start) * depth;
            let length = group.len().next_multiple_of(SQUARE) * depth;
            // SAFETY: groups of whole panels do not overlap.
            let out = unsafe { memory.part(first..first + length) };
            let (instructions, side) = (self.machine.instructions, *self.resident());
            match self.rows_pass() {
                true => pack_panels(instructions, out, side, group, depths.clone()),
                false => pack_rows(instructions, out, side, group, depths.clone()),
            }
        });
    }

    /// One piece of the resident side times all of the other.
    fn multiply(
        &self,
        (resident, panels, parts): Memory,
        lanes: Range<usize>,
        depths: Range<usize>,
    ) {
        let (pool, passing) = (&self.machine.pool, self.passing());
        let padded = lanes.len().next_multiple_of(SQUARE);
        let resident = &*resident.floats(padded * whole_steps(depths.len()));
        let panels = SharedMut::new(panels.floats(pool.threads() * DEPTH * SQUARE));
        let at_once = depths.len() == self.product.left.depth;
        let sums = match (self.out, at_once) {
            (Out::F32(_), _) => 0,
            (Out::Bf16(_), true) => pool.threads() * SQUARE * padded,
            (Out::Bf16(_), false) => self.product.left.lanes * self.product.right.lanes,
        };
        let floats = SharedMut::new(parts.floats(sums));
        let count = passing.lanes.div_ceil(SQUARE);
        let group = (count / (4 * pool.threads())).clamp(1, GROUP);
        pool.run(count.div_ceil(group), &|task, thread| {
            for panel in task * group..((task + 1) * group).min(count) {
                let passing = group_of(&(0..passing.lanes), SQUARE, panel);
                let (rows, columns) = match self.rows_pass() {
                    true => (passing, lanes.clone()),
                    false => (lanes.clone(), passing),
                };
                let own = if at_once { Some(thread * SQUARE * padded) } else { None };
                let sums = self.sums(floats, own, &rows, &columns);
                let room = thread * DEPTH * SQUARE..(thread + 1) * DEPTH * SQUARE;
                // SAFETY: every thread has a part of its own.
                let room = unsafe { panels.part(room) };
                self.panel(room, resident, sums, (rows, columns), depths.clone());
            }
        });
    }

    /// Where a strip is summed and where it ends. `own` is the start of sums of the thread.
    fn sums<'b>(
        &'b self,
        floats: SharedMut<'b, f32>,
        own: Option<usize>,
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> Sums<'b> {
        let stride = self.product.right.lanes;
        let start = rows.start * stride + columns.start;
        match (self.out, own) {
            (Out::F32(elements), _) => {
                Sums { floats: Rectangle { elements, start, stride }, rounded: None }
            }
            (Out::Bf16(elements), own) => {
                let floats = match own {
                    Some(own) => Rectangle {
                        elements: floats,
                        start: own,
                        stride: columns.len().next_multiple_of(SQUARE),
                    },
                    None => Rectangle { elements: floats, start, stride },
                };
                Sums { floats, rounded: Some(Rectangle { elements, start, stride }) }
            }
        }
    }

    /// One panel of the passing side times a piece of the resident side.
    fn panel(
        &self,
        room: &mut [f32],
        resident: &[f32],
        sums: Sums,
        (rows, columns): (Range<usize>, Range<usize>),
        depths: Range<usize>,
    ) {
        let whole = whole_steps(depths.len());
        for block in cut(depths.len(), DEPTH) {
            let depth = whole_steps(block.len());
            let of_product = depths.start + block.start..depths.start + block.end;
            let (left, right) = match self.rows_pass() {
                true => {
                    let left = self.left_panel(room, &rows, &of_product);
                    (left, lanes_of(&resident[block.start * SQUARE..], whole * SQUARE))
                }
                false => {
                    let left = self.rows_as_they_lie(&rows, &of_product);
                    let packed = || lanes_of(&resident[block.start..], whole);
                    let (lanes, depths) = (columns.clone(), of_product.clone());
                    let room = &mut room[..depth * SQUARE];
                    let instructions = self.machine.instructions;
                    pack_panels(instructions, room, self.product.right, lanes, depths);
                    (left.unwrap_or_else(packed), lanes_of(room, depth * SQUARE))
                }
            };
            self.machine.instructions.run(Strip {
                tiles: self.tiles,
                rows: rows.len(),
                columns: columns.len(),
                steps: depth / STEP,
                left,
                right,
                sums,
                first: of_product.start == 0,
                last: of_product.end == self.product.left.depth,
                add: self.product.add,
                ahead: self.ahead(&rows, &of_product),
            });
        }
    }

    fn left_panel<'b>(
        &'b self,
        room: &'b mut [f32],
        rows: &Range<usize>,
        depths: &Range<usize>,
    ) -> Lanes<'b> {
        if let Some(rows) = self.rows_as_they_lie(rows, depths) {
            return rows;
        }
        let depth = whole_steps(depths.len());
        let room = &mut room[..rows.len() * depth];
        let (lanes, depths) = (rows.clone(), depths.clone());
        pack_rows(self.machine.instructions, room, self.product.left, lanes, depths);
        lanes_of(room, depth)
    }

    /// Of rows that pass by as they lie, the next ones.
    fn ahead(&self, rows: &Range<usize>, depths: &Range<usize>) -> Ahead {
        let next = rows.end..(rows.end + SQUARE).min(self.product.left.lanes);
        if !self.rows_pass() || next.is_empty() {
            return Ahead::NOTHING;
        }
        let Some(lanes) = self.rows_as_they_lie(&next, depths) else { return Ahead::NOTHING };
        let (start, bytes) = (lanes.bytes.as_ptr(), size_of::<f32>() * depths.len());
        match lanes.stride == bytes {
            true => Ahead { start, bytes: bytes * next.len(), stride: 0, rows: 1 },
            false => Ahead { start, bytes, stride: lanes.stride, rows: next.len() },
        }
    }
}

/// Packed pairs, `stride` of them from one row or panel to the next.
fn lanes_of(pairs: &[f32], stride: usize) -> Lanes<'_> {
    Lanes { bytes: bytemuck::cast_slice(pairs), stride: size_of::<f32>() * stride }
}
