//! What must be exact: moved rows, added matrices, and squares summed in `f64`.

use crate::agreement::Agreement;
use crate::numbers::{Values, cpu_devices};
use crate::shapes::shapes;
use kollama_kernels::{Device, ops};

#[test]
fn add_copy_and_clear_are_exact() {
    let mut agreement = Agreement::within(0.0, "add, copy_rows, clear_rows");
    for (rows, columns) in shapes() {
        let (x, start) = (Values::random(1, rows, columns), Values::random(2, rows + 1, columns));
        agreement.check_sums(&format!("[{rows}, {columns}]"), &[&x, &start], |device, values| {
            let (mut x, mut out) = (values[0].on(device), values[1].on(device));
            ops::copy_rows(&mut out, 1, &x, 0..rows);
            let copied = out.to_vec();
            out.clear_rows(rows / 2..rows);
            let cleared = out.to_vec();
            out.set_rows(rows);
            ops::add(&mut x, &out);
            vec![copied, cleared, x.to_vec()]
        });
    }
}

#[test]
fn square_sum_is_taken_in_f64() {
    let reference = Device::reference();
    let devices = [1, 2, 3].map(cpu_devices);
    for (rows, columns) in shapes() {
        let x = Values::random(1, rows, columns);
        let sum = |device: &Device| ops::square_sum(&x.on(device), rows / 3..rows);
        let expected = sum(&reference);
        for (path, first) in devices[0].iter().enumerate() {
            let (found, name) = (sum(first), first.name());
            let case = format!("[{rows}, {columns}] on {name}: {found}, not {expected}");
            assert!((found - expected).abs() <= 1e-12 * expected, "{case}");
            for device in devices.iter().map(|devices| &devices[path]) {
                assert_eq!(found.to_bits(), sum(device).to_bits(), "{}", device.name());
            }
        }
    }
}
