//! Matrix products, after Goto and van de Geijn, "Anatomy of High-Performance Matrix
//! Multiplication" (2008):
//!
//! ```text
//! for each block of rows, block of columns, block of depth:      (sized for the caches)
//!     pack its rows into panels, pack its columns into panels    (all threads)
//!     for each group of panels x group of panels:                (a task)
//!         for each panel x panel: one tile in registers
//! ```
//!
//! The three products of a layer differ only in how their sides are packed. Where there are few
//! rows (a model that generates), packed columns would be used once: the weight is then streamed,
//! a piece of one panel at a time, packed into the first-level cache and multiplied at once.
//!
//! Every element is summed in the same order on both roads, block of depth after block of depth,
//! so a row of the result depends neither on the number of threads nor on the rows beside it.

use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_kernel::{PanelProduct, Store, Target};
use crate::cpu::matmul_pack::{Along, Elements, Pack, Side, packed_length};
use crate::cpu::packed_product;
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::view::View;
use std::ops::Range;

/// Depth of a block, at most: a panel of columns fits the second-level cache many times over, and
/// the result is not visited too often.
const DEPTH: usize = 704;
/// Rows, and columns, of a block: packed, it takes about 8 MB.
const BREADTH: usize = 4096;
/// Panels of rows, and of columns, of a task.
const TASK_PANELS: (usize, usize) = (10, 8);
/// Up to so many tiles of rows the columns are streamed.
const STREAMED_TILES: usize = 3;
/// Depth of a piece of a streamed panel.
const PIECE: usize = 128;

/// `out[t, o] = Σ_i x[t, i] · w[o, i]`
pub fn forward(machine: &Machine, scratch: &mut Scratch, out: View, x: View, w: View) {
    if w.dtype.is_packed() {
        return packed_product::forward(machine, scratch, out, x, w);
    }
    let product =
        Product { left: side(&x, Along::Depth), right: side(&w, Along::Depth), add: false };
    product.run(machine, scratch, out);
}

/// `d_x[t, i] += Σ_o d_out[t, o] · w[o, i]`
pub fn backward_input(machine: &Machine, scratch: &mut Scratch, d_x: View, d_out: View, w: View) {
    let product =
        Product { left: side(&d_out, Along::Depth), right: side(&w, Along::Lanes), add: true };
    product.run(machine, scratch, d_x);
}

/// `d_w[o, i] += Σ_t d_out[t, o] · x[t, i]`
pub fn backward_weight(machine: &Machine, scratch: &mut Scratch, d_w: View, d_out: View, x: View) {
    let product =
        Product { left: side(&d_out, Along::Lanes), right: side(&x, Along::Lanes), add: true };
    product.run(machine, scratch, d_w);
}

fn side<'a>(view: &View, along: Along) -> Side<'a> {
    let (lanes, depth) = match along {
        Along::Depth => (view.rows, view.columns),
        Along::Lanes => (view.columns, view.rows),
    };
    // SAFETY: an input of the running operation.
    let elements = unsafe {
        match view.dtype {
            DType::F32 => Elements::F32(view.f32s()),
            DType::Bf16 => Elements::Bf16(view.bf16s()),
            packed => panic!("{packed:?} weights have no gradients"),
        }
    };
    Side { elements, along, stride: view.columns, lanes, depth }
}

struct Product<'a> {
    left: Side<'a>,
    right: Side<'a>,
    add: bool,
}

/// One block of a product.
struct Block {
    rows: Range<usize>,
    columns: Range<usize>,
    depths: Range<usize>,
}

/// The result, of which tasks write different rectangles.
#[derive(Clone, Copy)]
struct Rectangle<'a> {
    floats: SharedMut<'a, f32>,
    columns: usize,
}

impl Product<'_> {
    fn run(&self, machine: &Machine, scratch: &mut Scratch, out: View) {
        // SAFETY: the output of the running operation.
        let floats = unsafe { out.f32s_mut() };
        if self.left.depth == 0 && !self.add {
            floats.fill(0.0);
        }
        let out = Rectangle { floats: SharedMut::new(floats), columns: out.columns };
        if self.left.lanes <= STREAMED_TILES * machine.instructions.tile_rows() {
            self.stream(machine, scratch, out);
        } else {
            self.run_blocks(machine, scratch, out);
        }
    }

    fn run_blocks(&self, machine: &Machine, scratch: &mut Scratch, out: Rectangle) {
        for rows in cut(self.left.lanes, BREADTH) {
            for columns in cut(self.right.lanes, BREADTH) {
                for depths in cut(self.left.depth, DEPTH) {
                    let block = Block { rows: rows.clone(), columns: columns.clone(), depths };
                    self.pack(machine, scratch, &block);
                    self.multiply(machine, scratch, &block, out);
                }
            }
        }
    }

    fn store(&self, depths: &Range<usize>) -> Store {
        if self.add || depths.start > 0 { Store::Add } else { Store::Overwrite }
    }
}

