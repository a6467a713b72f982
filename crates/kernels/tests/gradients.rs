//! Every backward, on the reference and on every path of the processor, equals central differences
//! of the forward of the same device. This shows that forward and backward belong together in
//! `f32`; the formulae themselves are checked a million times finer, in `f64`, at the foot of the
//! files of `src/reference/`.

mod numbers;

use kollama_kernels::ops::{
    self, AttentionResult, Before, HeadGradients, NOT_COUNTED, Qkv, QkvGradients,
};
use kollama_kernels::{Device, Heads, Matrix, Span, Spans};
use numbers::{Values, cpu_devices, turns};

/// Outputs are rounded by about 6e-8 of their size, so a difference of two is off by 6e-8 / `STEP`
/// = 8e-6 for every output that an element reaches, at most some dozen here; the curvature of the
/// forward adds about `STEP²` = 6e-5. A missing term or factor is off by 1e-1 and more.
const STEP: f32 = 1.0 / 128.0;
const TOLERANCE: f64 = 1e-3;

fn devices() -> Vec<Device> {
    [Device::reference()].into_iter().chain(cpu_devices(2)).collect()
}

fn zeros(device: &Device, rows: usize, columns: usize) -> Matrix {
    Matrix::zeros(device, rows, columns, kollama_kernels::DType::F32)
        .expect("a small matrix fits into memory")
}

/// The loss of these tests: outputs weighted with what the backward is given as their gradient.
fn weighted(out: &Matrix, d_out: &Values) -> f64 {
    let terms = out.to_vec().into_iter().zip(&d_out.values);
    terms.map(|(out, &d_out)| f64::from(out) * f64::from(d_out)).sum()
}

fn assert_gradient(name: &str, gradient: &Matrix, x: &Values, loss: impl Fn(&Values) -> f64) {
    let gradient = gradient.to_vec();
    assert_eq!(gradient.len(), x.values.len(), "{name}");
    let mut worst = 0f64;
    for (i, &found) in gradient.iter().enumerate() {
        let (mut above, mut below) = (x.clone(), x.clone());
        above.values[i] += STEP;
        below.values[i] -= STEP;
        let distance = f64::from(above.values[i]) - f64::from(below.values[i]);
        let expected = (loss(&above) - loss(&below)) / distance;
        let error = (f64::from(found) - expected).abs() / expected.abs().max(1.0);
        assert!(error <= TOLERANCE, "{name}, element {i}: {found}, {expected} by differences");
        worst = worst.max(error);
    }
    println!("{name}: worst error {worst:.1e}");
}

#[test]
fn matmul_backwards_equal_finite_differences() {
    let (x, w, d_out) = (Values::random(1, 3, 9), Values::random(2, 5, 9), Values::random(3, 3, 5));
    for device in &devices() {
        let loss = |x: &Values, w: &Values| {
            let mut out = zeros(device, 3, 5);
            ops::matmul(&mut out, &x.on(device), &w.on(device));
            weighted(&out, &d_out)
        };
        let (mut d_x, mut d_w) = (zeros(device, 3, 9), zeros(device, 5, 9));
        ops::matmul_backward_input(&mut d_x, &d_out.on(device), &w.on(device), Before::Others);
        ops::matmul_backward_weight(&mut d_w, &d_out.on(device), &x.on(device), Before::Others);
        assert_gradient(&format!("d_x on {}", device.name()), &d_x, &x, |x| loss(x, &w));
        assert_gradient(&format!("d_w on {}", device.name()), &d_w, &w, |w| loss(&x, w));
    }
}

#[test]
fn embedding_backward_equals_finite_differences() {
    let (table, d_out) = (Values::random(1, 5, 7), Values::random(2, 6, 7));
    let ids = [4, 0, 4, 2, 4, 0];
    for device in &devices() {
        let mut d_table = zeros(device, 5, 7);
        ops::embedding_backward(&mut d_table, &d_out.on(device), &ids);
        assert_gradient(&format!("d_table on {}", device.name()), &d_table, &table, |table| {
            let mut out = zeros(device, 6, 7);
            ops::embedding(&mut out, &table.on(device), &ids);
            weighted(&out, &d_out)
        });
    }
}

#[test]
fn rms_norm_backward_equals_finite_differences() {
    let (x, weight) = (Values::random(1, 3, 17), Values::random(2, 1, 17));
    let d_out = Values::random(3, 3, 17);
    let epsilon = 0.1;
    for device in &devices() {
        let loss = |x: &Values, weight: &Values| {
            let mut out = zeros(device, 3, 17);
            ops::rms_norm(&mut out, &x.on(device), &weight.on(device), epsilon);
            weighted(&out, &d_out)
        };
        let (mut d_x, mut d_weight) = (zeros(device, 3, 17), zeros(device, 1, 17));
        let (on_x, on_weight) = (x.on(device), weight.on(device));
        let d_outputs = d_out.on(device);
        ops::rms_norm_backward(&mut d_x, &mut d_weight, &d_outputs, &on_x, &on_weight, epsilon);
        let name = device.name();
        assert_gradient(&format!("d_x on {name}"), &d_x, &x, |x| loss(x, &weight));
        assert_gradient(&format!("d_weight on {name}"), &d_weight, &weight, |w| loss(&x, w));
    }
}

