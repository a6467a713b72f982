//! A device may be used from several threads of its caller at the same time.

use crate::attention::run_attention;
use crate::attention_cases::AttentionCase;
use crate::numbers::{Values, cpu_devices};
use crate::shapes::unwritten;
use kollama_kernels::{Device, Matrix, ops};

const CALLERS: usize = 4;
const CALLS: usize = 5;

#[test]
fn callers_that_share_a_device_get_what_each_would_get_alone() {
    let (x, w) = (Values::random(1, 31, 257), Values::random(2, 100, 257));
    let case = AttentionCase::all().pop().unwrap();
    let input = case.input(1.0);
    let run = |device: &Device| {
        let mut out = unwritten(device, x.rows, w.rows);
        ops::matmul(&mut out, &x.on(device), &w.on(device));
        let attention = run_attention(device, &case, &input).map(|matrix: Matrix| matrix.to_vec());
        (out.to_vec(), attention)
    };
    for device in cpu_devices(2) {
        let alone = run(&device);
        let call = || (0..CALLS).for_each(|_| assert!(run(&device) == alone, "{}", device.name()));
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(call);
            }
        });
    }
}
