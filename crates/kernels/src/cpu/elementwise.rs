//! Zeroing, copying and adding whole matrices, by several threads where they are large.

use crate::cpu::elements::ElementsMut;
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, rows_per_task};
use crate::cpu::matmul_pack::Elements;
use crate::cpu::simd::Simd;
use crate::host_memory;
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
        // SAFETY: rows of the running operation's output that no other task writes, and its input.
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

struct Convert<'a> {
    out: ElementsMut<'a>,
    x: Elements<'a>,
}

impl Kernel for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for i in (0..self.x.len()).step_by(S::LANES) {
            self.out.store(s, self.x.load(s, i), i);
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
