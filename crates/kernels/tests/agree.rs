//! Every operation on every path of the processor, on ragged shapes, equals the reference, and
//! gives the same bits for any number of threads. Gradients begin at random values, which shows
//! that they are added to; plain outputs begin as NaN, which shows that they are overwritten.

mod agreement;
mod attention_terms;
mod numbers;

use agreement::Agreement;
use attention_terms::{AttentionCase, AttentionInput};
use kollama_kernels::ops::{self, AdamW, AttentionResult, HeadGradients, NOT_COUNTED};
use kollama_kernels::ops::{Qkv, QkvGradients};
use kollama_kernels::{DType, Device, Matrix};
use numbers::{Values, turns};

const ROWS: [usize; 8] = [1, 2, 3, 7, 13, 31, 64, 100];
const COLUMNS: [usize; 6] = [1, 5, 16, 33, 100, 257];
const EPSILON: f32 = 1e-5;

/// 16 roundings of `f32`, in units of the terms. Plain loops in `f32` need up to 12 of them here
/// (4099 squares, all of one sign, added one by one); blocked sums need fewer. A term too much, too
/// few or in the wrong place costs thousands.
const TOLERANCE: f64 = 16.0 * (f32::EPSILON / 2.0) as f64;

/// Rows, columns: all ragged ones and two that are worth dividing among threads.
fn shapes() -> Vec<(usize, usize)> {
    let ragged = ROWS
        .iter()
        .flat_map(|&rows| COLUMNS.map(|columns| (rows, columns)));
    ragged.chain([(5, 4099), (700, 520)]).collect()
}

/// Rows, input columns, output columns.
fn matmul_shapes() -> Vec<(usize, usize, usize)> {
    let ragged = ROWS
        .iter()
        .flat_map(|&rows| COLUMNS.map(|columns| (rows, columns)));
    let ragged = ragged.flat_map(|(rows, inputs)| COLUMNS.map(|outputs| (rows, inputs, outputs)));
    ragged
        .chain([(1, 1300, 1100), (5, 700, 900), (210, 530, 330)])
        .collect()
}

fn unwritten(device: &Device, rows: usize, columns: usize) -> Matrix {
    Matrix::from_values(device, rows, columns, &vec![f32::NAN; rows * columns]).unwrap()
}

#[test]
fn matmul_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "matmul");
    for (rows, inputs, outputs) in matmul_shapes() {
        let (x, w) = (
            Values::random(1, rows, inputs),
            Values::random(2, outputs, inputs),
        );
        for dtype in [DType::F32, DType::Bf16] {
            let case = format!("[{rows}, {inputs}] by {dtype:?} [{outputs}, {inputs}]");
            agreement.check_sums(&case, &[&x, &w], |device, values| {
                let mut out = unwritten(device, rows, outputs);
                ops::matmul(
                    &mut out,
                    &values[0].on(device),
                    &values[1].stored_as(dtype, device),
                );
                vec![out.to_vec()]
            });
        }
    }
}

#[test]
fn matmul_backward_input_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "matmul_backward_input");
    for (rows, inputs, outputs) in matmul_shapes() {
        let (d_out, w) = (
            Values::random(1, rows, outputs),
            Values::random(2, outputs, inputs),
        );
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
        let (d_out, x) = (
            Values::random(1, rows, outputs),
            Values::random(2, rows, inputs),
        );
        let start = Values::random(3, outputs, inputs);
        let case = format!("[{rows}, {outputs}] by [{rows}, {inputs}]");
        agreement.check_sums(&case, &[&start, &d_out, &x], |device, values| {
            let mut d_w = values[0].on(device);
            ops::matmul_backward_weight(&mut d_w, &values[1].on(device), &values[2].on(device));
            vec![d_w.to_vec()]
        });
    }
}

