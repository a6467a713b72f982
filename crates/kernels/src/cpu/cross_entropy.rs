//! Output projection, softmax and cross-entropy in chunks of rows, with their gradients: the logits
//! of all rows never exist at the same time.

use crate::backend::{Before, HeadGradientViews, rows_of};
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul;
use crate::cpu::matmul_result::{Round, Widen};
use crate::cpu::simd::{Simd, exp};
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::host_memory;
use crate::view::View;

/// Exponentials that are added in single precision, a multiple of any vector; the sums of the blocks
/// are added in double precision.
const BLOCK: usize = 2048;

/// See [`crate::ops::cross_entropy`].
pub fn forward_and_backward(
    machine: &Machine,
    scratch: &mut Scratch,
    (losses, gradients): (View, Option<HeadGradientViews>),
    logits: View,
    (hidden, weight): (View, View),
    labels: &[i32],
) {
    if let Some(HeadGradientViews { d_weight, before: Before::Nothing, .. }) = gradients
        && hidden.rows == 0
    {
        host_memory::clear(d_weight);
    }
    for start in (0..hidden.rows).step_by(logits.rows.max(1)) {
        let rows = start..(start + logits.rows).min(hidden.rows);
        let chunk = logits.row_range(0, rows.len());
        let hidden = rows_of(hidden, &rows);
        matmul::forward(machine, scratch, chunk, hidden, weight);
        let scale = gradients.map(|gradients| gradients.scale);
        let labels = &labels[rows.clone()];
        softmax_rows(machine, scratch, rows_of(losses, &rows), chunk, labels, scale);
        if let Some(HeadGradientViews { d_hidden, d_weight, before, .. }) = gradients {
            let d_hidden = rows_of(d_hidden, &rows);
            matmul::backward_input(machine, scratch, d_hidden, (chunk, weight), Before::Others);
            let before = if start == 0 { before } else { Before::Others };
            matmul::backward_weight(machine, scratch, d_weight, (chunk, hidden), before);
        }
    }
}

/// See [`crate::ops::label_losses`].
pub fn losses_of_labels(
    machine: &Machine,
    scratch: &mut Scratch,
    losses: View,
    logits: View,
    (hidden, weight): (View, View),
    asked: &[(u32, u32)],
) {
    let place_of = |row: usize| asked.partition_point(|&(asked, _)| (asked as usize) < row);
    for start in (0..hidden.rows).step_by(logits.rows.max(1)) {
        let rows = start..(start + logits.rows).min(hidden.rows);
        if place_of(rows.start) == place_of(rows.end) {
            continue;
        }
        let chunk = logits.row_range(0, rows.len());
        matmul::forward(machine, scratch, chunk, rows_of(hidden, &rows), weight);
        machine.pool.run(rows.len(), &|row, _| {
            let own = place_of(rows.start + row)..place_of(rows.start + row + 1);
            // SAFETY: rows of the running operation's outputs that no other task writes.
            let (out, logits) =
                unsafe { (rows_of(losses, &own).f32s_mut(), chunk.row_range(row, 1).f32s_mut()) };
            machine.instructions.run(LabelsOfRow { losses: out, logits, asked: &asked[own] });
        });
    }
}

/// Losses of the rows of `logits`, which become gradients if there is a scale. Rows of bf16 are widened
/// into memory of a thread, which never leaves its cache.
fn softmax_rows(
    machine: &Machine,
    scratch: &mut Scratch,
    losses: View,
    logits: View,
    labels: &[i32],
    scale: Option<f32>,
) {
    let columns = logits.columns;
    let room = if logits.dtype == DType::Bf16 { columns * machine.pool.threads() } else { 0 };
    let room = SharedMut::new(scratch.parts.floats(room));
    machine.pool.run(logits.rows, &|row, thread| {
        // SAFETY: rows of the running operation's outputs that no other task writes.
        let out = unsafe { losses.row_range(row, 1).f32s_mut() };
        let (label, stored) = (usize::try_from(labels[row]).ok(), logits.row_range(row, 1));
        let mut softmax = |logits| softmax_row(machine, out, logits, label, scale);
        if logits.dtype != DType::Bf16 {
            // SAFETY: as above.
            return softmax(unsafe { stored.f32s_mut() });
        }
        // SAFETY: as above, and every thread has a part of its own.
        let (stored, z) =
            unsafe { (stored.bf16s_mut(), room.part(thread * columns..(thread + 1) * columns)) };
        machine.instructions.run(Widen { out: z, x: stored });
        softmax(z);
        if scale.is_some() {
            machine.instructions.run(Round { out: stored, x: z });
        }
    });
}

