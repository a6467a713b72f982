//! Rotary positions: every head is turned in place, forward or back.

use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, rows_per_task};
use crate::cpu::simd::Simd;
use crate::view::View;

/// Turns the rows of `x`.
pub fn forward(machine: &Machine, x: View, turns: View) {
    turn(machine, x, turns, 1.0);
}

/// Turns the rows of `d_x` back.
pub fn backward(machine: &Machine, d_x: View, turns: View) {
    turn(machine, d_x, turns, -1.0);
}

fn turn(machine: &Machine, x: View, turns: View, direction: f32) {
    let size = turns.columns;
    machine.pool.run_ranges(x.rows, rows_per_task(x.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's output that no other task writes, and its input.
        let (x, turns) = unsafe { (part(x).f32s_mut(), part(turns).f32s()) };
        machine.instructions.run(Turn { x, turns, size, direction });
    });
}

struct Turn<'a> {
    x: &'a mut [f32],
    turns: &'a [f32],
    size: usize,
    direction: f32,
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.turns.len() / self.size.max(1);
        let columns = self.x.len() / rows.max(1);
        let direction = s.splat(self.direction);
        for (x, turns) in self.x.chunks_exact_mut(columns).zip(self.turns.chunks_exact(self.size)) {
            let (cos, sin) = turns.split_at(self.size / 2);
            for head in x.chunks_exact_mut(self.size) {
                let (first, second) = head.split_at_mut(self.size / 2);
                for i in (0..cos.len()).step_by(S::LANES) {
                    let (cos, sin) = (s.load(&cos[i..]), s.mul(direction, s.load(&sin[i..])));
                    let (a, b) = (s.load(&first[i..]), s.load(&second[i..]));
                    s.store(s.sub(s.mul(a, cos), s.mul(b, sin)), &mut first[i..]);
                    s.store(s.mul_add(b, cos, s.mul(a, sin)), &mut second[i..]);
                }
            }
        }
    }
}