/// Numbers below a bound, some of them more than once.
fn ids(count: usize, below: usize) -> Vec<u32> {
    let pick = |value: f32| ((value + 1.0) / 2.0 * below as f32) as u32;
    Values::random(7, 1, count)
        .values
        .into_iter()
        .map(pick)
        .collect()
}

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
        let (start, d_out) = (
            Values::random(1, 19, columns),
            Values::random(2, rows, columns),
        );
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

#[test]
fn rms_norm_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "rms_norm");
    for (rows, columns) in shapes() {
        let (x, weight) = (
            Values::random(1, rows, columns),
            Values::random(2, 1, columns),
        );
        let case = format!("[{rows}, {columns}]");
        agreement.check_sums(&case, &[&x, &weight], |device, values| {
            let mut out = unwritten(device, rows, columns);
            ops::rms_norm(
                &mut out,
                &values[0].on(device),
                &values[1].on(device),
                EPSILON,
            );
            vec![out.to_vec()]
        });
    }
}

#[test]
fn rms_norm_backward_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "rms_norm_backward");
    for (rows, columns) in shapes() {
        let (x, weight) = (
            Values::random(1, rows, columns),
            Values::random(2, 1, columns),
        );
        let d_out = Values::random(3, rows, columns);
        let starts = (
            Values::random(4, rows, columns),
            Values::random(5, 1, columns),
        );
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
        let (x, d_out) = (
            &x.values[t * columns..][..columns],
            &d_out.values[t * columns..],
        );
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

#[test]
fn rope_and_its_backward_equal_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "rope");
    for (heads, size) in [(1, 2), (3, 6), (4, 10), (8, 16), (3, 64), (2, 128)] {
        for rows in ROWS.into_iter().chain([700]) {
            let (x, turns) = (Values::random(1, rows, heads * size), turns(2, rows, size));
            let pair = |i: usize| {
                if i % size < size / 2 {
                    i + size / 2
                } else {
                    i - size / 2
                }
            };
            let terms = |i: usize| x.values[i].abs() + x.values[pair(i)].abs();
            let scales: Vec<f32> = (0..x.values.len()).map(terms).collect();
            let case = format!("{rows} rows, {heads} heads of {size}");
            agreement.check(&case, &[scales.clone(), scales], |device| {
                let (mut out, mut d_x, turns) = (x.on(device), x.on(device), turns.on(device));
                ops::rope(&mut out, &turns, heads);
                ops::rope_backward(&mut d_x, &turns, heads);
                vec![out.to_vec(), d_x.to_vec()]
            });
        }
    }
}

fn run_attention(device: &Device, case: &AttentionCase, input: &AttentionInput) -> [Matrix; 2] {
    let (rows, heads) = (case.spans.rows(), case.heads);
    let mut out = unwritten(device, rows, heads.query_columns());
    let mut log_sums = unwritten(device, rows, heads.queries);
    let (queries, keys) = (input.queries.on(device), input.keys.on(device));
    let values = input.values.on(device);
    let qkv = Qkv {
        queries: &queries,
        keys: &keys,
        values: &values,
    };
    ops::attention(&mut out, &mut log_sums, qkv, &case.spans, heads);
    [out, log_sums]
}

#[test]
fn attention_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "attention");
    for case in AttentionCase::all() {
        let input = case.input(3.0);
        let terms = case.terms(&input);
        agreement.check(&case.name(), &[terms.out, terms.log_sums], |device| {
            run_attention(device, &case, &input)
                .iter()
                .map(Matrix::to_vec)
                .collect()
        });
    }
}

#[test]
fn attention_survives_scores_of_thousands() {
    let mut agreement = Agreement::within(TOLERANCE, "attention, large scores");
    for case in AttentionCase::all() {
        let input = case.input(30_000.0);
        let terms = case.terms(&input);
        agreement.check(&case.name(), &[terms.out, terms.log_sums], |device| {
            run_attention(device, &case, &input)
                .iter()
                .map(Matrix::to_vec)
                .collect()
        });
    }
}

