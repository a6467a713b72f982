//! Weights that were packed once: packing them, reading their rows, multiplying with them.

use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::packed_block::{activations, filled_up, pack_row};
use crate::packed_layout::{self, BLOCK, PANEL};
use crate::view::View;
use half::bf16;

/// `out = x`
pub fn pack(machine: &Machine, out: View, x: View) {
    machine.pool.run_ranges(x.rows, PANEL, &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: a panel of the running operation's output that no other task writes, and its input.
        let (panel, x) = unsafe { (part(out).panels_mut(), part(x).f32s()) };
        machine.instructions.run(PackPanel { panel, x, columns: out.columns, dtype: out.dtype });
    });
}

/// Only so that the compiler may use the vectors of the path.
struct PackPanel<'a> {
    panel: &'a mut [u8],
    x: &'a [f32],
    columns: usize,
    dtype: DType,
}

impl Kernel for PackPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        self.panel.fill(0);
        for (row, x) in self.x.chunks_exact(self.columns).enumerate() {
            let blocks = self.panel.chunks_exact_mut(self.dtype.block_bytes());
            for (block, x) in blocks.zip(x.chunks(BLOCK)) {
                pack_row(block, row, x, self.dtype);
            }
        }
    }
}

/// `out[0] = table[row]`
pub fn unpack_row(out: View, table: View, row: usize) {
    // SAFETY: a row of the running operation's output that no other task writes, and its input.
    let (out, panels) = unsafe { (out.f32s_mut(), table.panels()) };
    for (first, out) in (0..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let block = &panels[packed_layout::block_of(table.dtype, table.columns, row, first)..];
        for (column, out) in out.iter_mut().enumerate() {
            *out = packed_layout::element(table.dtype, block, row % PANEL, column);
        }
    }
}

/// `out[t, o] = Σ_i x[t, i] · w[o, i]`
pub fn forward(machine: &Machine, _: &mut Scratch, out: View, x: View, w: View) {
    // SAFETY: the inputs and the output of the running operation.
    let (panels, rows, floats) = unsafe { (w.panels(), x.f32s(), out.f32s_mut()) };
    let floats = SharedMut::new(floats);
    machine.pool.run_ranges(w.rows, PANEL, &|outputs| {
        for (t, x) in rows.chunks_exact(x.columns.max(1)).enumerate() {
            for o in outputs.clone() {
                let mut sum = 0.0;
                for (first, x) in (0..).step_by(BLOCK).zip(x.chunks(BLOCK)) {
                    let block = &panels[packed_layout::block_of(w.dtype, w.columns, o, first)..];
                    sum += block_product(w.dtype, block, o % PANEL, x);
                }
                // SAFETY: panels do not overlap.
                let out = unsafe { floats.part(t * out.columns + o..t * out.columns + o + 1) };
                out[0] = sum;
            }
        }
    });
}

fn block_product(dtype: DType, block: &[u8], row: usize, x: &[f32]) -> f32 {
    let x = filled_up(x);
    let weights: [f32; BLOCK] =
        std::array::from_fn(|i| packed_layout::element(dtype, block, row, i));
    if dtype == DType::PackedBf16 {
        let x = x.map(|x| bf16::from_f32(x).to_f32());
        return x.iter().zip(weights).map(|(x, w)| x * w).sum();
    }
    let (scale, numbers) = activations(&x);
    scale * numbers.iter().zip(weights).map(|(&x, w)| f32::from(x) * w).sum::<f32>()
}
