//! Products and their gradients, blocks and edges of every size.

use crate::agreement::Agreement;
use crate::numbers::Values;
use crate::shapes::{COLUMNS, ROWS, TOLERANCE, unwritten};
use kollama_kernels::{DType, ops};

/// Rows, input columns, output columns.
fn matmul_shapes() -> Vec<(usize, usize, usize)> {
    let ragged = ROWS.iter().flat_map(|&rows| COLUMNS.map(|columns| (rows, columns)));
    let ragged = ragged.flat_map(|(rows, inputs)| COLUMNS.map(|outputs| (rows, inputs, outputs)));
    ragged.chain([(1, 1300, 1100), (5, 700, 900), (210, 530, 330)]).collect()
}

#[test]
fn matmul_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "matmul");
    for (rows, inputs, outputs) in matmul_shapes() {
        let (x, w) = (Values::random(1, rows, inputs), Values::random(2, outputs, inputs));
        for dtype in [DType::F32, DType::Bf16] {
            let case = format!("[{rows}, {inputs}] by {dtype:?} [{outputs}, {inputs}]");
            agreement.check_sums(&case, &[&x, &w], |device, values| {
                let mut out = unwritten(device, rows, outputs);
                ops::matmul(&mut out, &values[0].on(device), &values[1].stored_as(dtype, device));
                vec![out.to_vec()]
            });
        }
    }
}

#[test]
fn matmul_backward_input_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "matmul_backward_input");
    for (rows, inputs, outputs) in matmul_shapes() {
        let (d_out, w) = (Values::random(1, rows, outputs), Values::random(2, outputs, inputs));
        let start = Values::random(3, rows, inputs);
        let case = format!("[{rows}, {outputs}] by [{outputs}, {inputs}]");
        agreement.check_sums(&case, &[&start, &d_out, &w], |device, values| {
            let mut d_x = values[0].on(device);
            ops::matmul_backward_input(&mut d_x, &values[1].on(device), &values[2].on(device));
            vec![d_x.to_vec()]
        });
    }
}

#[test]
fn matmul_backward_weight_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "matmul_backward_weight");
    for (rows, inputs, outputs) in matmul_shapes() {
        let (d_out, x) = (Values::random(1, rows, outputs), Values::random(2, rows, inputs));
        let start = Values::random(3, outputs, inputs);
        let case = format!("[{rows}, {outputs}] by [{rows}, {inputs}]");
        agreement.check_sums(&case, &[&start, &d_out, &x], |device, values| {
            let mut d_w = values[0].on(device);
            ops::matmul_backward_weight(&mut d_w, &values[1].on(device), &values[2].on(device));
            vec![d_w.to_vec()]
        });
    }
}
