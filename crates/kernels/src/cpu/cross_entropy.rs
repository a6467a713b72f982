//! Output projection, softmax and cross-entropy in chunks of rows, with their gradients: the logits
//! of all rows never exist at the same time.

use crate::backend::{Before, HeadGradientViews, rows_of};
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul;
use crate::cpu::matmul_result::Round;
use crate::cpu::simd::{Simd, exp};
use crate::dtype::DType;
use crate::host_memory;
use crate::view::View;
use std::ops::Range;

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
        let (losses, labels) = (rows_of(losses, &rows), &labels[rows.clone()]);
        let Some(HeadGradientViews { d_hidden, d_weight, before, scale }) = gradients else {
            softmax_rows(machine, (losses, None), chunk, labels, None);
            continue;
        };
        let d_logits = match weight.dtype {
            DType::Bf16 => softmax_in_place(machine, scratch, losses, chunk, labels, scale),
            _ => {
                softmax_rows(machine, (losses, None), chunk, labels, Some(scale));
                chunk
            }
        };
        let d_hidden = rows_of(d_hidden, &rows);
        matmul::backward_input(machine, scratch, d_hidden, (d_logits, weight), Before::Others);
        let before = if start == 0 { before } else { Before::Others };
        matmul::backward_weight(machine, scratch, d_weight, (d_logits, hidden), before);
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

/// Losses of the rows of `logits`, which become gradients if there is a scale and are rounded if
/// there is a place for that.
fn softmax_rows(
    machine: &Machine,
    (losses, rounded): (View, Option<View>),
    logits: View,
    labels: &[i32],
    scale: Option<f32>,
) {
    machine.pool.run(logits.rows, &|row, _| {
        // SAFETY: rows of the running operation's outputs that no other task writes.
        let (out, logits) =
            unsafe { (losses.row_range(row, 1).f32s_mut(), logits.row_range(row, 1).f32s_mut()) };
        match usize::try_from(labels[row]) {
            Ok(label) => {
                let row = SoftmaxRow { logits: &mut *logits, label, scale };
                let (loss, right) = machine.instructions.run(row);
                out.copy_from_slice(&[loss, f32::from(u8::from(right))]);
            }
            Err(_) => {
                out.fill(0.0);
                logits.fill(0.0);
            }
        }
        if let Some(rounded) = rounded {
            // SAFETY: as above.
            let out = unsafe { rounded.row_range(row, 1).bf16s_mut() };
            machine.instructions.run(Round { out, x: logits });
        }
    });
}

/// As [`softmax_rows`]; the gradients come to lie where the logits were, rounded, row after row. Half as
/// wide, a row stands where logits of half its number were; so as many rows as are done already, whose
/// logits nobody needs any more, can be done at a time.
fn softmax_in_place(
    machine: &Machine,
    scratch: &mut Scratch,
    losses: View,
    logits: View,
    labels: &[i32],
    scale: f32,
) -> View {
    let rounded = View { dtype: DType::Bf16, ..logits };
    let softmax = |rows: Range<usize>, rounded| {
        let (losses, logits) = (rows_of(losses, &rows), rows_of(logits, &rows));
        softmax_rows(machine, (losses, Some(rounded)), logits, &labels[rows], Some(scale));
    };
    // The first row stands on its own logits.
    let aside = scratch.parts.bf16_matrix(1, logits.columns);
    softmax(0..1, aside);
    host_memory::copy(rounded.row_range(0, 1), aside);
    let mut done = 1;
    while done < logits.rows {
        let rows = done..logits.rows.min(2 * done);
        done = rows.end;
        softmax(rows.clone(), rows_of(rounded, &rows));
    }
    rounded
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
