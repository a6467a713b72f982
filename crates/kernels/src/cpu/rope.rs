//! Rotary positions: every head is turned in place, forward or back.

use crate::cpu::elements::ElementsMut;
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
        let (x, turns) = unsafe { (ElementsMut::of(part(x)), part(turns).f32s()) };
        machine.instructions.run(Turn { x, turns, size, direction });
    });
}

struct Turn<'a> {
    x: ElementsMut<'a>,
    turns: &'a [f32],
    size: usize,
    direction: f32,
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let rows = self.turns.len() / self.size.max(1);
        let columns = self.x.read().len() / rows.max(1);
        for (row, turns) in self.turns.chunks_exact(self.size).enumerate() {
            for head in (row * columns..(row + 1) * columns).step_by(self.size) {
                self.head(s, head, turns);
            }
        }
    }
}

impl Turn<'_> {
    /// Turns the head that begins at element `start`.
    #[inline(always)]
    fn head<S: Simd>(&mut self, s: S, start: usize, turns: &[f32]) {
        let (half, direction) = (self.size / 2, s.splat(self.direction));
        let (cos, sin) = turns.split_at(half);
        let (first, second) = (start..start + half, start + half..start + self.size);
        for i in (0..half).step_by(S::LANES) {
            let (cos, sin) = (s.load(&cos[i..]), s.mul(direction, s.load(&sin[i..])));
            let x = self.x.read();
            let (a, b) = (x.part(first.clone()).load(s, i), x.part(second.clone()).load(s, i));
            let (left, right) =
                (s.sub(s.mul(a, cos), s.mul(b, sin)), s.mul_add(b, cos, s.mul(a, sin)));
            self.x.part(first.clone()).store(s, left, i);
            self.x.part(second.clone()).store(s, right, i);
        }
    }
}
