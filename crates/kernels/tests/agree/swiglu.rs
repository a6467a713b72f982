//! Gated activations and their gradients.

use crate::agreement::Agreement;
use crate::numbers::Values;
use crate::shapes::{TOLERANCE, shapes, unwritten};
use kollama_kernels::Device;
use kollama_kernels::ops::{self, Before};

#[test]
fn swiglu_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "swiglu");
    for (rows, columns) in shapes() {
        let gate = Values::random(1, rows, columns).map(|gate| 12.0 * gate);
        let up = Values::random(2, rows, columns);
        let run = |device: &Device| {
            let mut out = unwritten(device, rows, columns);
            ops::swiglu(&mut out, &gate.on(device), &up.on(device));
            vec![out.to_vec()]
        };
        let scales = run(agreement.reference())[0].iter().map(|out| out.abs()).collect();
        agreement.check(&format!("[{rows}, {columns}]"), &[scales], run);
    }
}

#[test]
fn swiglu_survives_gates_of_thousands() {
    let mut agreement = Agreement::within(TOLERANCE, "swiglu, large gates");
    let gate = Values::random(1, 100, 33).map(|gate| 10_000.0 * gate * gate * gate);
    let scales = gate.map(|gate| 1.0 + gate.abs()).values;
    agreement.check("[100, 33]", &[scales.clone(), scales.clone(), scales], |device| {
        let ones = gate.map(|_| 1.0).on(device);
        let [mut out, mut d_gate, mut d_up] = [0; 3].map(|_| gate.map(|_| 0.0).on(device));
        ops::swiglu(&mut out, &gate.on(device), &ones);
        ops::swiglu_backward(
            &mut d_gate,
            &mut d_up,
            &ones,
            &gate.on(device),
            &ones,
            Before::Others,
        );
        vec![out.to_vec(), d_gate.to_vec(), d_up.to_vec()]
    });
}

#[test]
fn swiglu_backward_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "swiglu_backward");
    for (rows, columns) in shapes() {
        let gate = Values::random(1, rows, columns).map(|gate| 12.0 * gate);
        let [up, d_out, d_gate, d_up] =
            [2, 3, 4, 5].map(|seed| Values::random(seed, rows, columns));
        let sigma = gate.map(|gate| 1.0 / (1.0 + (-gate).exp())).values;
        let d_gate_terms = |i: usize| {
            let slope = sigma[i] * (1.0 + gate.values[i].abs() * (1.0 - sigma[i]));
            d_gate.values[i].abs() + (d_out.values[i] * up.values[i]).abs() * slope
        };
        let d_up_terms =
            |i: usize| d_up.values[i].abs() + (d_out.values[i] * gate.values[i]).abs() * sigma[i];
        let scales = [
            (0..sigma.len()).map(d_gate_terms).collect(),
            (0..sigma.len()).map(d_up_terms).collect(),
        ];
        agreement.check(&format!("[{rows}, {columns}]"), &scales, |device| {
            let (mut d_gate, mut d_up) = (d_gate.on(device), d_up.on(device));
            let (d_out, gate, up) = (d_out.on(device), gate.on(device), up.on(device));
            ops::swiglu_backward(&mut d_gate, &mut d_up, &d_out, &gate, &up, Before::Others);
            vec![d_gate.to_vec(), d_up.to_vec()]
        });
    }
}
