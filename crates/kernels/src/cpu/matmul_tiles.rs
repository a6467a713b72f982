//! Matrix products of bf16 with bf16 in tiles (see `tiles.rs`), for all three layouts:
//!
//! ```text
//! for each piece of the side with fewer lanes, for each piece of the depth:
//!     pack it: it stays in the second-level cache                             (all threads)
//!     for each group of panels of the other side:                             (a task)
//!         pack the group: it stays there as well
//!         for each block of the depth: rows times columns                     (`tile_strip.rs`)
//! ```
//!
//! A row of one side and a panel of the other, of the depth of a block, stay in the first-level cache.
//! Rows whose depth runs along memory are tiles as they lie and are not packed. A sum goes on from
//! block to block, so it depends neither on the cuts nor on the threads nor on the rows beside it.

use crate::cpu::machine::{Buffer, Machine, Scratch};
use crate::cpu::matmul_pack::{Along, Elements, Side};
use crate::cpu::matmul_plan::{Product, cut, group_of, share_of};
use crate::cpu::matmul_result::{Elements as Out, Rectangle, Sums};
use crate::cpu::threads::SharedMut;
use crate::cpu::tile_pack::{Part, Place, pack_panels, pack_rows, row_stride, whole_steps};
use crate::cpu::tile_strip::{Ahead, Lanes, Strip};
use crate::cpu::tiles::{SQUARE, STEP, Tiles};
use std::ops::Range;

/// Pairs of depth of a block.
const DEPTH: usize = 128;
/// Lanes of a piece of the resident side.
const RESIDENT_LANES: usize = 1024;
/// Pairs of a piece of the resident side, at most, unless a block of it has more.
const RESIDENT_PAIRS: usize = 384 << 10;
/// Panels of a group, at most.
const GROUP: usize = 8;
/// Pairs of a packed group, at most, unless a panel has more.
const GROUP_PAIRS: usize = 128 << 10;

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

/// Packed memory of the resident side, of a group for each thread, and of sums.
type Memory<'a> = (&'a mut Buffer, &'a mut Buffer, &'a mut Buffer);

