//! The gated activation of the feed-forward layer and its gradients.

use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, rows_per_task};
use crate::cpu::simd::{Simd, sigmoid};
use crate::view::View;

/// `out = gate · σ(gate) · up`
pub fn forward(machine: &Machine, out: View, gate: View, up: View) {
    machine.pool.run_ranges(out.rows, rows_per_task(out.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's output that no other task writes, and its inputs.
        let (out, gate, up) = unsafe { (part(out).f32s_mut(), part(gate).f32s(), part(up).f32s()) };
        machine.instructions.run(Forward { out, gate, up });
    });
}

/// `d_up += d_out · gate · σ` and `d_gate += d_out · up · σ · (1 + gate · (1 − σ))`
pub fn backward(
    machine: &Machine,
    (d_gate, d_up): (View, View),
    d_out: View,
    gate: View,
    up: View,
) {
    machine.pool.run_ranges(d_out.rows, rows_per_task(d_out.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's outputs that no other task writes, and its inputs.
        let kernel = unsafe {
            Backward {
                d_gate: part(d_gate).f32s_mut(),
                d_up: part(d_up).f32s_mut(),
                d_out: part(d_out).f32s(),
                gate: part(gate).f32s(),
                up: part(up).f32s(),
            }
        };
        machine.instructions.run(kernel);
    });
}

struct Forward<'a> {
    out: &'a mut [f32],
    gate: &'a [f32],
    up: &'a [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in (0..self.gate.len()).step_by(S::LANES) {
            let gate = s.load(&self.gate[i..]);
            let activated = s.mul(gate, sigmoid(s, gate));
            s.store(s.mul(activated, s.load(&self.up[i..])), &mut self.out[i..]);
        }
    }
}

struct Backward<'a> {
    d_gate: &'a mut [f32],
    d_up: &'a mut [f32],
    d_out: &'a [f32],
    gate: &'a [f32],
    up: &'a [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let one = s.splat(1.0);
        for i in (0..self.gate.len()).step_by(S::LANES) {
            let (d_out, gate) = (s.load(&self.d_out[i..]), s.load(&self.gate[i..]));
            let sigma = sigmoid(s, gate);
            let scaled = s.mul(d_out, sigma);
            let d_up = s.mul_add(scaled, gate, s.load(&self.d_up[i..]));
            let slope = s.mul_add(gate, s.sub(one, sigma), one);
            let d_activated = s.mul(scaled, s.load(&self.up[i..]));
            let d_gate = s.mul_add(d_activated, slope, s.load(&self.d_gate[i..]));
            s.store(d_up, &mut self.d_up[i..]);
            s.store(d_gate, &mut self.d_gate[i..]);
        }
    }
}
