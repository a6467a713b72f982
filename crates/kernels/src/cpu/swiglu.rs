//! The gated activation of the feed-forward layer and its gradients.

use crate::backend::Before;
use crate::cpu::elements::{Elements, ElementsMut};
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, rows_per_task};
use crate::cpu::simd::{Simd, sigmoid};
use crate::view::View;

/// `out = gate · σ(gate) · up`
pub fn forward(machine: &Machine, out: View, gate: View, up: View) {
    machine.pool.run_ranges(out.rows, rows_per_task(out.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's output that no other task writes, and its inputs.
        let kernel = unsafe {
            let (gate, up) = (Elements::of(part(gate)), Elements::of(part(up)));
            Forward { out: ElementsMut::of(part(out)), gate, up }
        };
        machine.instructions.run(kernel);
    });
}

/// `d_up += d_out · gate · σ` and `d_gate += d_out · up · σ · (1 + gate · (1 − σ))`
pub fn backward(
    machine: &Machine,
    (d_gate, d_up): (View, View),
    d_out: View,
    (gate, up): (View, View),
    before: Before,
) {
    machine.pool.run_ranges(d_out.rows, rows_per_task(d_out.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's outputs that no other task writes, and its inputs.
        let kernel = unsafe {
            Backward {
                d_gate: ElementsMut::of(part(d_gate)),
                d_up: ElementsMut::of(part(d_up)),
                d_out: Elements::of(part(d_out)),
                gate: Elements::of(part(gate)),
                up: Elements::of(part(up)),
                before,
            }
        };
        machine.instructions.run(kernel);
    });
}

struct Forward<'a> {
    out: ElementsMut<'a>,
    gate: Elements<'a>,
    up: Elements<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for i in (0..self.gate.len()).step_by(S::LANES) {
            let product = gated(s, self.gate.load(s, i), self.up.load(s, i));
            self.out.store(s, product, i);
        }
    }
}

/// `gate · σ(gate) · up`
#[inline(always)]
pub fn gated<S: Simd>(s: S, gate: S::V, up: S::V) -> S::V {
    s.mul(s.mul(gate, sigmoid(s, gate)), up)
}

struct Backward<'a> {
    d_gate: ElementsMut<'a>,
    d_up: ElementsMut<'a>,
    d_out: Elements<'a>,
    gate: Elements<'a>,
    up: Elements<'a>,
    before: Before,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        for i in (0..self.gate.len()).step_by(S::LANES) {
            let (d_out, gate) = (self.d_out.load(s, i), self.gate.load(s, i));
            let sigma = sigmoid(s, gate);
            let scaled = s.mul(d_out, sigma);
            let (d_gate, d_up) = match self.before {
                Before::Nothing => (zero, zero),
                Before::Others => (self.d_gate.read().load(s, i), self.d_up.read().load(s, i)),
            };
            let d_up = s.mul_add(scaled, gate, d_up);
            let slope = s.mul_add(gate, s.sub(one, sigma), one);
            let d_activated = s.mul(scaled, self.up.load(s, i));
            let d_gate = s.mul_add(d_activated, slope, d_gate);
            self.d_up.store(s, d_up, i);
            self.d_gate.store(s, d_gate, i);
        }
    }
}