/// `0..length` in pieces of one size, at most `longest` and a multiple of 16 if that fits; the last
/// may be shorter. A function of the length alone.
fn cut(length: usize, longest: usize) -> impl Iterator<Item = Range<usize>> {
    let pieces = length.div_ceil(longest).max(1);
    let size = length.div_ceil(pieces).next_multiple_of(16).clamp(1, longest);
    (0..length).step_by(size).map(move |start| start..(start + size).min(length))
}

/// The `index`th of groups of `group` lanes.
fn group_of(lanes: &Range<usize>, group: usize, index: usize) -> Range<usize> {
    let start = lanes.start + index * group;
    start..(start + group).min(lanes.end)
}

impl Product<'_> {
    /// Panels are packed by groups, so that a row of memory is read in long runs.
    fn pack(&self, machine: &Machine, scratch: &mut Scratch, block: &Block) {
        const GROUP: usize = 8;
        let instructions = machine.instructions;
        let (height, width) = (instructions.tile_rows(), instructions.tile_columns());
        let depth = block.depths.len();
        let (left, right) = packed_sides(scratch, block, (height, width));
        let (left, right) = (SharedMut::new(left), SharedMut::new(right));
        let row_groups = block.rows.len().div_ceil(GROUP * height);
        let column_groups = block.columns.len().div_ceil(GROUP * width);
        machine.pool.run(row_groups + column_groups, &|task, _| {
            let (side, lanes, width, narrow, packed) = if task < row_groups {
                (self.left, group_of(&block.rows, GROUP * height, task), height, true, &left)
            } else {
                let group = group_of(&block.columns, GROUP * width, task - row_groups);
                (self.right, group, width, false, &right)
            };
            let first = if narrow { block.rows.start } else { block.columns.start };
            let place = (lanes.start - first) * depth;
            // SAFETY: groups of panels do not overlap.
            let out =
                unsafe { packed.part(place..place + packed_length(lanes.len(), depth, width)) };
            let depths = block.depths.clone();
            instructions.run(Pack { out, side, lanes, depths, width, narrow });
        });
    }

    fn multiply(&self, machine: &Machine, scratch: &mut Scratch, block: &Block, out: Rectangle) {
        let instructions = machine.instructions;
        let (height, width) = (instructions.tile_rows(), instructions.tile_columns());
        let (rows, columns, depth) = (block.rows.len(), block.columns.len(), block.depths.len());
        let (left, right) = packed_sides(scratch, block, (height, width));
        let (left, right) = (&*left, &*right);
        let tall_and_wide =
            task_panels((rows.div_ceil(height), columns.div_ceil(width)), machine.pool.threads());
        let (tall, wide) = (tall_and_wide.0 * height, tall_and_wide.1 * width);
        let across = columns.div_ceil(wide);
        let store = self.store(&block.depths);
        machine.pool.run(rows.div_ceil(tall) * across, &|task, _| {
            let rows = group_of(&(0..rows), tall, task / across);
            let columns = group_of(&(0..columns), wide, task % across);
            let (left, right) = (&left[rows.start * depth..], &right[columns.start * depth..]);
            let corner = (block.rows.start + rows.start, block.columns.start + columns.start);
            let sizes = (rows.len(), columns.len(), depth);
            // SAFETY: the rectangles of different tasks do not overlap.
            let product =
                unsafe { PanelProduct::new(out.target(corner, sizes), sizes, left, right, store) };
            instructions.run(product);
        });
    }

    /// Few rows: see the head of this file.
    fn stream(&self, machine: &Machine, scratch: &mut Scratch, out: Rectangle) {
        let left = scratch.left.floats(self.left.lanes * self.left.depth);
        self.pack_pieces(machine, left);
        let (left, width) = (&*left, machine.instructions.tile_columns());
        machine.pool.run(self.right.lanes.div_ceil(width), &|task, _| {
            let columns = group_of(&(0..self.right.lanes), width, task);
            self.stream_panel(machine, left, columns, out);
        });
    }

    /// All rows, one piece of the depth after the other.
    fn pack_pieces(&self, machine: &Machine, left: &mut [f32]) {
        let (instructions, rows) = (machine.instructions, self.left.lanes);
        let mut rest = left;
        for depths in cut(self.left.depth, DEPTH).flat_map(pieces) {
            let (out, after) = rest.split_at_mut(rows * depths.len());
            rest = after;
            let (side, width) = (self.left, instructions.tile_rows());
            instructions.run(Pack { out, side, lanes: 0..rows, depths, width, narrow: true });
        }
    }

    /// One panel of columns times all rows.
    fn stream_panel(&self, machine: &Machine, left: &[f32], columns: Range<usize>, out: Rectangle) {
        let (instructions, rows) = (machine.instructions, self.left.lanes);
        let width = instructions.tile_columns();
        let mut packed = Aligned([0.0; PIECE * WIDEST_TILE]);
        let mut chains = Aligned([0.0; STREAMED_ROWS * WIDEST_TILE]);
        let target = Target { start: chains.0.as_mut_ptr(), stride: width };
        for block in cut(self.left.depth, DEPTH) {
            for depths in pieces(block.clone()) {
                let sizes = (rows, columns.len(), depths.len());
                let left = &left[rows * depths.start..];
                let first = depths.start == block.start;
                let store = if first { Store::Overwrite } else { Store::Continue };
                let (out, side) = (&mut packed.0[..width * depths.len()], self.right);
                let lanes = columns.clone();
                instructions.run(Pack { out, side, lanes, depths, width, narrow: false });
                // SAFETY: `chains` is this task's own and has room for every row of a panel.
                let product = unsafe { PanelProduct::new(target, sizes, left, &packed.0, store) };
                instructions.run(product);
            }
            let store = self.store(&block);
            for (row, chains) in chains.0.chunks(width).take(rows).enumerate() {
                let start = row * out.columns + columns.start;
                // SAFETY: panels of columns do not overlap.
                let out = unsafe { out.floats.part(start..start + columns.len()) };
                match store {
                    Store::Add => out.iter_mut().zip(chains).for_each(|(out, chain)| *out += chain),
                    _ => out.copy_from_slice(&chains[..columns.len()]),
                }
            }
        }
    }
}