#[test]
fn attention_backward_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "attention_backward");
    for case in AttentionCase::all() {
        let input = case.input(3.0);
        let terms = case.terms(&input);
        let scales = [terms.d_queries, terms.d_keys, terms.d_values];
        agreement.check(&case.name(), &scales, |device| {
            let [out, log_sums] = run_attention(device, &case, &input);
            let mut starts =
                [&input.d_queries, &input.d_keys, &input.d_values].map(|d| d.on(device));
            let (queries, keys) = (input.queries.on(device), input.keys.on(device));
            let values = input.values.on(device);
            let [d_queries, d_keys, d_values] = &mut starts;
            ops::attention_backward(
                QkvGradients {
                    queries: d_queries,
                    keys: d_keys,
                    values: d_values,
                },
                &input.d_out.on(device),
                AttentionResult {
                    out: &out,
                    log_sums: &log_sums,
                },
                Qkv {
                    queries: &queries,
                    keys: &keys,
                    values: &values,
                },
                &case.spans,
                case.heads,
            );
            starts.iter().map(Matrix::to_vec).collect()
        });
    }
}

#[test]
fn swiglu_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "swiglu");
    for (rows, columns) in shapes() {
        let gate = Values::random(1, rows, columns).map(|gate| 12.0 * gate);
        let up = Values::random(2, rows, columns);
        let run = |device: &Device| {
            let mut out = unwritten(device, rows, columns);
            ops::swiglu(&mut out, &gate.on(device), &up.on(device));
            vec![out.to_vec()]
        };
        let scales = run(agreement.reference())[0]
            .iter()
            .map(|out| out.abs())
            .collect();
        agreement.check(&format!("[{rows}, {columns}]"), &[scales], run);
    }
}

#[test]
fn swiglu_survives_gates_of_thousands() {
    let mut agreement = Agreement::within(TOLERANCE, "swiglu, large gates");
    let gate = Values::random(1, 100, 33).map(|gate| 10_000.0 * gate * gate * gate);
    let scales = gate.map(|gate| 1.0 + gate.abs()).values;
    agreement.check(
        "[100, 33]",
        &[scales.clone(), scales.clone(), scales],
        |device| {
            let ones = gate.map(|_| 1.0).on(device);
            let [mut out, mut d_gate, mut d_up] = [0; 3].map(|_| gate.map(|_| 0.0).on(device));
            ops::swiglu(&mut out, &gate.on(device), &ones);
            ops::swiglu_backward(&mut d_gate, &mut d_up, &ones, &gate.on(device), &ones);
            vec![out.to_vec(), d_gate.to_vec(), d_up.to_vec()]
        },
    );
}

#[test]
fn swiglu_backward_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "swiglu_backward");
    for (rows, columns) in shapes() {
        let gate = Values::random(1, rows, columns).map(|gate| 12.0 * gate);
        let [up, d_out, d_gate, d_up] =
            [2, 3, 4, 5].map(|seed| Values::random(seed, rows, columns));
        let sigma = gate.map(|gate| 1.0 / (1.0 + (-gate).exp())).values;
        let d_gate_terms = |i: usize| {
            let slope = sigma[i] * (1.0 + gate.values[i].abs() * (1.0 - sigma[i]));
            d_gate.values[i].abs() + (d_out.values[i] * up.values[i]).abs() * slope
        };
        let d_up_terms =
            |i: usize| d_up.values[i].abs() + (d_out.values[i] * gate.values[i]).abs() * sigma[i];
        let scales = [
            (0..sigma.len()).map(d_gate_terms).collect(),
            (0..sigma.len()).map(d_up_terms).collect(),
        ];
        agreement.check(&format!("[{rows}, {columns}]"), &scales, |device| {
            let (mut d_gate, mut d_up) = (d_gate.on(device), d_up.on(device));
            let (d_out, gate, up) = (d_out.on(device), gate.on(device), up.on(device));
            ops::swiglu_backward(&mut d_gate, &mut d_up, &d_out, &gate, &up);
            vec![d_gate.to_vec(), d_up.to_vec()]
        });
    }
}