fn softmax_row(
    machine: &Machine,
    losses: &mut [f32],
    logits: &mut [f32],
    label: Option<usize>,
    scale: Option<f32>,
) {
    match label {
        Some(label) => {
            let (loss, right) = machine.instructions.run(SoftmaxRow { logits, label, scale });
            losses.copy_from_slice(&[loss, f32::from(u8::from(right))]);
        }
        None => {
            losses.fill(0.0);
            logits.fill(0.0);
        }
    }
}

/// One row; returns the loss and whether the label is the first maximum.
struct SoftmaxRow<'a> {
    logits: &'a mut [f32],
    label: usize,
    scale: Option<f32>,
}

impl Kernel for SoftmaxRow<'_> {
    type Output = (f32, bool);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, bool) {
        let z = self.logits;
        let largest = largest_of(s, z);
        let of_label = z[self.label];
        let right = is_first_maximum(z, self.label, largest);
        let sum = sum_of_exponentials(s, z, largest);
        if let Some(scale) = self.scale {
            let factor = s.splat((f64::from(scale) / sum) as f32);
            for i in (0..z.len()).step_by(S::LANES) {
                s.store(s.mul(s.load(&z[i..]), factor), &mut z[i..]);
            }
            z[self.label] -= scale;
        }
        (loss(sum, largest, of_label), right)
    }
}

/// One row and the labels that are asked about it.
struct LabelsOfRow<'a> {
    /// Two for each label.
    losses: &'a mut [f32],
    logits: &'a mut [f32],
    asked: &'a [(u32, u32)],
}

impl Kernel for LabelsOfRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.asked.is_empty() {
            return;
        }
        let z = self.logits;
        let largest = largest_of(s, z);
        for (out, &(_, label)) in self.losses.chunks_exact_mut(2).zip(self.asked) {
            let right = is_first_maximum(z, label as usize, largest);
            out.copy_from_slice(&[z[label as usize], f32::from(u8::from(right))]);
        }
        let sum = sum_of_exponentials(s, z, largest);
        for out in self.losses.chunks_exact_mut(2) {
            out[0] = loss(sum, largest, out[0]);
        }
    }
}

/// `log Σ exp z − z[label]`, from the sum of `exp(z − largest)`.
fn loss(sum: f64, largest: f32, of_label: f32) -> f32 {
    (sum.ln() + f64::from(largest - of_label)) as f32
}

fn is_first_maximum(z: &[f32], label: usize, largest: f32) -> bool {
    z[label] == largest && z[..label].iter().all(|&z| z < largest)
}

/// `z ← exp(z − largest)`; returns the sum. A loop, since a closure that is called out of line is not
/// compiled for the vectors of the path.
#[inline(always)]
fn sum_of_exponentials<S: Simd>(s: S, z: &mut [f32], largest: f32) -> f64 {
    let mut sum = 0.0;
    for block in z.chunks_mut(BLOCK) {
        sum += f64::from(exponentials(s, block, largest));
    }
    sum
}

/// The largest value, NaN left out.
#[inline(always)]
fn largest_of<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut largest = s.splat(f32::NEG_INFINITY);
    let whole = x.len() / S::LANES * S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        largest = s.max(s.load(&x[i..]), largest);
    }
    x[whole..].iter().fold(s.largest(largest), |largest, &x| largest.max(x))
}

/// `x ← exp(x − largest)`; returns the sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, x: &mut [f32], largest: f32) -> f32 {
    let shift = s.splat(largest);
    let mut sum = s.splat(0.0);
    let whole = x.len() / S::LANES * S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        let e = exp(s, s.sub(s.load(&x[i..]), shift));
        sum = s.add(sum, e);
        s.store(e, &mut x[i..]);
    }
    let tail = &mut x[whole..];
    s.store(exp(s, s.sub(s.load(tail), shift)), tail);
    s.sum(s.add(sum, s.load(tail)))
}
