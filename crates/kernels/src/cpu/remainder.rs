//! Rows of f32 taken apart into bf16 and what that lacks, and joined again, by several threads where they
//! are many. How a row is cut says `remainder.rs` of the crate.

use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, rows_per_task};
use crate::cpu::simd::Simd;
use crate::remainder;
use crate::view::View;
use half::bf16;

/// See [`crate::ops::split_rows`].
pub fn split(machine: &Machine, rounded: View, remainder: View, x: View) {
    machine.pool.run_ranges(x.rows, rows_per_task(x.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's outputs that no other task writes, and its input.
        let kernel = unsafe {
            Split {
                rounded: part(rounded).bf16s_mut(),
                remainder: part(remainder).remainders_mut(),
                x: part(x).f32s(),
                columns: x.columns,
            }
        };
        machine.instructions.run(kernel);
    });
}

/// See [`crate::ops::join_rows`].
pub fn join(machine: &Machine, out: View, rounded: View, remainder: View) {
    machine.pool.run_ranges(out.rows, rows_per_task(out.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's output that no other task writes, and its inputs.
        let kernel = unsafe {
            Join {
                out: part(out).f32s_mut(),
                rounded: part(rounded).bf16s(),
                remainder: part(remainder).remainders(),
                columns: out.columns,
            }
        };
        machine.instructions.run(kernel);
    });
}

/// Only so that the compiler may use the vectors of the path.
struct Split<'a> {
    rounded: &'a mut [bf16],
    remainder: &'a mut [u16],
    x: &'a [f32],
    columns: usize,
}

impl Kernel for Split<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        remainder::split_rows(self.x, self.columns, self.rounded, self.remainder);
    }
}

/// As [`Split`].
struct Join<'a> {
    out: &'a mut [f32],
    rounded: &'a [bf16],
    remainder: &'a [u16],
    columns: usize,
}

impl Kernel for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        remainder::join_rows(self.rounded, self.remainder, self.columns, self.out);
    }
}
