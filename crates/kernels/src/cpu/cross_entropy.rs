//! Output projection, softmax and cross-entropy in chunks of rows, with their gradients: the logits
//! of all rows never exist at the same time.

use crate::backend::{HeadGradientViews, rows_of};
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul;
use crate::cpu::matmul_result::Round;
use crate::cpu::simd::{Simd, exp};
use crate::dtype::DType;
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
    // Taken out, since the products use the rest of the scratch.
    let mut memory = std::mem::take(&mut scratch.d_logits);
    for start in (0..hidden.rows).step_by(logits.rows.max(1)) {
        let rows = start..(start + logits.rows).min(hidden.rows);
        let chunk = logits.row_range(0, rows.len());
        let hidden = rows_of(hidden, &rows);
        matmul::forward(machine, scratch, chunk, hidden, weight);
        let rounded = (gradients.is_some() && weight.dtype == DType::Bf16)
            .then(|| memory.bf16_matrix(chunk.rows, chunk.columns));
        let out = (rows_of(losses, &rows), rounded);
        let scale = gradients.map(|gradients| gradients.scale);
        softmax_rows(machine, out, chunk, &labels[rows.clone()], scale);
        if let Some(HeadGradientViews { d_hidden, d_weight, .. }) = gradients {
            let (d_hidden, d_logits) = (rows_of(d_hidden, &rows), rounded.unwrap_or(chunk));
            matmul::backward_input(machine, scratch, d_hidden, d_logits, weight);
            matmul::backward_weight(machine, scratch, d_weight, d_logits, hidden);
        }
    }
    scratch.d_logits = memory;
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
        let right = of_label == largest && z[..self.label].iter().all(|&z| z < largest);
        let mut sum = 0.0;
        for block in z.chunks_mut(BLOCK) {
            sum += f64::from(exponentials(s, block, largest));
        }
        if let Some(scale) = self.scale {
            let factor = s.splat((f64::from(scale) / sum) as f32);
            for i in (0..z.len()).step_by(S::LANES) {
                s.store(s.mul(s.load(&z[i..]), factor), &mut z[i..]);
            }
            z[self.label] -= scale;
        }
        ((sum.ln() + f64::from(largest - of_label)) as f32, right)
    }
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