#[test]
fn add_copy_and_clear_are_exact() {
    let mut agreement = Agreement::within(0.0, "add, copy_rows, clear_rows");
    for (rows, columns) in shapes() {
        let (x, start) = (
            Values::random(1, rows, columns),
            Values::random(2, rows + 1, columns),
        );
        agreement.check_sums(
            &format!("[{rows}, {columns}]"),
            &[&x, &start],
            |device, values| {
                let (mut x, mut out) = (values[0].on(device), values[1].on(device));
                ops::copy_rows(&mut out, 1, &x, 0..rows);
                let copied = out.to_vec();
                out.clear_rows(rows / 2..rows);
                let cleared = out.to_vec();
                out.set_rows(rows);
                ops::add(&mut x, &out);
                vec![copied, cleared, x.to_vec()]
            },
        );
    }
}

/// An output projection and the labels of its rows.
struct Head {
    hidden: Values,
    weight: Values,
    d_hidden: Values,
    d_weight: Values,
    labels: Vec<i32>,
    chunk: usize,
    scale: f32,
}

impl Head {
    /// Every third label is not counted.
    fn new(rows: usize, columns: usize, vocabulary: usize, chunk: usize) -> Head {
        let label = |(t, id): (usize, u32)| if t % 3 == 1 { NOT_COUNTED } else { id as i32 };
        Head {
            hidden: Values::random(1, rows, columns).map(|x| 2.0 * x),
            weight: Values::random(2, vocabulary, columns),
            d_hidden: Values::random(3, rows, columns),
            d_weight: Values::random(4, vocabulary, columns),
            labels: ids(rows, vocabulary)
                .into_iter()
                .enumerate()
                .map(label)
                .collect(),
            chunk,
            scale: 0.5,
        }
    }

    /// Losses and gradients, then losses again without asking for gradients.
    fn run(&self, device: &Device) -> Vec<Vec<f32>> {
        let (hidden, weight) = (self.hidden.on(device), self.weight.on(device));
        let (mut d_hidden, mut d_weight) = (self.d_hidden.on(device), self.d_weight.on(device));
        let mut losses = unwritten(device, hidden.rows(), 2);
        let mut logits = unwritten(device, self.chunk, weight.rows());
        let (d_hidden, d_weight) = (&mut d_hidden, &mut d_weight);
        let gradients = HeadGradients {
            d_hidden,
            d_weight,
            scale: self.scale,
        };
        let labels = &self.labels;
        ops::cross_entropy(
            &mut losses,
            Some(gradients),
            &mut logits,
            &hidden,
            &weight,
            labels,
        );
        let with_gradients = losses.to_vec();
        let bf16 = self.weight.stored_as(DType::Bf16, device);
        ops::cross_entropy(&mut losses, None, &mut logits, &hidden, &bf16, labels);
        vec![
            with_gradients,
            d_hidden.to_vec(),
            d_weight.to_vec(),
            losses.to_vec(),
        ]
    }

    /// Absolute terms of what [`Head::run`] gives. An exponential multiplies the error of its
    /// argument, so a probability counts as often as its logit has terms.
    fn terms(&self, reference: &Device) -> Vec<Vec<f32>> {
        let (rows, vocabulary) = (self.hidden.rows, self.weight.rows);
        let product = |x: &Values, w: &Values| {
            let mut out = unwritten(reference, rows, vocabulary);
            ops::matmul(&mut out, &x.on(reference), &w.on(reference));
            out.to_vec()
        };
        let (hidden, weight) = (self.hidden.map(f32::abs), self.weight.map(f32::abs));
        let (z, z_terms) = (
            product(&self.hidden, &self.weight),
            product(&hidden, &weight),
        );
        let mut losses = vec![0.0; 2 * rows];
        let mut d_z = vec![0.0; rows * vocabulary];
        for (t, &label) in self
            .labels
            .iter()
            .enumerate()
            .filter(|(_, label)| **label >= 0)
        {
            let row = t * vocabulary..(t + 1) * vocabulary;
            let largest = z_terms[row.clone()].iter().copied().fold(1.0, f32::max);
            let sum: f32 = z[row.clone()].iter().map(|z| z.exp()).sum();
            losses[2 * t] = 2.0 * largest;
            for (d_z, z) in d_z[row.clone()].iter_mut().zip(&z[row]) {
                *d_z = self.scale * z.exp() / sum * largest;
            }
            d_z[t * vocabulary + label as usize] += self.scale;
        }
        let d_z = Matrix::from_values(reference, rows, vocabulary, &d_z).unwrap();
        let mut d_hidden = self.d_hidden.map(f32::abs).on(reference);
        let mut d_weight = self.d_weight.map(f32::abs).on(reference);
        ops::matmul_backward_input(&mut d_hidden, &d_z, &weight.on(reference));
        ops::matmul_backward_weight(&mut d_weight, &d_z, &hidden.on(reference));
        vec![losses.clone(), d_hidden.to_vec(), d_weight.to_vec(), losses]
    }
}

