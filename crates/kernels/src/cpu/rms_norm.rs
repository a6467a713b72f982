//! Root-mean-square normalisation of rows and its gradients.

use crate::cpu::elements::{Elements, ElementsMut};
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, Scratch, rows_per_task};
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::view::View;

/// Rows whose share of the weight's gradient is summed before shares are added up, in order.
const SHARE: usize = 32;

/// `out[t, i] = weight[i] · x[t, i] / √(mean x[t]² + epsilon)`
pub fn forward(machine: &Machine, out: View, x: View, weight: View, epsilon: f32) {
    machine.pool.run_ranges(x.rows, rows_per_task(x.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's output that no other task writes, and its inputs.
        let (out, x, weight) =
            unsafe { (ElementsMut::of(part(out)), part(x).f32s(), weight.f32s()) };
        machine.instructions.run(Forward { out, x, weight, epsilon });
    });
}

/// With `r = 1/√(mean x[t]² + ε)`, `n = r · x[t]` and `g = weight · d_out[t]`:
/// `d_weight += d_out[t] · n` and `d_x[t] += r · (g − n · mean(g · n))`.
pub fn backward(
    machine: &Machine,
    scratch: &mut Scratch,
    (d_x, d_weight): (View, View),
    d_out: View,
    x: View,
    weight: View,
    epsilon: f32,
) {
    let columns = x.columns;
    // SAFETY: the running operation's output.
    let d_weight = unsafe { d_weight.f32s_mut() };
    let shares = scratch.parts.floats(x.rows.div_ceil(SHARE) * columns);
    let parts = SharedMut::new(&mut *shares);
    machine.pool.run_ranges(x.rows, SHARE, &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        let share = rows.start / SHARE * columns;
        // SAFETY: rows and shares of different tasks do not overlap; the rest are inputs.
        let kernel = unsafe {
            Backward {
                d_x: part(d_x).f32s_mut(),
                d_weight: parts.part(share..share + columns),
                d_out: part(d_out).f32s(),
                x: part(x).f32s(),
                weight: weight.f32s(),
                epsilon,
            }
        };
        machine.instructions.run(kernel);
    });
    for share in shares.chunks_exact(columns) {
        d_weight.iter_mut().zip(share).for_each(|(sum, share)| *sum += share);
    }
}

struct Forward<'a> {
    out: ElementsMut<'a>,
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let columns = self.weight.len();
        for (row, x) in self.x.chunks_exact(columns).enumerate() {
            let mut out = self.out.part(row * columns..(row + 1) * columns);
            let r = s.splat(inverse_root(s, x, self.epsilon));
            for i in (0..columns).step_by(S::LANES) {
                let normal = s.mul(s.load(&x[i..]), r);
                out.store(s, s.mul(s.load(&self.weight[i..]), normal), i);
            }
        }
    }
}

/// `1/√(mean x² + epsilon)`
#[inline(always)]
fn inverse_root<S: Simd>(s: S, x: &[f32], epsilon: f32) -> f32 {
    let values = Elements::F32(x);
    1.0 / (dot(s, values, values) / x.len() as f32 + epsilon).sqrt()
}

/// `Σ a · b` in four chains of vectors, which hide each other's delay.
#[inline(always)]
pub fn dot<S: Simd>(s: S, a: Elements, b: Elements) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    for i in (0..a.len()).step_by(4 * S::LANES) {
        for (j, sum) in sums.iter_mut().enumerate() {
            let at = (i + j * S::LANES).min(a.len());
            *sum = s.mul_add(a.load(s, at), b.load(s, at), *sum);
        }
    }
    s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}

struct Backward<'a> {
    d_x: &'a mut [f32],
    d_weight: &'a mut [f32],
    d_out: &'a [f32],
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let columns = self.weight.len();
        self.d_weight.fill(0.0);
        let inputs = self.x.chunks_exact(columns).zip(self.d_out.chunks_exact(columns));
        for (d_x, (x, d_out)) in self.d_x.chunks_exact_mut(columns).zip(inputs) {
            let r = inverse_root(s, x, self.epsilon);
            let along = weight_row(s, self.d_weight, d_out, x, self.weight, r);
            let back = s.splat(r * r * along / columns as f32);
            let r = s.splat(r);
            for i in (0..columns).step_by(S::LANES) {
                let g = s.mul(s.load(&self.weight[i..]), s.load(&d_out[i..]));
                let d = s.mul(r, s.sub(g, s.mul(s.load(&x[i..]), back)));
                s.store(s.add(s.load(&d_x[i..]), d), &mut d_x[i..]);
            }
        }
    }
}

/// Adds one row to the weight's gradient and returns `Σ weight · d_out · x`.
#[inline(always)]
fn weight_row<S: Simd>(
    s: S,
    d_weight: &mut [f32],
    d_out: &[f32],
    x: &[f32],
    weight: &[f32],
    r: f32,
) -> f32 {
    let r = s.splat(r);
    let mut along = s.splat(0.0);
    for i in (0..x.len()).step_by(S::LANES) {
        let (d, x) = (s.load(&d_out[i..]), s.load(&x[i..]));
        let d_x = s.mul(d, x);
        along = s.mul_add(s.load(&weight[i..]), d_x, along);
        s.store(s.mul_add(d_x, r, s.load(&d_weight[i..])), &mut d_weight[i..]);
    }
    s.sum(along)
}
