//! Scores and weighted values of a few queries, with keys and values read where they lie: for a
//! token that is being generated, packing them would cost more than the products. Every element is
//! the chain of the same terms in the same order as in `matmul_kernel.rs`, so a query gets the same
//! bits here as in a crowd.

use crate::cpu::elements::Elements;
use crate::cpu::instructions::Kernel;
use crate::cpu::matmul_pack::{Along, Element, Side};
use crate::cpu::simd::Simd;
use half::bf16;

/// Queries up to which this road is the shorter one.
pub const FEW: usize = 16;
/// Queries whose scores are kept in registers beside a square of keys.
const SCORE_ROWS: usize = 8;
/// Queries and vectors of columns whose sums are kept in registers.
const VALUE_ROWS: usize = 4;
const VALUE_VECTORS: usize = 4;
/// Rows that are asked for ahead of their use: those of a head lie apart, and a processor does not
/// see by itself that they are a stream.
const AHEAD: usize = 32;

/// Columns of one head in the rows of a block.
#[derive(Clone, Copy)]
pub struct BlockRows<'a> {
    /// From the first column of the first row on.
    pub elements: Elements<'a>,
    /// Elements from one row to the next.
    pub stride: usize,
    /// How many rows.
    pub rows: usize,
}

impl<'a> BlockRows<'a> {
    /// As the right side of a product whose lanes are the rows.
    pub fn lanes(self, size: usize) -> Side<'a> {
        let BlockRows { elements, stride, rows } = self;
        Side { elements: elements.into(), along: Along::Depth, stride, lanes: rows, depth: size }
    }

    /// As the right side of a product that sums over the rows.
    pub fn summed(self, size: usize) -> Side<'a> {
        let BlockRows { elements, stride, rows } = self;
        Side { elements: elements.into(), along: Along::Lanes, stride, lanes: size, depth: rows }
    }
}

/// `out[t, s] = Σ_j queries[t, j] · keys[s, j]`
pub struct FewScores<'a> {
    /// Rows of `stride` scores; beyond the keys they are zero up to a whole vector.
    pub out: &'a mut [f32],
    /// Scores from one row to the next.
    pub stride: usize,
    /// Rows of `size` floats.
    pub queries: &'a [f32],
    /// Columns of a head.
    pub size: usize,
    /// The keys.
    pub keys: BlockRows<'a>,
}

impl Kernel for FewScores<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.keys.elements {
            Elements::F32(x) => self.all(s, x),
            Elements::Bf16(x) => self.all(s, x),
        }
    }
}

impl FewScores<'_> {
    #[inline(always)]
    fn all<S: Simd, E: Word>(self, s: S, keys: &[E]) {
        let queries = self.queries.chunks(SCORE_ROWS * self.size);
        for (out, queries) in self.out.chunks_mut(SCORE_ROWS * self.stride).zip(queries) {
            let (sizes, rows) = ((self.stride, self.size), (self.keys.stride, self.keys.rows));
            match queries.len() / self.size {
                1 => scores::<S, E, 1>(s, out, queries, sizes, keys, rows),
                2 => scores::<S, E, 2>(s, out, queries, sizes, keys, rows),
                3 => scores::<S, E, 3>(s, out, queries, sizes, keys, rows),
                4 => scores::<S, E, 4>(s, out, queries, sizes, keys, rows),
                5 => scores::<S, E, 5>(s, out, queries, sizes, keys, rows),
                6 => scores::<S, E, 6>(s, out, queries, sizes, keys, rows),
                7 => scores::<S, E, 7>(s, out, queries, sizes, keys, rows),
                _ => scores::<S, E, 8>(s, out, queries, sizes, keys, rows),
            }
        }
    }
}

/// An element of which a word of 32 bits holds one or two: what is turned are words.
trait Word: Element + bytemuck::Pod {
    /// Elements of a word.
    const ELEMENTS: usize;
    /// The elements of the words of a vector: the first ones, then the second ones if there are any.
    fn elements<S: Simd>(s: S, words: S::V) -> [S::V; 2];
}