#[test]
fn cross_entropy_equals_the_reference_in_chunks_of_any_size() {
    let mut agreement = Agreement::within(TOLERANCE, "cross_entropy");
    for rows in ROWS {
        for (columns, vocabulary) in [(1, 1), (5, 2), (16, 33), (33, 257), (100, 1003)] {
            for chunk in [1, 3, 32, rows] {
                let head = Head::new(rows, columns, vocabulary, chunk);
                let case = format!("[{rows}, {columns}], {vocabulary} entries, chunks of {chunk}");
                let terms = head.terms(agreement.reference());
                agreement.check(&case, &terms, |device| head.run(device));
            }
        }
    }
}

#[test]
fn cross_entropy_survives_logits_of_thousands() {
    let mut agreement = Agreement::within(TOLERANCE, "cross_entropy, large logits");
    let mut head = Head::new(31, 33, 257, 8);
    head.hidden = head.hidden.map(|x| 1000.0 * x);
    // The terms of the losses alone: in `f32` their exponentials would overflow.
    let largest = head
        .hidden
        .values
        .iter()
        .map(|x| x.abs())
        .fold(0.0, f32::max)
        * 33.0;
    let losses = vec![largest; 62];
    agreement.check(
        "[31, 33], 257 entries",
        &[losses.clone(), losses],
        |device| {
            let outputs = head.run(device);
            assert!(
                outputs.iter().flatten().all(|x| x.is_finite()),
                "{}",
                device.name()
            );
            vec![outputs[0].clone(), outputs[3].clone()]
        },
    );
}

#[test]
fn cross_entropy_counts_the_first_of_equal_maxima_and_nothing_where_no_label_counts() {
    let mut agreement = Agreement::within(TOLERANCE, "cross_entropy, equal maxima");
    let mut head = Head::new(40, 16, 40, 7);
    // Whole numbers, so that no order of additions makes equal logits differ; rows c and c + 20 of
    // the weight are the same.
    head.hidden = head.hidden.map(|x| (3.0 * x).round());
    head.weight = head.weight.map(|x| (3.0 * x).round());
    let (first, second) = head.weight.values.split_at_mut(20 * 16);
    second.copy_from_slice(first);
    head.labels = best_entries(&head);
    let labels = head.labels.clone();
    let terms = head.terms(agreement.reference());
    agreement.check("the first", &terms, |device| {
        let outputs = head.run(device);
        assert!(
            outputs[0].chunks_exact(2).all(|row| row[1] == 1.0),
            "{}",
            device.name()
        );
        outputs
    });
    head.labels = labels.iter().map(|label| label + 20).collect();
    let terms = head.terms(agreement.reference());
    agreement.check("the second", &terms, |device| {
        let outputs = head.run(device);
        assert!(
            outputs[0].chunks_exact(2).all(|row| row[1] == 0.0),
            "{}",
            device.name()
        );
        outputs
    });
    head.labels = vec![NOT_COUNTED; 40];
    let terms = head.terms(agreement.reference());
    agreement.check("no label", &terms, |device| head.run(device));
}

