//! The update of parameters and moments.

use crate::agreement::Agreement;
use crate::numbers::Values;
use crate::shapes::{TOLERANCE, shapes};
use kollama_kernels::Device;
use kollama_kernels::ops::{self, AdamW};

#[test]
fn adamw_equals_the_reference_and_leaves_other_rows_alone() {
    let mut agreement = Agreement::within(TOLERANCE, "adamw");
    for (rows, columns) in shapes() {
        for step in [1, 2, 1000] {
            let update = AdamW {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-8,
                weight_decay: 0.1,
                gradient_scale: 0.7,
                step,
            };
            let [p, g, m] = [1, 2, 3].map(|seed| Values::random(seed, rows, columns));
            let v = Values::random(4, rows, columns).map(|v| v * v);
            let run = |device: &Device, [p, g, m, v]: [&Values; 4]| {
                let (mut p, g) = (p.on(device), g.on(device));
                let (mut m, mut v) = (m.on(device), v.on(device));
                ops::adamw(&mut p, &g, &mut m, &mut v, rows / 3..rows, update);
                vec![p.to_vec(), m.to_vec(), v.to_vec()]
            };
            let absolute = [&p, &g, &m].map(|x| x.map(f32::abs));
            let mut scales =
                run(agreement.reference(), [&absolute[0], &absolute[1], &absolute[2], &v]);
            // What was taken from a parameter is a term as well.
            for (scale, p) in scales[0].iter_mut().zip(&absolute[0].values) {
                *scale = 2.0 * p - *scale;
            }
            let case = format!("[{rows}, {columns}], step {step}");
            agreement.check(&case, &scales, |device| run(device, [&p, &g, &m, &v]));
        }
    }
}
