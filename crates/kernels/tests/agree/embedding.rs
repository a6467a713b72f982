//! Rows by number, and gradients that meet in one row.

use crate::agreement::Agreement;
use crate::numbers::Values;
use crate::shapes::{TOLERANCE, ids, shapes, unwritten};
use kollama_kernels::{DType, ops};

#[test]
fn embedding_copies_rows_exactly() {
    let mut agreement = Agreement::within(0.0, "embedding");
    for (rows, columns) in shapes() {
        let (table, ids) = (Values::random(1, 19, columns), ids(rows, 19));
        for dtype in [DType::F32, DType::Bf16] {
            let case = format!("{rows} rows of {columns} {dtype:?}");
            agreement.check_sums(&case, &[&table], |device, values| {
                let mut out = unwritten(device, rows, columns);
                ops::embedding(&mut out, &values[0].stored_as(dtype, device), &ids);
                vec![out.to_vec()]
            });
        }
    }
}

#[test]
fn embedding_backward_adds_up_ids_that_come_back() {
    let mut agreement = Agreement::within(TOLERANCE, "embedding_backward");
    for (rows, columns) in shapes() {
        let (start, d_out) = (Values::random(1, 19, columns), Values::random(2, rows, columns));
        let ids = ids(rows, 19);
        agreement.check_sums(
            &format!("[{rows}, {columns}]"),
            &[&start, &d_out],
            |device, values| {
                let mut d_table = values[0].on(device);
                ops::embedding_backward(&mut d_table, &values[1].on(device), &ids);
                vec![d_table.to_vec()]
            },
        );
    }
}
