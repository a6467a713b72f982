//! Products of few rows, a model that generates: packed columns would be used once, so the weight is
//! streamed, a piece of one panel at a time, packed into the first-level cache and multiplied at
//! once. Every element is summed in the order of `matmul.rs`.

use crate::cpu::machine::{Buffer, Machine};
use crate::cpu::matmul_kernel::{PanelProduct, Store, Target};
use crate::cpu::matmul_pack::Pack;
use crate::cpu::matmul_plan::{DEPTH, Product, cut, group_of};
use crate::cpu::matmul_result::{Elements, Round, Widen};
use std::ops::Range;

/// Up to so many tiles of rows the columns are streamed.
const STREAMED_TILES: usize = 3;
/// Depth of a piece of a streamed panel.
const PIECE: usize = 128;
/// The widest tile and the most rows of any path.
const WIDEST_TILE: usize = 32;
const STREAMED_ROWS: usize = STREAMED_TILES * 14;

#[repr(align(64))]
struct Aligned<const N: usize>([f32; N]);

/// Whether a product of so many rows belongs here.
pub fn are_few(machine: &Machine, rows: usize) -> bool {
    rows <= STREAMED_TILES * machine.instructions.tile_rows()
}

/// All of a product; a task is a panel of columns.
pub fn run(product: &Product, machine: &Machine, left: &mut Buffer, out: Elements) {
    let left = left.floats(product.left.lanes * product.left.depth);
    pack_pieces(product, machine, left);
    let (left, width) = (&*left, machine.instructions.tile_columns());
    machine.pool.run(product.right.lanes.div_ceil(width), &|task, _| {
        let columns = group_of(&(0..product.right.lanes), width, task);
        Panel { product, machine, columns, out }.run(left);
    });
}

/// All rows, one piece of the depth after the other.
fn pack_pieces(product: &Product, machine: &Machine, left: &mut [f32]) {
    let (instructions, rows) = (machine.instructions, product.left.lanes);
    let mut rest = left;
    for depths in cut(product.left.depth, DEPTH).flat_map(pieces) {
        let (out, after) = rest.split_at_mut(rows * depths.len());
        rest = after;
        let (side, width) = (product.left, instructions.tile_rows());
        instructions.run(Pack { out, side, lanes: 0..rows, depths, width, narrow: true });
    }
}

/// A block of depth in pieces.
fn pieces(block: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = block.end;
    block.step_by(PIECE).map(move |start| start..(start + PIECE).min(end))
}

/// One panel of columns times all rows.
struct Panel<'a> {
    product: &'a Product<'a>,
    machine: &'a Machine,
    columns: Range<usize>,
    out: Elements<'a>,
}

impl Panel<'_> {
    fn run(&self, left: &[f32]) {
        let width = self.machine.instructions.tile_columns();
        let mut packed = Aligned([0.0; PIECE * WIDEST_TILE]);
        let mut chains = Aligned([0.0; STREAMED_ROWS * WIDEST_TILE]);
        let mut sums = Aligned([0.0; STREAMED_ROWS * WIDEST_TILE]);
        if self.product.add {
            self.begin(&mut sums.0);
        }
        for block in cut(self.product.left.depth, DEPTH) {
            for depths in pieces(block.clone()) {
                self.chain(left, depths, block.start, &mut packed.0, &mut chains.0);
            }
            let used = self.product.left.lanes * width;
            match self.product.add || block.start > 0 {
                true => sums.0.iter_mut().zip(&chains.0[..used]).for_each(|(sum, x)| *sum += x),
                false => sums.0[..used].copy_from_slice(&chains.0[..used]),
            }
        }
        self.end(&sums.0);
    }

    /// Goes on with the chains of a block, or begins them.
    fn chain(
        &self,
        left: &[f32],
        depths: Range<usize>,
        block: usize,
        packed: &mut [f32],
        chains: &mut [f32],
    ) {
        let (instructions, rows) = (self.machine.instructions, self.product.left.lanes);
        let width = instructions.tile_columns();
        let sizes = (rows, self.columns.len(), depths.len());
        let left = &left[rows * depths.start..];
        let store = if depths.start == block { Store::Overwrite } else { Store::Continue };
        let (out, side) = (&mut packed[..width * depths.len()], self.product.right);
        let lanes = self.columns.clone();
        instructions.run(Pack { out, side, lanes, depths, width, narrow: false });
        let target = Target { start: chains.as_mut_ptr(), stride: width };
        // SAFETY: `chains` is this task's own and has room for every row of a panel.
        let product = unsafe { PanelProduct::new(target, sizes, left, packed, store) };
        product.run_on(instructions, self.product.dots);
    }

    /// Where the result is added to: what stands there, as sums.
    fn begin(&self, sums: &mut [f32]) {
        for (row, sums) in self.rows().zip(sums.chunks_mut(self.width())) {
            let out = &mut sums[..row.len()];
            match self.out {
                // SAFETY: panels of columns do not overlap.
                Elements::F32(result) => out.copy_from_slice(unsafe { result.part(row) }),
                Elements::Bf16(result) => {
                    // SAFETY: as above.
                    let x = unsafe { result.part(row) };
                    self.machine.instructions.run(Widen { out, x });
                }
            }
        }
    }

    /// The sums as the result.
    fn end(&self, sums: &[f32]) {
        for (row, sums) in self.rows().zip(sums.chunks(self.width())) {
            let x = &sums[..row.len()];
            match self.out {
                // SAFETY: panels of columns do not overlap.
                Elements::F32(result) => unsafe { result.part(row) }.copy_from_slice(x),
                Elements::Bf16(result) => {
                    // SAFETY: as above.
                    let out = unsafe { result.part(row) };
                    self.machine.instructions.run(Round { out, x });
                }
            }
        }
    }

    fn width(&self) -> usize {
        self.machine.instructions.tile_columns()
    }

    /// Where the panel's columns of every row stand in the result.
    fn rows(&self) -> impl Iterator<Item = Range<usize>> {
        let (rows, columns) = (self.product.left.lanes, self.product.right.lanes);
        let Range { start, end } = self.columns;
        (0..rows).map(move |row| row * columns + start..row * columns + end)
    }
}
