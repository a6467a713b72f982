//! A training run that has gone wrong must say so, on every device and in the same places.

use crate::agreement::Agreement;
use crate::attention::run_attention;
use crate::attention_cases::AttentionCase;
use crate::cross_entropy::Head;
use crate::numbers::Values;
use crate::shapes::{EPSILON, unwritten};
use kollama_kernels::Matrix;
use kollama_kernels::ops::{self, Before};

#[test]
fn not_a_number_is_passed_on_and_never_hidden() {
    let mut agreement = Agreement::within(1e-5, "not a number");
    let (rows, columns) = (7, 33);
    let mut x = Values::random(1, rows, columns);
    x.values[2 * columns + 20] = f32::NAN;
    let [w, d_out] = [2, 3].map(|seed| Values::random(seed, columns, columns));
    let d_out = Values { rows, values: d_out.values[..rows * columns].to_vec(), ..d_out };
    let weight = Values::random(4, 1, columns);
    let ones = vec![vec![columns as f32; rows * columns]; 6];
    agreement.check("operations by rows", &ones, |device| {
        let [mut product, mut normal, mut gated] = [0; 3].map(|_| unwritten(device, rows, columns));
        let [mut d_x, mut d_gate, mut d_up] = [0; 3].map(|_| d_out.on(device));
        let mut d_weight = weight.on(device);
        let (x, weight, d_out) = (x.on(device), weight.on(device), d_out.on(device));
        ops::matmul(&mut product, &x, &w.on(device));
        ops::rms_norm(&mut normal, &x, &weight, EPSILON);
        ops::swiglu(&mut gated, &x, &d_out);
        ops::rms_norm_backward(&mut d_x, &mut d_weight, &d_out, &x, &weight, EPSILON);
        ops::swiglu_backward(&mut d_gate, &mut d_up, &d_out, &x, &d_out, Before::Others);
        assert!(ops::square_sum(&x, 0..rows).is_nan(), "{}", device.name());
        [product, normal, gated, d_x, d_gate, d_up].iter().map(Matrix::to_vec).collect()
    });
    let mut head = Head::new(rows, columns, 50, 3);
    head.labels = vec![3; rows];
    head.hidden.values[2 * columns + 20] = f32::NAN;
    let scales: Vec<Vec<f32>> =
        head.run(agreement.reference()).iter().map(|x| vec![columns as f32; x.len()]).collect();
    agreement.check("cross_entropy", &scales, |device| head.run(device));
    for case in AttentionCase::all() {
        let mut input = case.input(1.0);
        input.keys.values[0] = f32::NAN;
        let ones = run_attention(agreement.reference(), &case, &input)
            .map(|x| vec![10.0; x.rows() * x.columns()]);
        agreement.check(&format!("attention: {}", case.name()), &ones, |device| {
            run_attention(device, &case, &input).iter().map(Matrix::to_vec).collect()
        });
    }
}
