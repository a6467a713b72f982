//! Products and their gradients, blocks and edges of every size, every side in either dtype.

use crate::agreement::Agreement;
use crate::numbers::Values;
use crate::shapes::{COLUMNS, ROWS, TOLERANCE};
use kollama_kernels::ops::{self, Before};
use kollama_kernels::{DType, Device, Matrix};

use DType::{Bf16, F32};

/// A bf16 result may be rounded to the other side, since its sum is not the same to the last bit.
const ROUNDED: f64 = TOLERANCE + 1.0 / 128.0;

/// Rows, input columns, output columns.
fn matmul_shapes() -> Vec<(usize, usize, usize)> {
    let ragged = ROWS.iter().flat_map(|&rows| COLUMNS.map(|columns| (rows, columns)));
    let ragged = ragged.flat_map(|(rows, inputs)| COLUMNS.map(|outputs| (rows, inputs, outputs)));
    let deep = [(60, 1500, 45), (60, 45, 1500), (1500, 20, 45)];
    ragged.chain([(1, 1300, 1100), (5, 700, 900), (210, 530, 330)]).chain(deep).collect()
}

/// What the result is stored as, and both sides.
fn sides() -> Vec<[DType; 3]> {
    let both = [F32, Bf16];
    let pairs = both.iter().flat_map(|&left| both.map(|right| (left, right)));
    pairs.flat_map(|(left, right)| both.map(|out| [out, left, right])).collect()
}

/// Runs one case in every combination of dtypes that `allowed` lets through. `product` is given the
/// result, which holds the first of the inputs, and both sides.
fn check(
    operation: &'static str,
    allowed: impl Fn(DType) -> bool,
    inputs: impl Fn((usize, usize, usize)) -> [Values; 3],
    product: impl Fn(&mut Matrix, &Matrix, &Matrix),
) {
    for dtypes @ [out, left, right] in sides().into_iter().filter(|sides| allowed(sides[0])) {
        let tolerance = if out == Bf16 { ROUNDED } else { TOLERANCE };
        let mut agreement = Agreement::within(tolerance, operation);
        // Seven has no divisor in common with the numbers of columns, so every one of them comes up.
        let every = if dtypes == [F32; 3] { 1 } else { 7 };
        for shape in matmul_shapes().into_iter().rev().step_by(every) {
            let case = format!("{shape:?} in {dtypes:?}");
            let [start, x, y] = inputs(shape);
            agreement.check_sums(&case, &[&start, &x, &y], |device, values| {
                let mut result = values[0].stored_as(out, device);
                let (x, y) =
                    (values[1].stored_as(left, device), values[2].stored_as(right, device));
                product(&mut result, &x, &y);
                vec![result.to_vec()]
            });
        }
    }
}

#[test]
fn matmul_equals_the_reference() {
    let inputs = |(rows, inputs, outputs)| {
        let nothing = Values { rows, columns: outputs, values: vec![f32::NAN; rows * outputs] };
        [nothing, Values::random(1, rows, inputs), Values::random(2, outputs, inputs)]
    };
    check("matmul", |_| true, inputs, ops::matmul);
}

#[test]
fn matmul_backward_input_equals_the_reference() {
    let inputs = |(rows, inputs, outputs)| {
        let d_out = Values::random(1, rows, outputs);
        [Values::random(3, rows, inputs), d_out, Values::random(2, outputs, inputs)]
    };
    check(
        "matmul_backward_input",
        |_| true,
        inputs,
        |d, d_out, x| {
            ops::matmul_backward_input(d, d_out, x, Before::Others);
        },
    );
}

#[test]
fn matmul_backward_weight_equals_the_reference() {
    let inputs = |(rows, inputs, outputs)| {
        let d_out = Values::random(1, rows, outputs);
        [Values::random(3, outputs, inputs), d_out, Values::random(2, rows, inputs)]
    };
    check(
        "matmul_backward_weight",
        |out| out == F32,
        inputs,
        |d, d_out, x| {
            ops::matmul_backward_weight(d, d_out, x, Before::Others);
        },
    );
}

/// The result of a product that starts from whole numbers, stored in either dtype.
fn result(device: &Device, dtype: DType, shape: (usize, usize, usize), add: bool) -> Vec<f32> {
    let (rows, inputs, outputs) = shape;
    let x = Values::random(1, rows, inputs).on(device);
    let mut out = match add {
        true => Values::random(3, rows, outputs).map(|x| (100.0 * x).round()),
        false => Values { rows, columns: outputs, values: vec![f32::NAN; rows * outputs] },
    }
    .stored_as(dtype, device);
    match add {
        true => {
            let w = Values::random(2, inputs, outputs).on(device);
            ops::matmul_backward_input(&mut out, &x, &w, Before::Others);
        }
        false => ops::matmul(&mut out, &x, &Values::random(2, outputs, inputs).on(device)),
    }
    out.to_vec()
}

#[test]
fn a_bf16_result_is_the_f32_result_rounded_once() {
    let shapes = [(1, 1500, 45), (31, 33, 257), (60, 1500, 45), (210, 530, 330)];
    for device in crate::numbers::cpu_devices(2) {
        for (shape, add) in shapes.into_iter().flat_map(|shape| [(shape, false), (shape, true)]) {
            let wide = result(&device, F32, shape, add);
            let rounded: Vec<f32> =
                wide.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect();
            let found = result(&device, Bf16, shape, add);
            assert!(found == rounded, "{} {shape:?} add {add}", device.name());
        }
    }
}
