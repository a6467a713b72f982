//! The output projection with its losses and gradients, in chunks, and losses of chosen labels.

use crate::agreement::Agreement;
use crate::numbers::{Values, cpu_devices};
use crate::packed::packed;
use crate::shapes::{ROWS, TOLERANCE, ids, unwritten};
use kollama_kernels::ops::{self, Before, HeadGradients, NOT_COUNTED};
use kollama_kernels::{DType, Device, Matrix};

/// An output projection and the labels of its rows.
pub struct Head {
    pub hidden: Values,
    weight: Values,
    d_hidden: Values,
    d_weight: Values,
    pub labels: Vec<i32>,
    chunk: usize,
    scale: f32,
    /// Of `hidden` and `weight`, and of logits that become gradients.
    dtype: DType,
}

impl Head {
    /// Every third label is not counted.
    pub fn new(rows: usize, columns: usize, vocabulary: usize, chunk: usize) -> Head {
        let label = |(t, id): (usize, u32)| if t % 3 == 1 { NOT_COUNTED } else { id as i32 };
        Head {
            hidden: Values::random(1, rows, columns).map(|x| 2.0 * x),
            weight: Values::random(2, vocabulary, columns),
            d_hidden: Values::random(3, rows, columns),
            d_weight: Values::random(4, vocabulary, columns),
            labels: ids(rows, vocabulary).into_iter().enumerate().map(label).collect(),
            chunk,
            scale: 0.5,
            dtype: DType::F32,
        }
    }

    /// Losses and gradients, then losses again without asking for gradients.
    pub fn run(&self, device: &Device) -> Vec<Vec<f32>> {
        let (hidden, weight) = (&self.hidden, &self.weight);
        let [hidden, weight] = [hidden, weight].map(|x| x.stored_as(self.dtype, device));
        let (mut d_hidden, mut d_weight) = (self.d_hidden.on(device), self.d_weight.on(device));
        let mut losses = unwritten(device, hidden.rows(), 2);
        let room = Values::random(9, self.chunk, weight.rows());
        let mut logits = room.stored_as(self.dtype, device);
        let (d_hidden, d_weight) = (&mut d_hidden, &mut d_weight);
        let gradients =
            HeadGradients { d_hidden, d_weight, scale: self.scale, before: Before::Others };
        let labels = &self.labels;
        ops::cross_entropy(&mut losses, Some(gradients), &mut logits, &hidden, &weight, labels);
        let with_gradients = losses.to_vec();
        let bf16 = self.weight.stored_as(DType::Bf16, device);
        let mut logits = room.on(device);
        ops::cross_entropy(&mut losses, None, &mut logits, &hidden, &bf16, labels);
        vec![with_gradients, d_hidden.to_vec(), d_weight.to_vec(), losses.to_vec()]
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
        let (z, z_terms) = (product(&self.hidden, &self.weight), product(&hidden, &weight));
        let mut losses = vec![0.0; 2 * rows];
        let mut d_z = vec![0.0; rows * vocabulary];
        for (t, &label) in self.labels.iter().enumerate().filter(|(_, label)| **label >= 0) {
            let row = t * vocabulary..(t + 1) * vocabulary;
            let largest = z_terms[row.clone()].iter().copied().fold(1.0, f32::max);
            let sum: f32 = z[row.clone()].iter().map(|z| z.exp()).sum();
            losses[2 * t] = 2.0 * largest;
            for (d_z, z) in d_z[row.clone()].iter_mut().zip(&z[row]) {
                *d_z = self.scale * z.exp() / sum * largest;
            }
            d_z[t * vocabulary + label as usize] += self.scale;
        }
        let d_z = Matrix::from_values(reference, rows, vocabulary, &d_z)
            .expect("a small matrix fits into memory");
        let mut d_hidden = self.d_hidden.map(f32::abs).on(reference);
        let mut d_weight = self.d_weight.map(f32::abs).on(reference);
        ops::matmul_backward_input(&mut d_hidden, &d_z, &weight.on(reference), Before::Others);
        ops::matmul_backward_weight(&mut d_weight, &d_z, &hidden.on(reference), Before::Others);
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

/// A gradient of a logit between two bf16 numbers may be rounded to either, which is rare and a
/// small part of a sum; where none were rounded, sums would be off by 1e-4 and more.
const SOME_ROUNDED_APART: f64 = 5e-5;

#[test]
fn cross_entropy_of_bf16_equals_the_reference() {
    for (rows, columns, vocabulary) in [(1, 1, 1), (7, 5, 2), (31, 33, 257), (64, 100, 1003)] {
        let mut gradients =
            Agreement::within(SOME_ROUNDED_APART, "cross_entropy of bf16, gradients");
        let mut losses = Agreement::within(TOLERANCE, "cross_entropy of bf16, losses");
        for chunk in [1, 32, rows] {
            let mut head = Head::new(rows, columns, vocabulary, chunk);
            head.dtype = DType::Bf16;
            // Products without an error, so that all round them alike.
            let eighths = |x: f32| (8.0 * x).round() / 8.0;
            (head.hidden, head.weight) = (head.hidden.map(eighths), head.weight.map(eighths));
            let case = format!("[{rows}, {columns}], {vocabulary} entries, chunks of {chunk}");
            let mut terms = head.terms(losses.reference());
            let last = terms.pop().expect("four outputs");
            gradients.check(&case, &terms, |device| head.run(device)[..3].to_vec());
            losses.check(&case, &[terms[0].clone(), last], |device| {
                let outputs = head.run(device);
                vec![outputs[0].clone(), outputs[3].clone()]
            });
        }
    }
}

#[test]
fn cross_entropy_survives_logits_of_thousands() {
    let mut agreement = Agreement::within(TOLERANCE, "cross_entropy, large logits");
    let mut head = Head::new(31, 33, 257, 8);
    head.hidden = head.hidden.map(|x| 1000.0 * x);
    // The terms of the losses alone: in `f32` their exponentials would overflow.
    let largest = head.hidden.values.iter().map(|x| x.abs()).fold(0.0, f32::max) * 33.0;
    let losses = vec![largest; 62];
    agreement.check("[31, 33], 257 entries", &[losses.clone(), losses], |device| {
        let outputs = head.run(device);
        assert!(outputs.iter().flatten().all(|x| x.is_finite()), "{}", device.name());
        vec![outputs[0].clone(), outputs[3].clone()]
    });
}

#[test]
fn cross_entropy_adds_up_a_large_vocabulary_of_nearly_equal_logits() {
    let mut agreement = Agreement::within(1e-6, "cross_entropy, 128,256 entries");
    let mut head = Head::new(1, 2, 128_256, 1);
    head.hidden = head.hidden.map(|x| x / 1024.0);
    head.d_weight = head.d_weight.map(|_| 0.0);
    // One row adds one term to a gradient of the weight, so nothing cancels but in `d_hidden`.
    let run = |device: &Device| {
        let [losses, _, d_weight, of_bf16] = head.run(device).try_into().expect("four outputs");
        vec![losses, d_weight, of_bf16]
    };
    let mut scales = run(agreement.reference());
    scales.iter_mut().flatten().for_each(|x| *x = x.abs());
    agreement.check("[1, 2]", &scales, run);
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
        assert!(outputs[0].chunks_exact(2).all(|row| row[1] == 1.0), "{}", device.name());
        outputs
    });
    head.labels = labels.iter().map(|label| label + 20).collect();
    let terms = head.terms(agreement.reference());
    agreement.check("the second", &terms, |device| {
        let outputs = head.run(device);
        assert!(outputs[0].chunks_exact(2).all(|row| row[1] == 0.0), "{}", device.name());
        outputs
    });
    head.labels = vec![NOT_COUNTED; 40];
    let terms = head.terms(agreement.reference());
    agreement.check("no label", &terms, |device| head.run(device));
}

