//! Attention of bf16 with bf16 in tiles (see `tiles.rs`): the plan of `attention.rs`, with weights and
//! gradients of scores rounded to bf16 before they are multiplied, as everything in tiles is. Here are
//! its products and the blocks they work on; `attention_tiles_forward.rs` and
//! `attention_tiles_backward.rs` say in which order.
//!
//! The columns of a head are first copied out of their matrix, rounded if need be and filled up with
//! zeros to whole blocks, so that no product has edges in its depth. A block of queries by keys begins
//! with the first key of the span, so what a query gets depends on no other query.

use crate::cpu::attention_blocks::{HeadRows, Kept};
use crate::cpu::elements::Elements;
use crate::cpu::instructions::{Instructions, Kernel};
use crate::cpu::matmul_pack::{self, Along, Side};
use crate::cpu::matmul_result::{Rectangle, Sums};
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::cpu::tile_pack::{Part, Place, pack_panels, pack_rows, row_stride};
use crate::cpu::tile_strip::{Ahead, Lanes, Strip};
use crate::cpu::tiles::{SQUARE, STEP, Tiles};
use crate::layout::{Heads, Span, Spans};
use half::bf16;
use std::ops::Range;

/// Keys of a block.
pub const KEYS: usize = 128;
/// Queries of a block.
pub const QUERIES: usize = 64;
/// Room for a block of scores.
pub const SCORES: usize = QUERIES * KEYS;
/// Pairs from one row of rounded weights to the next.
const WEIGHTS_STRIDE: usize = KEYS / 2 + STEP;
/// Room for a block of rounded weights.
pub const WEIGHTS: usize = QUERIES * WEIGHTS_STRIDE;

/// Whether everything that is multiplied can be: bf16, in heads of whole steps, keys that lie together.
pub fn fit(input: [&Kept; 2], queries: Elements, spans: &Spans, heads: Heads) -> bool {
    let is_bf16 = |x: &Kept| matches!(x, Kept::Floats(Elements::Bf16(_)));
    let together = |span: &Span| spans.stretches(span.keys.clone()).count() == 1;
    matches!(queries, Elements::Bf16(_))
        && input.into_iter().all(is_bf16)
        && heads.size.is_multiple_of(2 * STEP)
        && spans.iter().all(together)
}

/// Keys of the longest span, in whole blocks.
pub fn longest(spans: &Spans) -> usize {
    let keys = spans.iter().map(|span| span.keys.len().max(span.queries.len())).max();
    keys.unwrap_or(0).next_multiple_of(KEYS)
}

/// Multiplying and packing.
#[derive(Clone, Copy)]
pub struct Products<T> {
    /// What multiplies.
    pub tiles: T,
    /// What does the rest.
    pub instructions: Instructions,
    /// Columns of a head.
    pub size: usize,
}

/// Copies columns of a head, rounded to bf16; zeros after the last row.
struct Copy<'a> {
    out: &'a mut [bf16],
    x: Elements<'a>,
    place: HeadRows,
    rows: usize,
    size: usize,
}

impl Kernel for Copy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (out, rest) = self.out.split_at_mut(self.rows * self.size);
        for (row, out) in out.chunks_exact_mut(self.size).enumerate() {
            match self.x.part(self.place.row(row, self.size)) {
                Elements::Bf16(x) => out.copy_from_slice(x),
                Elements::F32(x) => {
                    for i in (0..x.len()).step_by(S::LANES) {
                        s.store_bf16(s.load(&x[i..]), &mut out[i..]);
                    }
                }
            }
        }
        rest.fill(bf16::ZERO);
    }
}

