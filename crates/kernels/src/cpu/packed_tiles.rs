//! Rows of activations times a weight in panels of bf16, in tiles: the panels are loaded as they lie.
//!
//! ```text
//! round all rows of x once                                                  (all threads)
//! for each group of rows x group of panels:                                 (a task)
//!     for each piece of the depth, for each panel:    few rows: for each panel, for each piece
//!         for each 32 rows: a square                                        (`tile_strip.rs`)
//! ```
//!
//! A sum goes on from piece to piece, so a row depends neither on the number of threads nor on the
//! rows beside it.

use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_plan::group_of;
use crate::cpu::matmul_result::{Rectangle, Round, Sums};
use crate::cpu::threads::SharedMut;
use crate::cpu::tile_pack::row_stride;
use crate::cpu::tile_strip::{Ahead, Lanes, Strip};
use crate::cpu::tiles::{LEFT_STEP, RIGHT_STEP, SQUARE, STEP, Tiles};
use crate::packed_layout::BLOCK;
use crate::view::View;
use half::bf16;
use std::ops::Range;

/// Steps of a piece.
const PIECE: usize = 16;
/// Steps of a piece where there are few rows: memory is asked for by pieces ahead.
const PIECE_OF_FEW: usize = 64;
/// Rows of a group.
const GROUP_ROWS: usize = 256;
/// Panels of a group.
const GROUP_PANELS: usize = 8;
/// Bytes of rounded rows that may be few: they stay in the second-level cache whatever the order.
const FEW_BYTES: usize = 768 << 10;

/// `out[t, o] = Σ_i x[t, i] · w[o, i]` of every `(out, w)`; there are rows and columns.
pub fn forward<T: Tiles>(
    tiles: T,
    machine: &Machine,
    scratch: &mut Scratch,
    products: &[(View, View)],
    x: View,
) {
    let steps = x.columns.div_ceil(BLOCK);
    let stride = row_stride(steps * STEP);
    let rounded: &mut [bf16] = bytemuck::cast_slice_mut(scratch.left.floats(x.rows * stride));
    // SAFETY: the input of the running operation.
    round_rows(machine, rounded, unsafe { x.f32s() }, (x.columns, 2 * stride));
    let left = Lanes { bytes: bytemuck::cast_slice(rounded), stride: size_of::<f32>() * stride };
    for (out, w) in products {
        // SAFETY: the outputs and inputs of the running operation.
        let (weights, out) = unsafe { (w.panels(), SharedMut::new(out.f32s_mut())) };
        let right = Lanes { bytes: weights, stride: steps * RIGHT_STEP };
        let out = Rectangle { elements: out, start: 0, stride: w.rows };
        let few = x.rows * steps * LEFT_STEP <= FEW_BYTES;
        Product { tiles, left, right, steps, few, out }.run(machine, (x.rows, w.rows));
    }
}

/// Rounds all rows, each filled up with zeros to `whole` columns.
fn round_rows(machine: &Machine, out: &mut [bf16], x: &[f32], (columns, whole): (usize, usize)) {
    const TOGETHER: usize = 8;
    let out = SharedMut::new(out);
    machine.pool.run_ranges(x.len() / columns, TOGETHER, &|rows| {
        // SAFETY: ranges of rows do not overlap.
        let out = unsafe { out.part(rows.start * whole..rows.end * whole) };
        let x = &x[rows.start * columns..rows.end * columns];
        for (out, x) in out.chunks_exact_mut(whole).zip(x.chunks_exact(columns)) {
            let (out, rest) = out.split_at_mut(columns);
            machine.instructions.run(Round { out, x });
            rest.fill(bf16::ZERO);
        }
    });
}

struct Product<'a, T> {
    tiles: T,
    left: Lanes<'a>,
    right: Lanes<'a>,
    steps: usize,
    few: bool,
    out: Rectangle<'a, f32>,
}

