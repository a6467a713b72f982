//! Operations that take and give bf16: on every device they widen exactly, compute as with f32 and
//! round once at the end, so they give the bits of the f32 operation, rounded.

use crate::attention_cases::AttentionCase;
use crate::numbers::{Values, cpu_devices, turns};
use crate::shapes::{EPSILON, rounded, shapes};
use kollama_kernels::ops::{self, AdamW, AttentionResult, Before, Qkv, QkvGradients};
use kollama_kernels::{DType, Device, Matrix};

/// The reference, and every path on one, two and four threads.
fn devices() -> Vec<Device> {
    let cpus = [1, 2, 4].into_iter().flat_map(cpu_devices);
    [Device::reference()].into_iter().chain(cpus).collect()
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
                true => rounded(x).to_bits(),
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
            [&input.queries, &input.keys, &input.values, &input.d_out].map(|x| x.map(rounded));
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

#[test]
fn norms_and_copies() {
    for (rows, columns) in shapes() {
        let (x, weight) = (Values::random(1, rows, columns), Values::random(2, 1, columns));
        check(&format!("[{rows}, {columns}]"), [true, true, false], |device, dtype| {
            let [mut normal, mut copy] = [0; 2].map(|_| unwritten(device, (rows, columns), dtype));
            let x = x.on(device);
            ops::rms_norm(&mut normal, &x, &weight.on(device), EPSILON);
            ops::copy_rows(&mut copy, 0, &x, 0..rows);
            let mut back = unwritten(device, (rows, columns), DType::F32);
            ops::copy_rows(
                &mut back,
                0,
                &values_of(&copy).map(rounded).stored_as(dtype, device),
                0..rows,
            );
            [normal, copy, back]
        });
    }
}

fn values_of(matrix: &Matrix) -> Values {
    Values { rows: matrix.rows(), columns: matrix.columns(), values: matrix.to_vec() }
}

#[test]
fn turned_heads() {
    for (heads, size) in [(1, 2), (3, 6), (4, 10), (3, 64), (2, 128)] {
        for rows in [1, 7, 100] {
            let x = Values::random(1, rows, heads * size).map(rounded);
            let turns = turns(2, rows, size);
            check(&format!("{rows} rows, {heads} heads of {size}"), [true; 2], |device, dtype| {
                let [mut out, mut d_x] = [0; 2].map(|_| x.stored_as(dtype, device));
                ops::rope(&mut out, &turns.on(device), heads);
                ops::rope_backward(&mut d_x, &turns.on(device), heads);
                [out, d_x]
            });
        }
    }
}

#[test]
fn gates_and_their_gradients() {
    for (rows, columns) in shapes() {
        let random = |seed| Values::random(seed, rows, columns).map(|x| rounded(8.0 * x));
        let inputs = [1, 2, 3, 4, 5].map(random);
        check(&format!("[{rows}, {columns}]"), [true; 3], |device, dtype| {
            let [gate, up, d_out, mut d_gate, mut d_up] =
                inputs.each_ref().map(|x| x.stored_as(dtype, device));
            let mut out = unwritten(device, (rows, columns), dtype);
            ops::swiglu(&mut out, &gate, &up);
            ops::swiglu_backward(&mut d_gate, &mut d_up, &d_out, &gate, &up, Before::Others);
            [out, d_gate, d_up]
        });
    }
}

#[test]
fn parameters_taken_apart_are_updated_as_whole_ones() {
    let update = AdamW {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        gradient_scale: 0.7,
        step: 3,
    };
    for (rows, columns) in shapes().into_iter().chain([(3, 1100)]) {
        let [p, g, m] = [1, 2, 3].map(|seed| Values::random(seed, rows, columns));
        let v = m.map(|m| m * m);
        check(&format!("[{rows}, {columns}]"), [false, true], |device, dtype| {
            let [mut p, g, mut m, mut v] = [&p, &g, &m, &v].map(|x| x.on(device));
            let updated = rows / 3..rows;
            if dtype == DType::F32 {
                ops::adamw(&mut p, None, &g, &mut m, &mut v, updated, update);
                let same = values_of(&p).on(device);
                return [p, same];
            }
            let make = |dtype| Matrix::zeros(device, rows, columns, dtype).unwrap();
            let (mut rounded, mut remainder) = (make(DType::Bf16), make(DType::Remainder));
            ops::split_rows(&mut rounded, &mut remainder, 0, &p);
            let lower = Some(&mut remainder);
            ops::adamw(&mut rounded, lower, &g, &mut m, &mut v, updated, update);
            ops::join_rows(&mut p, &rounded, &remainder, 0..rows);
            [p, rounded]
        });
    }
}