impl<T: Tiles> Products<T> {
    /// Some rows of a head, copied to `room` and filled up with zeros.
    pub fn rows<'b>(
        &self,
        room: &'b mut [f32],
        x: Elements,
        place: HeadRows,
        rows: usize,
    ) -> &'b [bf16] {
        let (size, out) = (self.size, bytemuck::cast_slice_mut(room));
        self.instructions.run(Copy { out, x, place, rows, size });
        bytemuck::cast_slice(room)
    }

    /// Copied rows as the left side.
    pub fn left<'b>(&self, rows: &'b [bf16], first: usize) -> Lanes<'b> {
        let bytes = bytemuck::cast_slice(&rows[first * self.size..]);
        Lanes { bytes, stride: size_of::<bf16>() * self.size }
    }

    /// Copied rows as panels whose columns are the rows; the depth is the head.
    pub fn pack_columns(&self, out: &mut [f32], rows: &[bf16]) {
        let (lanes, depth) = (rows.len() / self.size, self.size / 2);
        let elements = matmul_pack::Elements::F32(bytemuck::cast_slice(rows));
        let side = Side { elements, along: Along::Depth, stride: depth, lanes, depth };
        self.pack_panels(out, side);
    }

    /// Copied rows as panels whose columns are those of the head; the depth is the rows.
    pub fn pack_depths(&self, out: &mut [f32], rows: &[bf16]) {
        let (lanes, depth) = (self.size, rows.len() / self.size / 2);
        let elements = matmul_pack::Elements::Bf16(rows);
        let side = Side { elements, along: Along::LanesOfPairs, stride: self.size, lanes, depth };
        self.pack_panels(out, side);
    }

    fn pack_panels(&self, out: &mut [f32], side: Side) {
        let place = Place { out: SharedMut::new(out), start: 0, stride: SQUARE * side.depth };
        let part = Part { side, lanes: 0..side.lanes, depths: 0..side.depth };
        // SAFETY: all of the memory is this call's.
        unsafe { pack_panels(self.instructions, place, part) };
    }

    /// Some columns of what [`Products::pack_columns`] made.
    pub fn columns<'b>(&self, panels: &'b [f32], first: usize) -> Lanes<'b> {
        let stride = self.size / 2 * SQUARE;
        let bytes = bytemuck::cast_slice(&panels[first / SQUARE * stride..]);
        Lanes { bytes, stride: size_of::<f32>() * stride }
    }

    /// What [`Products::pack_depths`] made of so many rows, from a row on.
    pub fn depths<'b>(&self, panels: &'b [f32], rows: usize, first: usize) -> Lanes<'b> {
        let bytes = bytemuck::cast_slice(&panels[first / 2 * SQUARE..]);
        Lanes { bytes, stride: rows / 2 * SQUARE * size_of::<f32>() }
    }

    /// Rounded weights, a row to each query.
    pub fn weights<'b>(&self, weights: &'b [f32]) -> Lanes<'b> {
        let bytes = bytemuck::cast_slice(weights);
        Lanes { bytes, stride: WEIGHTS_STRIDE * size_of::<f32>() }
    }

    /// Turns rounded weights of whole blocks so that a row belongs to a key.
    pub fn turn<'b>(&self, out: &'b mut [f32], weights: &[f32]) -> Lanes<'b> {
        let x: &[bf16] = bytemuck::cast_slice(weights);
        let (lanes, depth) = (KEYS, QUERIES / 2);
        let elements = matmul_pack::Elements::Bf16(x);
        let stride = 2 * WEIGHTS_STRIDE;
        let side = Side { elements, along: Along::LanesOfPairs, stride, lanes, depth };
        let place = Place { out: SharedMut::new(&mut *out), start: 0, stride: row_stride(depth) };
        let part = Part { side, lanes: 0..lanes, depths: 0..depth };
        // SAFETY: all of the memory is this call's.
        unsafe { pack_rows(self.instructions, place, part) };
        let bytes = bytemuck::cast_slice(out);
        Lanes { bytes, stride: row_stride(depth) * size_of::<f32>() }
    }

    /// A product of so many rows, columns and depth (in elements, whole steps), added to `out` or put
    /// there.
    pub fn multiply(
        &self,
        out: Rectangle<f32>,
        (rows, columns, depth): (usize, usize, usize),
        (left, right): (Lanes, Lanes),
        add: bool,
    ) {
        self.instructions.run(Strip {
            tiles: self.tiles,
            rows,
            columns,
            steps: depth / (2 * STEP),
            left,
            right,
            sums: Sums { floats: out, rounded: None },
            first: true,
            last: true,
            add,
            ahead: Ahead::NOTHING,
        });
    }
}

