//! Zeroing, copying and adding whole matrices, by several threads where they are large.

use crate::cpu::elements::{Convert, Elements, ElementsMut};
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, rows_per_task};
use crate::cpu::simd::Simd;
use crate::dtype::DType;
use crate::host_memory;
use crate::q8_rows;
use crate::view::View;

/// Sets `x` to zero.
pub fn clear(machine: &Machine, x: View) {
    machine.pool.run_ranges(x.rows, rows_per_task(x.columns), &|rows| {
        host_memory::clear(x.row_range(rows.start, rows.len()));
    });
}

/// `out = x`, in the dtype of `out`.
pub fn copy(machine: &Machine, out: View, x: View) {
    machine.pool.run_ranges(x.rows, rows_per_task(x.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        if out.dtype == x.dtype {
            return host_memory::copy(part(out), part(x));
        }
        if out.dtype == DType::Q8Rows {
            // SAFETY: rows of the running operation's output that no other task writes, and its input.
            let (rows, x) = unsafe { (part(out).q8_rows_mut(), part(x).f32s()) };
            return machine.instructions.run(RoundRows { rows, x, columns: out.columns });
        }
        // SAFETY: as above.
        let (out, x) = unsafe { (ElementsMut::of(part(out)), Elements::of(part(x))) };
        machine.instructions.run(Convert { out, x });
    });
}

/// `out += x`
pub fn add(machine: &Machine, out: View, x: View) {
    machine.pool.run_ranges(x.rows, rows_per_task(x.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's output that no other task writes, and its input.
        let (out, x) = unsafe { (part(out).f32s_mut(), part(x).f32s()) };
        machine.instructions.run(Add { out, x });
    });
}

/// Only so that the compiler may use the vectors of the path.
struct RoundRows<'a> {
    rows: &'a mut [u8],
    x: &'a [f32],
    columns: usize,
}

impl Kernel for RoundRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self.rows.chunks_exact_mut(q8_rows::row_bytes(self.columns));
        for (row, x) in rows.zip(self.x.chunks_exact(self.columns)) {
            q8_rows::put(row, x);
        }
    }
}

struct Add<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in (0..self.x.len()).step_by(S::LANES) {
            s.store(s.add(s.load(&self.out[i..]), s.load(&self.x[i..])), &mut self.out[i..]);
        }
    }
}
