//! The update of parameters and moments.

use crate::agreement::Agreement;
use crate::numbers::Values;
use crate::shapes::{TOLERANCE, shapes};
use kollama_kernels::Device;
use kollama_kernels::ops::{self, AdamW};

/// A usual update at a step.
fn at_step(step: u64) -> AdamW {
    AdamW {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        gradient_scale: 0.7,
        step,
    }
}

/// Checks an update of parameters, gradients and moments from the second third of the rows on.
fn check(agreement: &mut Agreement, case: &str, values: [&Values; 4], update: AdamW) {
    let run = |device: &Device, [p, g, m, v]: [&Values; 4]| {
        let (mut p, g) = (p.on(device), g.on(device));
        let (mut m, mut v) = (m.on(device), v.on(device));
        let rows = p.rows() / 3..p.rows();
        ops::adamw(&mut p, None, &g, &mut m, &mut v, rows, update);
        vec![p.to_vec(), m.to_vec(), v.to_vec()]
    };
    let [p, g, m, v] = values.map(|x| x.map(f32::abs));
    let mut scales = run(agreement.reference(), [&p, &g, &m, &v]);
    // What was taken from a parameter is a term as well.
    for (scale, p) in scales[0].iter_mut().zip(&p.values) {
        *scale = 2.0 * p - *scale;
    }
    agreement.check(case, &scales, |device| run(device, values));
}

#[test]
fn adamw_equals_the_reference_and_leaves_other_rows_alone() {
    let mut agreement = Agreement::within(TOLERANCE, "adamw");
    for (rows, columns) in shapes() {
        for step in [1, 2, 1000] {
            let [p, g, m] = [1, 2, 3].map(|seed| Values::random(seed, rows, columns));
            let v = Values::random(4, rows, columns).map(|v| v * v);
            let case = format!("[{rows}, {columns}], step {step}");
            check(&mut agreement, &case, [&p, &g, &m, &v], at_step(step));
        }
    }
}

#[test]
fn adamw_is_finite_wherever_the_reference_is() {
    let mut agreement = Agreement::within(TOLERANCE, "adamw, large numbers");
    for (learning_rate, g, m, v) in [
        (1e38, 0.0, 0.0, 0.0),
        (1e30, 1e10, 0.0, 0.0),
        (1e20, 3e19, 0.0, 0.0),
        (0.01, 0.0, 1e19, 3e38),
        (0.01, 1.0, 3e38, 3e38),
    ] {
        let all = |value| Values { rows: 1, columns: 33, values: vec![value; 33] };
        let update = AdamW { learning_rate, gradient_scale: 1.0, ..at_step(1) };
        let case = format!("rate {learning_rate:e}, gradient {g:e}, moments {m:e} and {v:e}");
        check(&mut agreement, &case, [&all(1.0), &all(g), &all(m), &all(v)], update);
    }
}