fn stored_as(values: &Values, dtype: DType, device: &Device) -> Matrix {
    if dtype.is_packed() { packed(values, dtype, device) } else { values.stored_as(dtype, device) }
}

/// Rows with several labels, with one, with none, whole chunks with none: as if each stood alone.
#[test]
fn labels_of_a_row_cost_what_each_would_cost_alone() {
    for dtype in [DType::F32, DType::Bf16, DType::PackedBf16, DType::Q8] {
        let head = Head::new(40, 64, 257, 8);
        let asked = [(0, 3), (0, 4), (0, 3), (2, 256), (7, 0), (8, 1), (33, 9), (33, 8), (39, 5)];
        for device in [1, 3].into_iter().flat_map(cpu_devices).chain([Device::reference()]) {
            let (hidden, weight) = (&head.hidden, stored_as(&head.weight, dtype, &device));
            let mut logits = unwritten(&device, 8, 257);
            let mut found = unwritten(&device, asked.len(), 2);
            let all = hidden.on(&device);
            ops::label_losses(&mut found, &mut logits, &all, &weight, &asked);
            for (&(row, label), found) in asked.iter().zip(found.to_vec().chunks(2)) {
                let values = hidden.values[row as usize * 64..][..64].to_vec();
                let row = Values { rows: 1, columns: 64, values }.on(&device);
                let mut alone = unwritten(&device, 1, 2);
                let labels = [label as i32];
                ops::cross_entropy(&mut alone, None, &mut logits, &row, &weight, &labels);
                assert_eq!(found, alone.to_vec(), "{dtype:?} on {}", device.name());
            }
        }
    }
}

/// The first maximum among the logits of every row.
fn best_entries(head: &Head) -> Vec<i32> {
    let logit = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>();
    let best = |x: &[f32]| {
        let z: Vec<f32> = head.weight.values.chunks_exact(16).map(|w| logit(x, w)).collect();
        (1..z.len()).fold(0, |best, c| if z[c] > z[best] { c } else { best }) as i32
    };
    head.hidden.values.chunks_exact(16).map(best).collect()
}