/// What a task multiplies with a piece of the resident side: some panels of the passing side.
struct Group<'a> {
    passing: Range<usize>,
    resident: Range<usize>,
    depths: Range<usize>,
    /// The packed resident side.
    packed: &'a [f32],
    /// The packed passing side.
    room: &'a [f32],
    sums: Sums<'a>,
}

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

    /// In tasks that read memory in long runs: lanes where the depth runs along it, else depths.
    fn pack_resident(&self, memory: &mut Buffer, lanes: Range<usize>, depths: Range<usize>) {
        const LANES: usize = 2 * SQUARE;
        const DEPTHS: usize = 2 * STEP;
        if !self.rows_pass() && self.rows_as_they_lie(&lanes, &depths).is_some() {
            return;
        }
        let side = *self.resident();
        let out = SharedMut::new(memory.floats(self.resident_pairs(&lanes, &depths)));
        let along_lanes = side.along == Along::LanesOfPairs;
        let tasks = match along_lanes {
            true => depths.len().div_ceil(DEPTHS),
            false => lanes.len().div_ceil(LANES),
        };
        self.machine.pool.run(tasks, &|task, _| {
            let (lanes_of_task, depths_of_task) = match along_lanes {
                true => (lanes.clone(), group_of(&depths, DEPTHS, task)),
                false => (group_of(&lanes, LANES, task), depths.clone()),
            };
            let (lane, depth) =
                (lanes_of_task.start - lanes.start, depths_of_task.start - depths.start);
            let part = Part { side, lanes: lanes_of_task, depths: depths_of_task };
            // SAFETY: tasks have lanes of whole panels, or depths of whole steps, of their own.
            unsafe {
                match self.rows_pass() {
                    true => {
                        let stride = SQUARE * whole_steps(depths.len());
                        let start = lane / SQUARE * stride + depth * SQUARE;
                        pack_panels(self.machine.instructions, Place { out, start, stride }, part);
                    }
                    false => {
                        let stride = row_stride(depths.len());
                        let start = lane * stride + depth;
                        pack_rows(self.machine.instructions, Place { out, start, stride }, part);
                    }
                }
            }
        });
    }

    /// Pairs of a packed piece of the resident side.
    fn resident_pairs(&self, lanes: &Range<usize>, depths: &Range<usize>) -> usize {
        match self.rows_pass() {
            true => lanes.len().next_multiple_of(SQUARE) * whole_steps(depths.len()),
            false => lanes.len() * row_stride(depths.len()),
        }
    }

    /// One piece of the resident side times all of the other.
    fn multiply(
        &self,
        (resident, panels, parts): Memory,
        lanes: Range<usize>,
        depths: Range<usize>,
    ) {
        let (pool, passing) = (&self.machine.pool, self.passing());
        let packed = &*resident.floats(self.resident_pairs(&lanes, &depths));
        let count = passing.lanes.div_ceil(SQUARE);
        let tasks = self.tasks(count, depths.len());
        let largest = SQUARE * count.div_ceil(tasks);
        let room = largest * row_stride(depths.len());
        let rooms = SharedMut::new(panels.floats(pool.threads() * room));
        let at_once = depths.len() == self.product.left.depth;
        let own = largest * lanes.len().next_multiple_of(SQUARE);
        let sums = match (self.out, at_once) {
            (Out::F32(_), _) => 0,
            (Out::Bf16(_), true) => pool.threads() * own,
            (Out::Bf16(_), false) => self.product.left.lanes * self.product.right.lanes,
        };
        let floats = SharedMut::new(parts.floats(sums));
        pool.run(tasks, &|task, thread| {
            let passing = share_of(&(0..passing.lanes), SQUARE, (task, tasks));
            let (rows, columns) = match self.rows_pass() {
                true => (&passing, &lanes),
                false => (&lanes, &passing),
            };
            let sums = self.sums(floats, at_once.then_some(thread * own), rows, columns);
            // SAFETY: every thread has a part of its own.
            let room = unsafe { rooms.part(thread * room..(thread + 1) * room) };
            self.pack_group(room, passing.clone(), depths.clone());
            let (resident, depths, room) = (lanes.clone(), depths.clone(), &*room);
            self.group(&Group { passing, resident, depths, packed, room, sums });
        });
    }

    /// Into how many groups so many panels go: groups of equal size that keep all threads busy.
    fn tasks(&self, panels: usize, depth: usize) -> usize {
        let fitting = (GROUP_PAIRS / SQUARE / depth).clamp(1, GROUP);
        panels.div_ceil(fitting).next_multiple_of(2 * self.machine.pool.threads()).min(panels)
    }

    /// Where a group is summed and where it ends. `own` is the start of sums of the thread.
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

    fn group(&self, group: &Group) {
        if !self.rows_pass() {
            let columns = 0..group.passing.len();
            return self.blocks(group, 0..group.resident.len(), columns);
        }
        for row in (0..group.passing.len()).step_by(SQUARE) {
            let rows = row..(row + SQUARE).min(group.passing.len());
            self.blocks(group, rows, 0..group.resident.len());
        }
    }

    fn pack_group(&self, room: &mut [f32], lanes: Range<usize>, depths: Range<usize>) {
        if self.rows_pass() && self.rows_as_they_lie(&lanes, &depths).is_some() {
            return;
        }
        let (out, start, instructions) = (SharedMut::new(room), 0, self.machine.instructions);
        let (rows, panels) = (row_stride(depths.len()), SQUARE * whole_steps(depths.len()));
        let part = Part { side: *self.passing(), lanes, depths };
        // SAFETY: the room is the thread's own.
        unsafe {
            match self.rows_pass() {
                true => pack_rows(instructions, Place { out, start, stride: rows }, part),
                false => pack_panels(instructions, Place { out, start, stride: panels }, part),
            }
        }
    }

    /// Some rows times some columns of a group, block after block.
    fn blocks(&self, group: &Group, rows: Range<usize>, columns: Range<usize>) {
        for block in cut(group.depths.len(), DEPTH) {
            let of_product = group.depths.start + block.start..group.depths.start + block.end;
            self.machine.instructions.run(Strip {
                tiles: self.tiles,
                rows: rows.len(),
                columns: columns.len(),
                steps: whole_steps(block.len()) / STEP,
                left: self.left(group, &rows, &block),
                right: self.right(group, &columns, &block),
                sums: group.sums.at((rows.start, columns.start)),
                first: of_product.start == 0,
                last: of_product.end == self.product.left.depth,
                add: self.product.add,
                ahead: self.ahead(group, &rows, &of_product),
            });
        }
    }

    /// Rows of a group, from the given depth on.
    fn left<'b>(
        &'b self,
        group: &'b Group,
        rows: &Range<usize>,
        block: &Range<usize>,
    ) -> Lanes<'b> {
        let first = if self.rows_pass() { group.passing.start } else { group.resident.start };
        let lanes = first + rows.start..first + rows.end;
        let depths = group.depths.start + block.start..group.depths.start + block.end;
        if let Some(rows) = self.rows_as_they_lie(&lanes, &depths) {
            return rows;
        }
        let stride = row_stride(group.depths.len());
        let pairs = if self.rows_pass() { group.room } else { group.packed };
        lanes_of(&pairs[rows.start * stride + block.start..], stride)
    }

    /// Panels of a group, from the given depth on.
    fn right<'b>(
        &self,
        group: &'b Group,
        columns: &Range<usize>,
        block: &Range<usize>,
    ) -> Lanes<'b> {
        let stride = SQUARE * whole_steps(group.depths.len());
        let pairs = if self.rows_pass() { group.packed } else { group.room };
        lanes_of(&pairs[columns.start / SQUARE * stride + block.start * SQUARE..], stride)
    }

    /// Of rows that pass by as they lie, the next ones.
    fn ahead(&self, group: &Group, rows: &Range<usize>, depths: &Range<usize>) -> Ahead {
        let next = group.passing.start + rows.end;
        let next = next..(next + SQUARE).min(self.product.left.lanes);
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