/// The first maximum among the logits of every row.
fn best_entries(head: &Head) -> Vec<i32> {
    let logit = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>();
    let best = |x: &[f32]| {
        let z: Vec<f32> = head
            .weight
            .values
            .chunks_exact(16)
            .map(|w| logit(x, w))
            .collect();
        (1..z.len()).fold(0, |best, c| if z[c] > z[best] { c } else { best }) as i32
    };
    head.hidden.values.chunks_exact(16).map(best).collect()
}

#[test]
fn square_sum_is_taken_in_f64() {
    let reference = Device::reference();
    let devices = [1, 2, 3].map(numbers::cpu_devices);
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

#[test]
fn adamw_equals_the_reference_and_leaves_other_rows_alone() {
    let mut agreement = Agreement::within(TOLERANCE, "adamw");
    for (rows, columns) in shapes() {
        for step in [1, 2, 1000] {
            let update = AdamW {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-8,
                weight_decay: 0.1,
                gradient_scale: 0.7,
                step,
            };
            let [p, g, m] = [1, 2, 3].map(|seed| Values::random(seed, rows, columns));
            let v = Values::random(4, rows, columns).map(|v| v * v);
            let run = |device: &Device, [p, g, m, v]: [&Values; 4]| {
                let (mut p, g) = (p.on(device), g.on(device));
                let (mut m, mut v) = (m.on(device), v.on(device));
                ops::adamw(&mut p, &g, &mut m, &mut v, rows / 3..rows, update);
                vec![p.to_vec(), m.to_vec(), v.to_vec()]
            };
            let absolute = [&p, &g, &m].map(|x| x.map(f32::abs));
            let mut scales = run(
                agreement.reference(),
                [&absolute[0], &absolute[1], &absolute[2], &v],
            );
            // What was taken from a parameter is a term as well.
            for (scale, p) in scales[0].iter_mut().zip(&absolute[0].values) {
                *scale = 2.0 * p - *scale;
            }
            let case = format!("[{rows}, {columns}], step {step}");
            agreement.check(&case, &scales, |device| run(device, [&p, &g, &m, &v]));
        }
    }
}

/// A training run that has gone wrong must say so, on every device and in the same places.
#[test]
fn not_a_number_is_passed_on_and_never_hidden() {
    let mut agreement = Agreement::within(1e-5, "not a number");
    let (rows, columns) = (7, 33);
    let mut x = Values::random(1, rows, columns);
    x.values[2 * columns + 20] = f32::NAN;
    let [w, d_out] = [2, 3].map(|seed| Values::random(seed, columns, columns));
    let d_out = Values {
        rows,
        values: d_out.values[..rows * columns].to_vec(),
        ..d_out
    };
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
        ops::swiglu_backward(&mut d_gate, &mut d_up, &d_out, &x, &d_out);
        assert!(ops::square_sum(&x, 0..rows).is_nan(), "{}", device.name());
        [product, normal, gated, d_x, d_gate, d_up]
            .iter()
            .map(Matrix::to_vec)
            .collect()
    });
    let mut head = Head::new(rows, columns, 50, 3);
    head.labels = vec![3; rows];
    head.hidden.values[2 * columns + 20] = f32::NAN;
    let scales: Vec<Vec<f32>> = head
        .run(agreement.reference())
        .iter()
        .map(|x| vec![columns as f32; x.len()])
        .collect();
    agreement.check("cross_entropy", &scales, |device| head.run(device));
    for case in AttentionCase::all() {
        let mut input = case.input(1.0);
        input.keys.values[0] = f32::NAN;
        let ones = run_attention(agreement.reference(), &case, &input)
            .map(|x| vec![10.0; x.rows() * x.columns()]);
        agreement.check(&format!("attention: {}", case.name()), &ones, |device| {
            run_attention(device, &case, &input)
                .iter()
                .map(Matrix::to_vec)
                .collect()
        });
    }
}