impl<T: Tiles> Product<'_, T> {
    fn run(&self, machine: &Machine, (rows, columns): (usize, usize)) {
        let panels = columns.div_ceil(SQUARE);
        let group = (panels / (4 * machine.pool.threads())).clamp(1, GROUP_PANELS);
        let across = panels.div_ceil(group);
        machine.pool.run(rows.div_ceil(GROUP_ROWS) * across, &|task, _| {
            let rows = group_of(&(0..rows), GROUP_ROWS, task / across);
            let columns = group_of(&(0..columns), group * SQUARE, task % across);
            self.group(machine, rows, columns);
        });
    }

    fn group(&self, machine: &Machine, rows: Range<usize>, columns: Range<usize>) {
        let (together, piece) = match self.few {
            true => (SQUARE, PIECE_OF_FEW),
            false => (columns.len(), PIECE),
        };
        for first in columns.clone().step_by(together) {
            for start in (0..self.steps).step_by(piece) {
                for column in (first..(first + together).min(columns.end)).step_by(SQUARE) {
                    let columns = column..(column + SQUARE).min(columns.end);
                    let steps = start..(start + piece).min(self.steps);
                    machine.instructions.run(self.strip(rows.clone(), columns, steps));
                }
            }
        }
    }

    /// A piece of one panel times a group of rows; asks for what comes next: the next piece of the panel,
    /// or the same piece of the next one.
    fn strip(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        steps: Range<usize>,
    ) -> Strip<'_, T> {
        let left = &self.left.bytes[rows.start * self.left.stride + steps.start * LEFT_STEP..];
        let panel = columns.start / SQUARE * self.right.stride;
        let right = &self.right.bytes[panel + steps.start * RIGHT_STEP..];
        let bytes = steps.len() * RIGHT_STEP;
        let distance = if self.few { bytes } else { self.right.stride };
        let start = right.as_ptr().wrapping_add(distance);
        Strip {
            tiles: self.tiles,
            rows: rows.len(),
            columns: columns.len(),
            steps: steps.len(),
            left: Lanes { bytes: left, ..self.left },
            right: Lanes { bytes: right, ..self.right },
            sums: Sums { floats: self.out.at((rows.start, columns.start)), rounded: None },
            first: steps.start == 0,
            last: steps.end == self.steps,
            add: false,
            ahead: Ahead { start, bytes, stride: 0, rows: 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::packed::pack;
    use crate::cpu::path::CpuPath;
    use crate::cpu::tiles_model::Model;
    use crate::dtype::DType;
    use crate::view::Address;
    use std::ptr::NonNull;

    fn view(x: &mut [f32], columns: usize) -> View {
        let address = Address(NonNull::new(x.as_mut_ptr().cast()).unwrap());
        View { address, rows: x.len() / columns, columns, dtype: DType::F32, read_only: false }
    }

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect()
    }

    /// A product in the model's tiles, or in those of the path.
    fn product(
        threads: usize,
        path: CpuPath,
        rows: usize,
        outputs: usize,
        inputs: usize,
    ) -> Vec<f32> {
        let machine = Machine::new(threads, path).unwrap();
        let (mut x, mut w) = (numbers(rows * inputs), numbers(outputs * inputs));
        let bytes = DType::PackedBf16.matrix_bytes(outputs, inputs);
        let mut lines = vec![0f32; bytes / 4];
        let weight = View {
            rows: outputs,
            columns: inputs,
            dtype: DType::PackedBf16,
            ..view(&mut lines, 1)
        };
        pack(&machine, weight, view(&mut w, inputs));
        let mut out = vec![f32::NAN; rows * outputs];
        let views = (view(&mut out, outputs), view(&mut x, inputs), weight);
        let scratch = &mut machine.scratch();
        let products = &[(views.0, views.2)];
        match machine.instructions.tiles() {
            Some(tiles) => forward(tiles, &machine, scratch, products, views.1),
            None => forward(Model, &machine, scratch, products, views.1),
        }
        out
    }

    #[test]
    fn every_row_is_right_and_the_same_in_every_company() {
        let rounded = |x: f32| f64::from(bf16::from_f32(x).to_f32());
        for (outputs, inputs) in [(1, 1), (33, 70), (100, 1100), (300, 64)] {
            let (x, w) = (numbers(600 * inputs), numbers(outputs * inputs));
            let alone = product(1, CpuPath::detected(), 1, outputs, inputs);
            for (rows, threads) in [(1, 3), (2, 1), (16, 1), (33, 3), (530, 2)] {
                let found = product(threads, CpuPath::detected(), rows, outputs, inputs);
                assert!(found[..outputs] == alone, "{rows} rows x {inputs} x {outputs}");
                for (i, &found) in found.iter().enumerate().step_by(7) {
                    let (row, output) = (i / outputs, i % outputs);
                    let (x, w) = (&x[row * inputs..][..inputs], &w[output * inputs..][..inputs]);
                    let expected: f64 =
                        x.iter().zip(w).map(|(&x, &w)| rounded(x) * rounded(w)).sum();
                    let case = format!("{rows} rows x {inputs} x {outputs}, element {i}");
                    assert!(
                        (f64::from(found) - expected).abs() < 1e-6 * inputs as f64,
                        "{case}: {found}, {expected}"
                    );
                }
            }
        }
    }
}
