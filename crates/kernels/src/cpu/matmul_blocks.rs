//! A product, block by block. Where its sides come from and what they mean is known in `matmul.rs`, how
//! they are cut in `matmul_plan.rs`.

use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_kernel::{PanelProduct, Store};
use crate::cpu::matmul_pack::{Pack, Side, packed_length};
use crate::cpu::matmul_plan::{Cuts, DEPTH, Product, cut, group_of};
use crate::cpu::matmul_result::{Elements, Rectangle, Sums};
use crate::cpu::threads::SharedMut;
use std::ops::Range;

/// All of a product whose result has rows of `stride` elements.
pub fn run(
    product: &Product,
    machine: &Machine,
    scratch: &mut Scratch,
    (result, stride): (Elements, usize),
) {
    let tile = (machine.instructions.tile_rows(), machine.instructions.tile_columns());
    let cuts = Cuts::of(product, tile, machine.pool.threads());
    let Scratch { left, right, parts, .. } = scratch;
    let (own, shared) = (left.floats(machine.pool.threads() * cuts.own_floats()), right);
    let own = SharedMut::new(own);
    for [rows, columns] in cuts.blocks((product.left.lanes, product.right.lanes)) {
        let in_one_go = product.left.depth <= DEPTH;
        let sums = match (result, in_one_go) {
            (Elements::F32(_), _) => 0,
            (_, true) => machine.pool.threads() * cuts.rectangle(),
            (_, false) => rows.len() * columns.len(),
        };
        let sums = sums_of_block((result, stride), (&rows, &columns), parts.floats(sums));
        for depths in cut(product.left.depth, DEPTH) {
            let block = Block {
                product,
                machine,
                cuts: &cuts,
                tile,
                rows: rows.clone(),
                columns: columns.clone(),
                depths,
                sums,
                own: &own,
            };
            let shared = shared.floats(block.shared_length());
            block.pack_shared(shared);
            block.multiply(shared);
        }
    }
}

/// The place of a block in the result; where that is bf16, its sums are taken in `floats`.
fn sums_of_block<'a>(
    (result, stride): (Elements<'a>, usize),
    (rows, columns): (&Range<usize>, &Range<usize>),
    floats: &'a mut [f32],
) -> Sums<'a> {
    let start = rows.start * stride + columns.start;
    match result {
        Elements::F32(elements) => {
            Sums { floats: Rectangle { elements, start, stride }, rounded: None }
        }
        Elements::Bf16(elements) => {
            let elements_of_sums = SharedMut::new(floats);
            let floats = Rectangle { elements: elements_of_sums, start: 0, stride: columns.len() };
            Sums { floats, rounded: Some(Rectangle { elements, start, stride }) }
        }
    }
}

/// Some rows, columns and terms of a product.
struct Block<'a> {
    product: &'a Product<'a>,
    machine: &'a Machine,
    cuts: &'a Cuts,
    /// Rows and columns.
    tile: (usize, usize),
    rows: Range<usize>,
    columns: Range<usize>,
    depths: Range<usize>,
    sums: Sums<'a>,
    /// What tasks pack for themselves, a part for each thread.
    own: &'a SharedMut<'a, f32>,
}

/// A side of a block on its way into panels.
struct Lanes<'a> {
    side: Side<'a>,
    lanes: &'a Range<usize>,
    width: usize,
    narrow: bool,
}