impl Word for f32 {
    const ELEMENTS: usize = 1;
    #[inline(always)]
    fn elements<S: Simd>(_: S, words: S::V) -> [S::V; 2] {
        [words; 2]
    }
}

impl Word for bf16 {
    const ELEMENTS: usize = 2;
    #[inline(always)]
    fn elements<S: Simd>(s: S, words: S::V) -> [S::V; 2] {
        s.halves(words)
    }
}

/// Lanes are keys: squares of keys by columns are turned in registers.
#[inline(always)]
fn scores<S: Simd, E: Word, const ROWS: usize>(
    s: S,
    out: &mut [f32],
    queries: &[f32],
    (out_stride, size): (usize, usize),
    keys: &[E],
    (stride, rows): (usize, usize),
) {
    let queries = &queries[..ROWS * size];
    let width = S::LANES * E::ELEMENTS;
    let mut turned = [0.0; 256];
    for first in (0..rows).step_by(S::LANES) {
        let mut sums = [s.splat(0.0); ROWS];
        let lanes = S::LANES.min(rows - first);
        for column in (0..size).step_by(width) {
            let (keys, queries) = (&keys[first * stride + column..], &queries[column..]);
            let whole = lanes == S::LANES && keys.len() >= (S::LANES - 1) * stride + width;
            if whole && size - column >= width {
                let square = square_of(s, keys, stride);
                add_square::<S, E, ROWS>(s, &mut sums, &mut turned, square, queries, size, width);
            } else {
                let depth = width.min(size - column);
                let square = edge_of(s, keys, stride, lanes, depth);
                add_square::<S, E, ROWS>(s, &mut sums, &mut turned, square, queries, size, depth);
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            s.store(*sum, &mut out[row * out_stride + first..][..S::LANES]);
        }
    }
}

/// Adds the terms of the first `depth` columns of a square to the sums of every query.
#[inline(always)]
fn add_square<S: Simd, E: Word, const ROWS: usize>(
    s: S,
    sums: &mut [S::V; ROWS],
    turned: &mut [f32; 256],
    mut square: S::Square,
    queries: &[f32],
    size: usize,
    depth: usize,
) {
    s.transpose(&mut square);
    // Indexed by a variable below, the square would not stay in registers while it is turned.
    for word in 0..S::LANES {
        s.store(square.as_mut()[word], &mut turned[word * S::LANES..]);
    }
    for word in 0..S::LANES {
        let elements = E::elements(s, s.load(&turned[word * S::LANES..]));
        for (k, &element) in elements.iter().enumerate().take(E::ELEMENTS) {
            let column = word * E::ELEMENTS + k;
            if column < depth {
                for (row, sum) in sums.iter_mut().enumerate() {
                    *sum = s.mul_add(s.splat(queries[row * size + column]), element, *sum);
                }
            }
        }
    }
}

/// A whole square of words. Never indexed by a variable, it stays in registers.
#[inline(always)]
fn square_of<S: Simd, E: Word>(s: S, x: &[E], stride: usize) -> S::Square {
    assert!(x.len() >= (S::LANES - 1) * stride + S::LANES * E::ELEMENTS, "rows of a square");
    let mut square = s.square();
    for lane in 0..S::LANES {
        let row = x.as_ptr().wrapping_add(lane * stride);
        s.prefetch(row.wrapping_add(AHEAD * stride).cast());
        // SAFETY: inside `x` by the assertion.
        square.as_mut()[lane] = unsafe { s.load_at(row.cast()) };
    }
    square
}

/// The same at an edge: zeros where there are no lanes or depths.
#[inline(always)]
fn edge_of<S: Simd, E: Word>(
    s: S,
    x: &[E],
    stride: usize,
    lanes: usize,
    depth: usize,
) -> S::Square {
    let mut square = s.square();
    for lane in 0..lanes {
        square.as_mut()[lane] = words_of(s, &x[lane * stride..][..depth]);
    }
    square
}

/// A few elements as a vector of words, zeros beyond their end.
#[inline(always)]
fn words_of<S: Simd, E: Word>(s: S, x: &[E]) -> S::V {
    let mut words = [0.0_f32; 16];
    let bytes: &[u8] = bytemuck::cast_slice(x);
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    s.load(&words[..S::LANES])
}

/// `out[t, j] (+)= Σ_s weights[t, s] · values[s, j]`
pub struct FewValues<'a> {
    /// Rows of `size` floats.
    pub out: &'a mut [f32],
    /// Columns of a head.
    pub size: usize,
    /// Whether the sums are added to what was there, or replace it.
    pub add: bool,
    /// Rows of `stride` weights.
    pub weights: &'a [f32],
    /// Weights from one row to the next.
    pub stride: usize,
    /// The values.
    pub values: BlockRows<'a>,
}

