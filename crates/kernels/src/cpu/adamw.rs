//! The optimiser's update in one pass over memory, and the sum of squares that clipping needs.

use crate::backend::AdamW;
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, Scratch, rows_per_task};
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::remainder;
use crate::view::View;
use half::bf16;
use std::ops::Range;

/// Values of a task of the sum of squares; their sums are added in order.
const BLOCK: usize = 64 * 1024;

/// `Σ x²`
pub fn square_sum(machine: &Machine, scratch: &mut Scratch, x: View) -> f64 {
    // SAFETY: an input of the running operation.
    let x = unsafe { x.f32s() };
    scratch.sums.clear();
    scratch.sums.resize(x.len().div_ceil(BLOCK), 0.0);
    let sums = SharedMut::new(&mut scratch.sums);
    machine.pool.run_ranges(x.len(), BLOCK, &|range| {
        // SAFETY: every task has a sum of its own.
        let sum = unsafe { sums.part(range.start / BLOCK..range.start / BLOCK + 1) };
        sum[0] = machine.instructions.run(SquareSum { x: &x[range] });
    });
    scratch.sums.iter().sum()
}

/// The update of [`crate::ops::adamw`].
pub fn update(
    machine: &Machine,
    (parameters, remainder): (View, Option<View>),
    gradients: View,
    (first, second): (View, View),
    update: AdamW,
) {
    let factors = Factors::of(&update);
    machine.pool.run_ranges(parameters.rows, rows_per_task(parameters.columns), &|rows| {
        let part = |view: View| view.row_range(rows.start, rows.len());
        // SAFETY: rows of the running operation's outputs that no other task writes, and its input.
        let state = unsafe {
            State {
                gradients: part(gradients).f32s(),
                first: part(first).f32s_mut(),
                second: part(second).f32s_mut(),
            }
        };
        let Some(remainder) = remainder else {
            // SAFETY: as above.
            let parameters = unsafe { part(parameters).f32s_mut() };
            return machine.instructions.run(Update { parameters, state, factors });
        };
        // SAFETY: as above.
        let (rounded, remainder) =
            unsafe { (part(parameters).bf16s_mut(), part(remainder).remainders_mut()) };
        let columns = parameters.columns;
        machine.instructions.run(SplitUpdate { rounded, remainder, columns, state, factors });
    });
}

struct SquareSum<'a> {
    x: &'a [f32],
}

impl Kernel for SquareSum<'_> {
    type Output = f64;

    /// Sixteen chains in double precision, which the compiler lays side by side.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0; 16];
        let (chunks, rest) = self.x.as_chunks::<16>();
        for chunk in chunks {
            for (sum, &x) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        let rest = rest.iter().map(|&x| f64::from(x) * f64::from(x));
        sums.into_iter().chain(rest).sum()
    }
}

/// What is the same for every parameter, calculated once in double precision.
///
/// With the shares `s₁ = 1 − β₁ᵗ` and `s₂ = 1 − β₂ᵗ`, the direction `(m / s₁) / (√(v / s₂) + ε)` is
/// taken as `m / (√v · s₁/√s₂ + ε·s₁)`, and the rate multiplies it afterwards: only numbers that
/// overflow by themselves do.
#[derive(Clone, Copy)]
struct Factors {
    keep: f32,
    scale: f32,
    beta1: f32,
    beta2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    rate: f32,
    root_factor: f32,
    epsilon: f32,
}

impl Factors {
    fn of(update: &AdamW) -> Factors {
        let (beta1, beta2) = (f64::from(update.beta1), f64::from(update.beta2));
        let (rate, step) = (f64::from(update.learning_rate), update.step as f64);
        let (share1, share2) = (1.0 - beta1.powf(step), 1.0 - beta2.powf(step));
        Factors {
            keep: (1.0 - rate * f64::from(update.weight_decay)) as f32,
            scale: update.gradient_scale,
            beta1: update.beta1,
            beta2: update.beta2,
            one_minus_beta1: (1.0 - beta1) as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
            rate: update.learning_rate,
            root_factor: (share1 / share2.sqrt()) as f32,
            epsilon: (share1 * f64::from(update.epsilon)) as f32,
        }
    }
}

/// What an update reads and keeps besides the parameters.
struct State<'a> {
    gradients: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl State<'_> {
    #[inline(always)]
    fn part(&mut self, range: Range<usize>) -> State<'_> {
        State {
            gradients: &self.gradients[range.clone()],
            first: &mut self.first[range.clone()],
            second: &mut self.second[range],
        }
    }
}

/// Of f32 parameters.
struct Update<'a> {
    parameters: &'a mut [f32],
    state: State<'a>,
    factors: Factors,
}

impl Kernel for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Update { parameters, state: State { gradients, first, second }, factors: f } = self;
        let (beta1, beta2) = (s.splat(f.beta1), s.splat(f.beta2));
        let (rest1, rest2) = (s.splat(f.one_minus_beta1), s.splat(f.one_minus_beta2));
        let (keep, scale, rate) = (s.splat(f.keep), s.splat(f.scale), s.splat(f.rate));
        let (root_factor, epsilon) = (s.splat(f.root_factor), s.splat(f.epsilon));
        for i in (0..gradients.len()).step_by(S::LANES) {
            let g = s.mul(s.load(&gradients[i..]), scale);
            let m = s.mul_add(rest1, g, s.mul(beta1, s.load(&first[i..])));
            let v = s.mul_add(s.mul(rest2, g), g, s.mul(beta2, s.load(&second[i..])));
            let root = s.mul_add(s.sqrt(v), root_factor, epsilon);
            let p = s.mul(s.load(&parameters[i..]), keep);
            let p = s.sub(p, s.mul(rate, s.div(m, root)));
            s.store(p, &mut parameters[i..]);
            s.store(m, &mut first[i..]);
            s.store(v, &mut second[i..]);
        }
    }
}

/// Of bf16 parameters with a remainder, which are f32 for as long as they are in the nearest cache.
struct SplitUpdate<'a> {
    rounded: &'a mut [bf16],
    remainder: &'a mut [u16],
    columns: usize,
    state: State<'a>,
    factors: Factors,
}

impl Kernel for SplitUpdate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Whole groups.
        const AT_ONCE: usize = 512;
        let SplitUpdate { rounded, remainder, columns, mut state, factors } = self;
        let mut values = [0.0; AT_ONCE];
        let rows = remainder.chunks_exact_mut(remainder::row_length(columns));
        for (row, (rounded, remainder)) in rounded.chunks_exact_mut(columns).zip(rows).enumerate() {
            let (lower, above) = remainder.split_at_mut(columns);
            let lower = lower.chunks_mut(AT_ONCE).zip(above.chunks_mut(AT_ONCE / remainder::GROUP));
            let pieces = rounded.chunks_mut(AT_ONCE).zip(lower);
            for (piece, (rounded, (lower, above))) in pieces.enumerate() {
                let start = row * columns + piece * AT_ONCE;
                let parameters = &mut values[..rounded.len()];
                remainder::join(rounded, lower, above, parameters);
                let state = state.part(start..start + parameters.len());
                Update { parameters: &mut *parameters, state, factors }.run(s);
                remainder::split(parameters, rounded, lower, above);
            }
        }
    }
}