/// Room for turned weights.
pub fn turned_room() -> usize {
    KEYS * row_stride(QUERIES / 2)
}

/// A block of scores as the place of a product.
pub fn scores(scores: &mut [f32]) -> Rectangle<'_, f32> {
    Rectangle { elements: SharedMut::new(scores), start: 0, stride: KEYS }
}

/// Rounds a row of weights, of whole steps; zeros after them.
#[inline(always)]
pub fn round_row<S: Simd>(s: S, out: &mut [f32], row: usize, x: &[f32]) {
    let start = row * WEIGHTS_STRIDE;
    let out: &mut [bf16] = bytemuck::cast_slice_mut(&mut out[start..start + KEYS / 2]);
    let (out, rest) = out.split_at_mut(x.len());
    for i in (0..x.len()).step_by(S::LANES) {
        s.store_bf16(s.load(&x[i..]), &mut out[i..]);
    }
    rest.fill(bf16::ZERO);
}

/// Makes the weights of queries that are not there zero.
pub fn clear_rows(out: &mut [f32], rows: Range<usize>) {
    out[rows.start * WEIGHTS_STRIDE..rows.end * WEIGHTS_STRIDE].fill(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::QkvViews;
    use crate::cpu::attention_tiles_backward::backward;
    use crate::cpu::attention_tiles_forward::forward;
    use crate::cpu::machine::Machine;
    use crate::cpu::path::CpuPath;
    use crate::cpu::tiles_model::Model;
    use crate::cpu::{attention, attention_backward};
    use crate::dtype::DType;
    use crate::view::{Address, View};
    use std::ptr::NonNull;

    /// A matrix in both dtypes: numbers that bf16 can hold.
    struct Both {
        columns: usize,
        wide: Vec<f32>,
        short: Vec<bf16>,
    }

    impl Both {
        fn new(rows: usize, columns: usize, seed: usize) -> Both {
            let number = |i: usize| ((i + seed) * 7919 % 1013) as f32 / 507.0 - 1.0;
            let short: Vec<bf16> = (0..rows * columns).map(number).map(bf16::from_f32).collect();
            Both { columns, wide: short.iter().map(|x| x.to_f32()).collect(), short }
        }

        fn view(&mut self, dtype: DType) -> View {
            match dtype {
                DType::F32 => view(&mut self.wide, self.columns, dtype),
                _ => view(&mut self.short, self.columns, dtype),
            }
        }
    }

    fn view<E>(x: &mut [E], columns: usize, dtype: DType) -> View {
        let address = Address(NonNull::new(x.as_mut_ptr().cast()).unwrap());
        View { address, rows: x.len() / columns, columns, dtype, read_only: false }
    }

    struct Case {
        spans: Spans,
        rows: (usize, usize),
        heads: Heads,
    }

    fn cases() -> Vec<Case> {
        let span = |queries: Range<usize>, keys: Range<usize>| Span { queries, keys };
        let of = |spans: Vec<Span>, rows, heads| Case { spans: Spans::new(spans), rows, heads };
        let heads = |queries, keys, size| Heads { queries, keys, size };
        vec![
            of(vec![span(0..1, 0..1)], (1, 1), heads(1, 1, 32)),
            of(vec![span(0..33, 0..33)], (33, 33), heads(2, 2, 64)),
            of(vec![span(0..128, 0..128), span(128..328, 128..328)], (328, 328), heads(4, 2, 64)),
            of(vec![span(0..5, 0..300), span(5..70, 300..371)], (70, 371), heads(3, 1, 32)),
        ]
    }

    /// Output, log-sums and the gradients of queries, keys and values.
    type Found = [Vec<f32>; 5];

    /// By the tiles, or of f32 by what `attention.rs` does.
    fn found<T: Tiles>(tiles: Option<T>, threads: usize, case: &Case) -> Found {
        let machine = Machine::new(threads, CpuPath::detected()).unwrap();
        let (heads, (rows, keys)) = (case.heads, case.rows);
        let (wide, narrow) = (heads.query_columns(), heads.key_columns());
        let dtype = if tiles.is_some() { DType::Bf16 } else { DType::F32 };
        let (mut q, mut k, mut v) =
            (Both::new(rows, wide, 1), Both::new(keys, narrow, 2), Both::new(keys, narrow, 3));
        let mut d_out = Both::new(rows, wide, 4);
        let (mut out, mut log_sums) =
            (vec![f32::NAN; rows * wide], vec![0.0; rows * heads.queries]);
        let (mut d_q, mut d_k, mut d_v) =
            (vec![0.5; rows * wide], vec![0.5; keys * narrow], vec![0.5; keys * narrow]);
        let input = QkvViews { queries: q.view(dtype), keys: k.view(dtype), values: v.view(dtype) };
        let d_input = QkvViews {
            queries: view(&mut d_q, wide, DType::F32),
            keys: view(&mut d_k, narrow, DType::F32),
            values: view(&mut d_v, narrow, DType::F32),
        };
        let result =
            (view(&mut out, wide, DType::F32), view(&mut log_sums, heads.queries, DType::F32));
        let given = (d_out.view(DType::F32), result);
        let (scratch, spans) = (&mut *machine.scratch(), &case.spans);
        match tiles {
            Some(tiles) => {
                forward((tiles, &machine, scratch), result, input, spans, heads);
                backward((tiles, &machine, scratch), d_input, given, input, spans, heads);
            }
            None => {
                attention::forward(&machine, scratch, result, input, spans, heads);
                attention_backward::backward(
                    &machine, scratch, d_input, given, input, spans, heads,
                );
            }
        }
        [out, log_sums, d_q, d_k, d_v]
    }

    #[test]
    fn attention_in_tiles_is_that_of_f32_but_for_the_rounding_of_weights() {
        for case in cases() {
            let expected = found::<Model>(None, 1, &case);
            let one = found(Some(Model), 1, &case);
            for (output, (one, expected)) in one.iter().zip(&expected).enumerate() {
                let largest = expected.iter().fold(1.0, |largest: f32, x| largest.max(x.abs()));
                for (i, (x, y)) in one.iter().zip(expected).enumerate() {
                    let (case, error) = (case.rows, (x - y).abs() / largest);
                    assert!(error < 4e-3, "{case:?} output {output} at {i}: {x}, not {y}");
                }
            }
            assert!(found(Some(Model), 3, &case) == one, "three threads");
            let machine = Machine::new(1, CpuPath::detected()).unwrap();
            if let Some(tiles) = machine.instructions.tiles() {
                assert!(found(Some(tiles), 2, &case) == one, "registers");
            }
        }
    }

    #[test]
    fn only_what_is_bf16_and_lies_in_whole_steps_is_done_in_tiles() {
        let (x, y) = ([bf16::ONE; 64], [1.0; 64]);
        let kept = |x| Kept::Floats(x);
        let heads = |size| Heads { queries: 1, keys: 1, size };
        let spans = Spans::new(vec![Span { queries: 0..1, keys: 0..1 }]);
        let (short, wide) = (Elements::Bf16(&x), Elements::F32(&y));
        assert!(fit([&kept(short), &kept(short)], short, &spans, heads(64)));
        assert!(!fit([&kept(short), &kept(wide)], short, &spans, heads(64)));
        assert!(!fit([&kept(short), &kept(short)], wide, &spans, heads(64)));
        assert!(!fit([&kept(short), &kept(short)], short, &spans, heads(48)));
    }
}