impl Block<'_> {
    /// What tasks pack for themselves, and what they share.
    fn sides(&self) -> (Lanes<'_>, Lanes<'_>) {
        let (left, right) = (self.product.left, self.product.right);
        let rows = Lanes { side: left, lanes: &self.rows, width: self.tile.0, narrow: true };
        let columns =
            Lanes { side: right, lanes: &self.columns, width: self.tile.1, narrow: false };
        if self.cuts.own_rows { (rows, columns) } else { (columns, rows) }
    }

    fn shared_length(&self) -> usize {
        let (_, shared) = self.sides();
        packed_length(shared.lanes.len(), self.depths.len(), shared.width)
    }

    /// Panels are packed by groups, so that a row of memory is read in long runs.
    fn pack_shared(&self, out: &mut [f32]) {
        const GROUP: usize = 8;
        let (_, shared) = self.sides();
        let (all, out, group) = (shared.lanes, SharedMut::new(out), GROUP * shared.width);
        self.machine.pool.run(all.len().div_ceil(group), &|task, _| {
            let lanes = group_of(all, group, task);
            let start = (lanes.start - all.start) * self.depths.len();
            // SAFETY: groups of panels do not overlap.
            unsafe { self.pack(&shared, lanes, &out, start) };
        });
    }

    /// The given lanes at `start` of `out`.
    ///
    /// # Safety
    /// Nobody else may use that part.
    unsafe fn pack<'b>(
        &self,
        from: &Lanes,
        lanes: Range<usize>,
        out: &SharedMut<'b, f32>,
        start: usize,
    ) -> &'b [f32] {
        let length = packed_length(lanes.len(), self.depths.len(), from.width);
        // SAFETY: the caller's promise.
        let out = unsafe { out.part(start..start + length) };
        let (side, depths, width, narrow) =
            (from.side, self.depths.clone(), from.width, from.narrow);
        self.machine.instructions.run(Pack { out: &mut *out, side, lanes, depths, width, narrow });
        out
    }

    /// A task packs its lanes for itself, so that they stay in the cache of its processor, and
    /// multiplies them with some shared lanes after the other.
    fn multiply(&self, packed_shared: &[f32]) {
        let (own, shared) = self.sides();
        self.machine.pool.run(self.cuts.tasks(own.lanes.len()), &|task, thread| {
            let lanes = self.cuts.lanes_of_task(own.lanes, task);
            let start = thread * self.cuts.own_floats();
            // SAFETY: every thread has a part of its own.
            let packed = unsafe { self.pack(&own, lanes.clone(), self.own, start) };
            let lanes = lanes.start - own.lanes.start..lanes.end - own.lanes.start;
            for first in (0..shared.lanes.len()).step_by(self.cuts.step()) {
                let others = first..(first + self.cuts.step()).min(shared.lanes.len());
                let of_others = &packed_shared[first * self.depths.len()..];
                // SAFETY: the rectangles of different tasks do not overlap.
                unsafe {
                    match self.cuts.own_rows {
                        true => self.rectangle((&lanes, &others), (packed, of_others), thread),
                        false => self.rectangle((&others, &lanes), (of_others, packed), thread),
                    }
                }
            }
        });
    }

    /// Rows and columns are counted from the first of the block.
    ///
    /// # Safety
    /// Nobody else may use the rectangle, nor the thread's number.
    unsafe fn rectangle(
        &self,
        (rows, columns): (&Range<usize>, &Range<usize>),
        (left, right): (&[f32], &[f32]),
        thread: usize,
    ) {
        let (product, instructions) = (self.product, self.machine.instructions);
        let first = self.depths.start == 0;
        let last = self.depths.end == product.left.depth;
        let mut sums = self.sums.at((rows.start, columns.start));
        if first && last && sums.rounded.is_some() {
            // Done with in one go: sums of a thread, which never leave its cache.
            sums.floats.start = thread * self.cuts.rectangle();
            sums.floats.stride = self.cuts.columns;
        }
        let store = if product.add || !first { Store::Add } else { Store::Overwrite };
        let (rows, columns) = (rows.len(), columns.len());
        // SAFETY: the caller's promise.
        unsafe {
            if first && product.add {
                sums.widen(instructions, rows, columns);
            }
            let sizes = (rows, columns, self.depths.len());
            let target = sums.target(rows, columns);
            let panels = PanelProduct::new(target, sizes, left, right, store);
            panels.run_on(instructions, product.dots);
            if last {
                sums.round(instructions, rows, columns);
            }
        }
    }
}