/// The widest tile and the most rows of any path.
const WIDEST_TILE: usize = 32;
const STREAMED_ROWS: usize = STREAMED_TILES * 14;

#[repr(align(64))]
struct Aligned<const N: usize>([f32; N]);

/// A block of depth in pieces.
fn pieces(block: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = block.end;
    block.step_by(PIECE).map(move |start| start..(start + PIECE).min(end))
}

/// Both packed sides of a block.
fn packed_sides<'a>(
    scratch: &'a mut Scratch,
    block: &Block,
    (height, width): (usize, usize),
) -> (&'a mut [f32], &'a mut [f32]) {
    let depth = block.depths.len();
    let left = scratch.left.floats(packed_length(block.rows.len(), depth, height));
    (left, scratch.right.floats(packed_length(block.columns.len(), depth, width)))
}

/// Panels of a task: fewer where a block is too small to keep all threads busy to the end.
fn task_panels((rows, columns): (usize, usize), threads: usize) -> (usize, usize) {
    let (mut tall, mut wide) = TASK_PANELS;
    let few = |tall, wide| rows.div_ceil(tall) * columns.div_ceil(wide) < 4 * threads;
    while few(tall, wide) && wide > 1 {
        wide /= 2;
    }
    while few(tall, wide) && tall > 1 {
        tall /= 2;
    }
    (tall, wide)
}

impl Rectangle<'_> {
    /// The rectangle of the given sizes whose first element is `corner`.
    fn target(&self, corner: (usize, usize), sizes: (usize, usize, usize)) -> Target {
        let (first, last) = (
            corner.0 * self.columns + corner.1,
            (corner.0 + sizes.0 - 1) * self.columns + corner.1 + sizes.1,
        );
        Target { start: self.floats.pointer(first..last), stride: self.columns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::path::CpuPath;
    use crate::view::Address;
    use std::ptr::NonNull;

    fn view(x: &mut [f32], columns: usize) -> View {
        let address = Address(NonNull::new(x.as_mut_ptr().cast()).unwrap());
        View { address, rows: x.len() / columns, columns, dtype: DType::F32 }
    }

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect()
    }

    #[test]
    fn a_row_is_the_same_alone_in_a_small_company_and_in_a_crowd() {
        let (inputs, outputs) = (1500, 45);
        let (mut x, mut w) = (numbers(200 * inputs), numbers(outputs * inputs));
        for path in CpuPath::available() {
            let machine = Machine::new(2, path).unwrap();
            let mut product = |rows: usize| {
                let mut out = vec![0.0; rows * outputs];
                let (x, w) = (view(&mut x[..rows * inputs], inputs), view(&mut w, inputs));
                forward(&machine, &mut machine.scratch(), view(&mut out, outputs), x, w);
                out
            };
            let crowd = product(200);
            for rows in [1, 2, 5, 14, 15, 42, 43, 100] {
                assert!(product(rows) == crowd[..rows * outputs], "{path:?} {rows} rows");
            }
        }
    }

    #[test]
    fn pieces_of_the_depth_are_of_one_size_and_leave_nothing_out() {
        for length in [1, 15, 512, 704, 705, 1376, 46_336] {
            let cuts: Vec<_> = cut(length, DEPTH).collect();
            assert_eq!(cuts.iter().map(|cut| cut.len()).sum::<usize>(), length);
            assert!(cuts.iter().all(|cut| cut.len() <= DEPTH));
            assert!(cuts.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(cuts.len(), length.div_ceil(DEPTH));
        }
    }
}
