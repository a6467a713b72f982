//! What attention does to the rows of a block of scores, between two products.

use crate::cpu::attention_blocks::{KEYS, QUERIES, Seen};
use crate::cpu::elements::{Elements, ElementsMut};
use crate::cpu::instructions::Kernel;
use crate::cpu::rms_norm::dot;
use crate::cpu::simd::{Simd, exp};

/// Rows of a block of scores, at most, in whole vectors.
const MOST_ROWS: usize = QUERIES.next_multiple_of(16);

/// One row after the other, without leaving the machine code of the path in between.
pub struct EachRow<I>(pub I);

impl<K: Kernel<Output = ()>, I: Iterator<Item = K>> Kernel for EachRow<I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in self.0 {
            row.run(s);
        }
    }
}

/// Turns the scores of some queries against a block of keys into weights relative to the largest score
/// so far of each, and shrinks what was summed before where that has grown.
pub struct Softmax<'a> {
    /// Rows of [`KEYS`]: scores in, weights out; zeros from the last visible key on.
    pub scores: &'a mut [f32],
    /// Which keys the rows see.
    pub seen: Seen,
    /// What scores are multiplied with.
    pub scale: f32,
    /// Largest scaled score so far, of every row.
    pub maxima: &'a mut [f32],
    /// Sum of the weights so far, of every row.
    pub sums: &'a mut [f32],
    /// Weighted values so far, of every row; nothing in the first block.
    pub out: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    /// No step waits for the step before of the same row, and none guesses whether a maximum grows.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Softmax { scores, seen, scale, maxima, sums, out } = self;
        let mut factors = [f32::NEG_INFINITY; MOST_ROWS];
        let width = seen.keys.next_multiple_of(16);
        for (row, scores) in scores.chunks_exact_mut(KEYS).take(seen.rows).enumerate() {
            let scores = hide(&mut scores[..width], seen.by(row));
            factors[row] = largest(s, scores);
        }
        for row in (0..seen.rows).step_by(S::LANES) {
            let (before, largest) = (s.load(&maxima[row..]), s.load(&factors[row..]));
            let now = s.max(s.mul(largest, s.splat(scale)), before);
            let factor = exp(s, s.sub(before, now));
            s.store(s.mul(s.load(&sums[row..]), factor), &mut sums[row..]);
            s.store(factor, &mut factors[row..]);
            s.store(now, &mut maxima[row..]);
        }
        for (out, factor) in out.chunks_exact_mut((out.len() / seen.rows).max(1)).zip(factors) {
            scale_row(s, out, factor);
        }
        for (row, scores) in scores.chunks_exact_mut(KEYS).take(seen.rows).enumerate() {
            let scores = &mut scores[..seen.by(row).next_multiple_of(16)];
            sums[row] += weigh(s, scores, scale, maxima[row]);
        }
    }
}

#[inline(always)]
fn largest<S: Simd>(s: S, scores: &[f32]) -> f32 {
    let mut largest = s.splat(f32::NEG_INFINITY);
    for scores in scores.chunks_exact(S::LANES) {
        largest = s.max(s.load(scores), largest);
    }
    s.largest(largest)
}

/// Scores become weights; returns their sum.
#[inline(always)]
fn weigh<S: Simd>(s: S, scores: &mut [f32], scale: f32, maximum: f32) -> f32 {
    let (scale, shift) = (s.splat(scale), s.splat(-maximum));
    let mut sum = s.splat(0.0);
    for scores in scores.chunks_exact_mut(S::LANES) {
        let weight = exp(s, s.mul_add(s.load(scores), scale, shift));
        sum = s.add(sum, weight);
        s.store(weight, scores);
    }
    s.sum(sum)
}

/// Divides by the sum of the weights once all keys are seen; returns the log of the sum of the
/// exponentials of the scaled scores.
pub struct Finish<'a> {
    /// Where the result goes.
    pub out: ElementsMut<'a>,
    /// Weighted values.
    pub values: &'a [f32],
    /// Largest scaled score.
    pub maximum: f32,
    /// Sum of the weights.
    pub sum: f32,
}

impl Kernel for Finish<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) -> f32 {
        let factor = s.splat(1.0 / self.sum);
        for i in (0..self.values.len()).step_by(S::LANES) {
            self.out.store(s, s.mul(s.load(&self.values[i..]), factor), i);
        }
        self.maximum + self.sum.ln()
    }
}

/// Turns the scores of one query against a block of keys into weights, and the gradients of the
/// weights into those of the scores.
pub struct GradientRow<'a> {
    /// Scores in, weights out; zeros from `visible` on.
    pub scores: &'a mut [f32],
    /// Gradients of the weights in, of the scores before scaling out; zeros from `visible` on.
    pub gradients: &'a mut [f32],
    /// Keys of the block that the query may see.
    pub visible: usize,
    /// What scores are multiplied with.
    pub scale: f32,
    /// What [`Finish`] returned for the query.
    pub log_sum: f32,
    /// Gradient of the query's output.
    pub d_out: Elements<'a>,
    /// The query's output.
    pub out: Elements<'a>,
}

impl Kernel for GradientRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let seen = hide(self.scores, self.visible);
        self.gradients[self.visible..].fill(0.0);
        let mean = s.splat(dot(s, self.d_out, self.out));
        let (scale, shift) = (s.splat(self.scale), s.splat(-self.log_sum));
        let scores = seen.chunks_exact_mut(S::LANES);
        for (scores, gradients) in scores.zip(self.gradients.chunks_exact_mut(S::LANES)) {
            let weight = exp(s, s.mul_add(s.load(scores), scale, shift));
            let gradient = s.sub(s.load(gradients), mean);
            s.store(weight, scores);
            s.store(s.mul(s.mul(weight, gradient), scale), gradients);
        }
    }
}

/// Makes the scores from `visible` on those of keys that are not seen: zero, as their weights will
/// be, but for the rest of a last vector. Returns what is left to work on, in whole vectors.
#[inline(always)]
fn hide(scores: &mut [f32], visible: usize) -> &mut [f32] {
    let (seen, unseen) = scores.split_at_mut(visible.next_multiple_of(16));
    seen[visible..].fill(f32::NEG_INFINITY);
    unseen.fill(0.0);
    seen
}

#[inline(always)]
fn scale_row<S: Simd>(s: S, row: &mut [f32], factor: f32) {
    for i in (0..row.len()).step_by(S::LANES) {
        s.store(s.mul(s.load(&row[i..]), s.splat(factor)), &mut row[i..]);
    }
}
