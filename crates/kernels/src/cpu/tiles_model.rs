//! Tiles in plain arithmetic, bit for bit what AMX says (Intel's manual, volume 2, TDPBF16PS): the judge
//! of `tiles_x86.rs`, and what products are tested with where there is no AMX.

use crate::cpu::tiles::{Chain, LEFT_STEP, RIGHT_STEP, SQUARE, STEP, Tiles};
use half::bf16;
use std::cell::Cell;

/// No registers at all.
#[derive(Clone, Copy)]
pub struct Model;

thread_local! {
    static ROWS: Cell<usize> = const { Cell::new(0) };
}

impl Tiles for Model {
    fn begin(self, rows: usize) {
        assert!((1..=SQUARE).contains(&rows));
        ROWS.set(rows);
    }

    unsafe fn add(self, rows: usize, chain: &Chain) {
        assert_eq!(ROWS.get(), rows, "the registers have another shape");
        for (row, column) in (0..rows * SQUARE).map(|at| (at / SQUARE, at % SQUARE)) {
            // SAFETY: the caller's promise.
            unsafe {
                let sum = chain.sums.byte_add(row * chain.sums_stride).add(column);
                let mut value = if chain.from_zero { 0.0 } else { sum.read_unaligned() };
                for step in 0..chain.steps {
                    let left = chain.left.add(row * chain.left_stride + step * LEFT_STEP);
                    let right = chain.right.add(step * RIGHT_STEP + 4 * column);
                    value = after_a_step(value, left.cast(), right.cast());
                }
                sum.write_unaligned(value);
            }
        }
    }

    fn end(self) {
        ROWS.set(0);
    }
}

/// # Safety
/// A step of a row and of a column of a panel must be readable.
unsafe fn after_a_step(sum: f32, left: *const [bf16; 2], right: *const [bf16; 2]) -> f32 {
    let mut parts = [0.0; 2];
    for pair in 0..STEP {
        // SAFETY: the caller's promise.
        let (a, b) =
            unsafe { (left.add(pair).read_unaligned(), right.add(pair * SQUARE).read_unaligned()) };
        for (part, (a, b)) in parts.iter_mut().zip(a.into_iter().zip(b)) {
            *part = flushed(flushed(a.to_f32()).mul_add(flushed(b.to_f32()), *part));
        }
    }
    flushed(flushed(sum) + flushed(parts[0] + parts[1]))
}

/// Zero instead of a denormal.
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}
