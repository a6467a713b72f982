//! Operations that take and give bf16: on every device they widen exactly, compute as with f32 and
//! round once at the end, so they give the bits of the f32 operation, rounded.

use crate::attention_cases::AttentionCase;
use crate::numbers::{Values, cpu_devices};
use half::bf16;
use kollama_kernels::ops::{self, AttentionResult, Qkv, QkvGradients};
use kollama_kernels::{DType, Device, Matrix};

/// The reference, and every path on one, two and four threads.
fn devices() -> Vec<Device> {
    let cpus = [1, 2, 4].into_iter().flat_map(cpu_devices);
    [Device::reference()].into_iter().chain(cpus).collect()
}

fn rounded(values: &Values) -> Values {
    values.map(|x| bf16::from_f32(x).to_f32())
}

/// An output of a dtype that nobody has written yet.
fn unwritten(device: &Device, (rows, columns): (usize, usize), dtype: DType) -> Matrix {
    Values { rows, columns, values: vec![f32::NAN; rows * columns] }.stored_as(dtype, device)
}

/// `run` gives its outputs of a dtype, from inputs that are bf16 and are stored as that dtype; only
/// the outputs that `is_rounded` says are stored so, too.
fn check<const N: usize>(
    case: &str,
    is_rounded: [bool; N],
    run: impl Fn(&Device, DType) -> [Matrix; N],
) {
    for device in devices() {
        let (wide, short) = (run(&device, DType::F32), run(&device, DType::Bf16));
        for (output, (wide, short)) in wide.iter().zip(&short).enumerate() {
            let expected = wide.to_vec().into_iter().map(|x| match is_rounded[output] {
                true => bf16::from_f32(x).to_f32().to_bits(),
                false => x.to_bits(),
            });
            let found = short.to_vec().into_iter().map(f32::to_bits);
            assert!(found.eq(expected), "{case}: output {output} on {}", device.name());
        }
    }
}

#[test]
fn attention_and_its_backward() {
    for case in AttentionCase::all() {
        let (input, heads) = (case.input(3.0), case.heads);
        let [queries, keys, values, d_out] =
            [&input.queries, &input.keys, &input.values, &input.d_out].map(rounded);
        let (rows, columns) = (queries.rows, queries.columns);
        let run = |device: &Device, dtype| {
            let on = |values: &Values| values.stored_as(dtype, device);
            let (queries, keys, values) = (on(&queries), on(&keys), on(&values));
            let qkv = Qkv { queries: &queries, keys: &keys, values: &values };
            let mut out = unwritten(device, (rows, columns), dtype);
            let mut log_sums = unwritten(device, (rows, heads.queries), DType::F32);
            ops::attention(&mut out, &mut log_sums, qkv, &case.spans, heads);
            [out, log_sums]
        };
        check(&case.name(), [true, false], run);
        let backward = |device: &Device, dtype| {
            // Of f32 or of bf16, the result is what bf16 can hold.
            let [out, log_sums] = run(device, DType::Bf16);
            let out = Values { rows, columns, values: out.to_vec() };
            let on = |values: &Values| values.stored_as(dtype, device);
            let (queries, keys, values) = (on(&queries), on(&keys), on(&values));
            let mut d = [&input.d_queries, &input.d_keys, &input.d_values].map(|d| d.on(device));
            let [d_queries, d_keys, d_values] = &mut d;
            ops::attention_backward(
                QkvGradients { queries: d_queries, keys: d_keys, values: d_values },
                &on(&d_out),
                AttentionResult { out: &on(&out), log_sums: &log_sums },
                Qkv { queries: &queries, keys: &keys, values: &values },
                &case.spans,
                heads,
            );
            d
        };
        check(&format!("backward, {}", case.name()), [false; 3], backward);
    }
}
