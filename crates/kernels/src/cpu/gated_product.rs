//! The gated activation and the product that reads it, in one: with a packed weight the activation is
//! rounded where it is computed, and nowhere else in memory.

use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::packed_round::Gated;
use crate::cpu::{matmul, packed_product, swiglu};
use crate::dtype::DType;
use crate::view::View;

/// `out[t, o] = Σ_i gated[t, i] · w[o, i]`; `gated` is room for the activation.
pub fn forward(
    machine: &Machine,
    scratch: &mut Scratch,
    (out, gated): (View, View),
    (gate, up): (View, View),
    w: View,
) {
    let in_tiles = w.dtype == DType::PackedBf16 && machine.instructions.tiles().is_some();
    if w.dtype.is_packed() && !in_tiles && gate.rows > 0 && gate.columns > 0 {
        let columns = gate.columns;
        // SAFETY: inputs of the running operation.
        let rows = unsafe { Gated { gate: gate.f32s(), up: up.f32s(), columns } };
        return packed_product::forward_of(machine, scratch, &[(out, w)], rows);
    }
    swiglu::forward(machine, gated, gate, up);
    matmul::forward(machine, scratch, out, gated, w);
}
