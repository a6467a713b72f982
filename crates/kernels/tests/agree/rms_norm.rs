//! Normalised rows and their gradients.

use crate::agreement::Agreement;
use crate::numbers::Values;
use crate::shapes::{EPSILON, TOLERANCE, shapes, unwritten};
use kollama_kernels::ops;

#[test]
fn rms_norm_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "rms_norm");
    for (rows, columns) in shapes() {
        let (x, weight) = (Values::random(1, rows, columns), Values::random(2, 1, columns));
        let case = format!("[{rows}, {columns}]");
        agreement.check_sums(&case, &[&x, &weight], |device, values| {
            let mut out = unwritten(device, rows, columns);
            ops::rms_norm(&mut out, &values[0].on(device), &values[1].on(device), EPSILON);
            vec![out.to_vec()]
        });
    }
}

#[test]
fn rms_norm_backward_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "rms_norm_backward");
    for (rows, columns) in shapes() {
        let (x, weight) = (Values::random(1, rows, columns), Values::random(2, 1, columns));
        let d_out = Values::random(3, rows, columns);
        let starts = (Values::random(4, rows, columns), Values::random(5, 1, columns));
        let scales = rms_norm_backward_terms(&starts, &d_out, &x, &weight);
        agreement.check(&format!("[{rows}, {columns}]"), &scales, |device| {
            let (mut d_x, mut d_weight) = (starts.0.on(device), starts.1.on(device));
            let (d_out, x, weight) = (d_out.on(device), x.on(device), weight.on(device));
            ops::rms_norm_backward(&mut d_x, &mut d_weight, &d_out, &x, &weight, EPSILON);
            vec![d_x.to_vec(), d_weight.to_vec()]
        });
    }
}

/// Absolute terms of `d_x` and of `d_weight`, with the values that they start from.
fn rms_norm_backward_terms(
    starts: &(Values, Values),
    d_out: &Values,
    x: &Values,
    weight: &Values,
) -> [Vec<f32>; 2] {
    let columns = x.columns;
    let (d_x, d_weight) = (starts.0.map(f32::abs), starts.1.map(f32::abs));
    let (mut d_x, mut d_weight) = (d_x.values, d_weight.values);
    for t in 0..x.rows {
        let (x, d_out) = (&x.values[t * columns..][..columns], &d_out.values[t * columns..]);
        let square: f32 = x.iter().map(|x| x * x).sum::<f32>() / columns as f32 + EPSILON;
        let root = 1.0 / square.sqrt();
        let weighted = |i: usize| (weight.values[i] * d_out[i]).abs();
        let mean = (0..columns).map(|i| weighted(i) * x[i].abs()).sum::<f32>() / columns as f32;
        for i in 0..columns {
            d_x[t * columns + i] += root * (weighted(i) + x[i].abs() * mean / square);
            d_weight[i] += (d_out[i] * x[i]).abs() * root;
        }
    }
    [d_x, d_weight]
}