impl Kernel for FewValues<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.values.elements {
            Elements::F32(x) => self.all(s, x),
            Elements::Bf16(x) => self.all(s, x),
        }
    }
}

impl FewValues<'_> {
    #[inline(always)]
    fn all<S: Simd, E: Element>(mut self, s: S, values: &[E]) {
        for row in (0..self.out.len() / self.size).step_by(VALUE_ROWS) {
            for column in (0..self.size).step_by(VALUE_VECTORS * S::LANES) {
                match (self.out.len() / self.size - row).min(VALUE_ROWS) {
                    1 => self.tile::<S, E, 1>(s, (row, column), values),
                    2 => self.tile::<S, E, 2>(s, (row, column), values),
                    3 => self.tile::<S, E, 3>(s, (row, column), values),
                    _ => self.tile::<S, E, 4>(s, (row, column), values),
                }
            }
        }
    }

    /// Lanes are columns.
    #[inline(always)]
    fn tile<S: Simd, E: Element, const ROWS: usize>(
        &mut self,
        s: S,
        (row, column): (usize, usize),
        values: &[E],
    ) {
        let (stride, rows) = (self.values.stride, self.values.rows);
        let columns = (self.size - column).min(VALUE_VECTORS * S::LANES);
        let mut sums = [[s.splat(0.0); VALUE_VECTORS]; ROWS];
        let weights = &self.weights[row * self.stride..][..(ROWS - 1) * self.stride + rows];
        for key in 0..rows {
            let start = key * stride + column;
            let value = vectors_of(s, &values[start..start + columns], stride);
            for (i, sums) in sums.iter_mut().enumerate() {
                let weight = s.splat(weights[i * self.stride + key]);
                for (sum, value) in sums.iter_mut().zip(value) {
                    *sum = s.mul_add(weight, value, *sum);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let out = &mut self.out[(row + i) * self.size + column..][..columns];
            for (out, &sum) in out.chunks_mut(S::LANES).zip(sums) {
                s.store(if self.add { s.add(s.load(out), sum) } else { sum }, out);
            }
        }
    }
}

/// A piece of a row as vectors, zeros beyond its end.
#[inline(always)]
fn vectors_of<S: Simd, E: Element>(s: S, row: &[E], stride: usize) -> [S::V; VALUE_VECTORS] {
    let mut vectors = [s.splat(0.0); VALUE_VECTORS];
    if row.len() == VALUE_VECTORS * S::LANES {
        for (i, vector) in vectors.iter_mut().enumerate() {
            let at = row.as_ptr().wrapping_add(i * S::LANES);
            s.prefetch(at.wrapping_add(AHEAD * stride).cast());
            // SAFETY: inside the row, which is as long as all vectors together.
            *vector = unsafe { E::load_at(s, at) };
        }
    } else {
        for (i, vector) in vectors.iter_mut().enumerate() {
            *vector = E::load(s, &row[(i * S::LANES).min(row.len())..]);
        }
    }
    vectors
}
