//! Weights that are packed once: packing them and reading their rows. Products with them are in
//! `packed_product.rs`.

use crate::cpu::instructions::Kernel;
use crate::cpu::machine::Machine;
use crate::cpu::simd::Simd;
use crate::dtype::DType;
use crate::packed_block::pack_row;
use crate::packed_layout::{self, BLOCK, PANEL};
use crate::view::View;

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