#[test]
fn rope_backward_equals_finite_differences() {
    let (x, turns, d_out) = (Values::random(1, 3, 20), turns(2, 3, 10), Values::random(3, 3, 20));
    for device in &devices() {
        let mut d_x = d_out.on(device);
        ops::rope_backward(&mut d_x, &turns.on(device), 2);
        assert_gradient(&format!("d_x of rope on {}", device.name()), &d_x, &x, |x| {
            let mut out = x.on(device);
            ops::rope(&mut out, &turns.on(device), 2);
            weighted(&out, &d_out)
        });
    }
}

#[test]
fn swiglu_backward_equals_finite_differences() {
    let gate = Values::random(1, 3, 19).map(|gate| 4.0 * gate);
    let (up, d_out) = (Values::random(2, 3, 19), Values::random(3, 3, 19));
    for device in &devices() {
        let loss = |gate: &Values, up: &Values| {
            let mut out = zeros(device, 3, 19);
            ops::swiglu(&mut out, &gate.on(device), &up.on(device));
            weighted(&out, &d_out)
        };
        let (mut d_gate, mut d_up) = (zeros(device, 3, 19), zeros(device, 3, 19));
        let (on_gate, on_up) = (gate.on(device), up.on(device));
        ops::swiglu_backward(
            &mut d_gate,
            &mut d_up,
            &d_out.on(device),
            &on_gate,
            &on_up,
            Before::Others,
        );
        let name = device.name();
        assert_gradient(&format!("d_gate on {name}"), &d_gate, &gate, |gate| loss(gate, &up));
        assert_gradient(&format!("d_up on {name}"), &d_up, &up, |up| loss(&gate, up));
    }
}

#[test]
fn attention_backward_equals_finite_differences_over_several_spans_and_grouped_heads() {
    check_attention(&Spans::of_lengths([1, 5, 3]), 9, Heads { queries: 4, keys: 2, size: 6 });
}

#[test]
fn attention_backward_equals_finite_differences_where_keys_are_more_than_queries() {
    let spans =
        Spans::new(vec![Span { queries: 0..2, keys: 7..12 }, Span { queries: 2..5, keys: 0..6 }]);
    check_attention(&spans, 13, Heads { queries: 3, keys: 1, size: 4 });
}

fn check_attention(spans: &Spans, key_rows: usize, heads: Heads) {
    let (rows, columns) = (spans.rows(), heads.query_columns());
    let (queries, d_out) = (Values::random(1, rows, columns), Values::random(4, rows, columns));
    let [keys, values] = [2, 3].map(|seed| Values::random(seed, key_rows, heads.key_columns()));
    for device in &devices() {
        let run = |[queries, keys, values]: [&Values; 3]| {
            let mut out = zeros(device, rows, columns);
            let mut log_sums = zeros(device, rows, heads.queries);
            let input = [queries, keys, values].map(|x| x.on(device));
            ops::attention(&mut out, &mut log_sums, qkv(&input), spans, heads);
            (out, log_sums)
        };
        let loss = |input: [&Values; 3]| weighted(&run(input).0, &d_out);
        let (out, log_sums) = run([&queries, &keys, &values]);
        let mut d_queries = zeros(device, rows, columns);
        let [mut d_keys, mut d_values] =
            [0; 2].map(|_| zeros(device, key_rows, heads.key_columns()));
        let input = [&queries, &keys, &values].map(|x| x.on(device));
        ops::attention_backward(
            QkvGradients { queries: &mut d_queries, keys: &mut d_keys, values: &mut d_values },
            &d_out.on(device),
            AttentionResult { out: &out, log_sums: &log_sums },
            qkv(&input),
            spans,
            heads,
        );
        let name = device.name();
        assert_gradient(&format!("d_queries on {name}"), &d_queries, &queries, |queries| {
            loss([queries, &keys, &values])
        });
        assert_gradient(&format!("d_keys on {name}"), &d_keys, &keys, |keys| {
            loss([&queries, keys, &values])
        });
        assert_gradient(&format!("d_values on {name}"), &d_values, &values, |values| {
            loss([&queries, &keys, values])
        });
    }
}

fn qkv([queries, keys, values]: &[Matrix; 3]) -> Qkv<'_> {
    Qkv { queries, keys, values }
}

#[test]
fn cross_entropy_gradients_equal_finite_differences_in_chunks() {
    let (hidden, weight) = (Values::random(1, 7, 9), Values::random(2, 11, 9));
    let labels = [3, NOT_COUNTED, 0, 10, 3, NOT_COUNTED, 7];
    let scale = 0.8;
    for device in &devices() {
        let run = |gradients: Option<HeadGradients<'_>>, hidden: &Values, weight: &Values| {
            let (mut losses, mut logits) = (zeros(device, 7, 2), zeros(device, 3, 11));
            let (hidden, weight) = (hidden.on(device), weight.on(device));
            ops::cross_entropy(&mut losses, gradients, &mut logits, &hidden, &weight, &labels);
            let sum: f64 = losses.to_vec().iter().step_by(2).map(|&loss| f64::from(loss)).sum();
            f64::from(scale) * sum
        };
        let (mut d_hidden, mut d_weight) = (zeros(device, 7, 9), zeros(device, 11, 9));
        let gradients = HeadGradients {
            d_hidden: &mut d_hidden,
            d_weight: &mut d_weight,
            scale,
            before: Before::Others,
        };
        run(Some(gradients), &hidden, &weight);
        let name = device.name();
        assert_gradient(&format!("d_hidden on {name}"), &d_hidden, &hidden, |hidden| {
            run(None, hidden, &weight)
        });
        assert_gradient(&format!("d_weight on {name}"), &d_weight, &weight, |weight| {
            run(None, &hidden, weight)
        });
    }
}
