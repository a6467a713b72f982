//! Attention in tiles, backward. See `attention_tiles.rs` for what it is made of.
//!
//! ```text
//! for each span and key head:                                                   (a task)
//!     pack the keys and values
//!     for each query head that reads them:
//!         pack the queries and the gradients of their outputs
//!         for each block of keys, for each block of queries that see it:
//!             S = Q Kᵀ, P = exp(S − log_sums), d_S = P ∘ (d_O Vᵀ − Σ d_O ∘ O)
//!             d_V += Pᵀ d_O, d_K += d_Sᵀ Q, d_Q += d_S K
//! ```

use crate::backend::QkvViews;
use crate::cpu::attention_backward::keys_are_apart;
use crate::cpu::attention_blocks::{HeadRows, Input, Room, Sight, key_head, query_head};
use crate::cpu::attention_rows::GradientRow;
use crate::cpu::attention_tiles::{
    KEYS, Products, QUERIES, SCORES, WEIGHTS, clear_rows, longest, round_row, scores, turned_room,
};
use crate::cpu::elements::Elements;
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_result::Rectangle;
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::cpu::tiles::{SQUARE, Tiles};
use crate::layout::{Heads, Span, Spans};
use crate::view::View;
use half::bf16;
use std::ops::Range;

/// As `attention_backward::backward`, of what [`crate::cpu::attention_tiles::fit`]s.
pub fn backward<T: Tiles>(
    (tiles, machine, scratch): (T, &Machine, &mut Scratch),
    d_input: QkvViews,
    (d_out, result): (View, (View, View)),
    input: QkvViews,
    spans: &Spans,
    heads: Heads,
) {
    let length = longest(spans);
    let per_thread = BackwardRoom::length(length, heads.size);
    let room = SharedMut::new(scratch.parts.floats(machine.pool.threads() * per_thread));
    // SAFETY: the running operation's outputs and inputs.
    let backward = unsafe {
        Backward {
            products: Products { tiles, instructions: machine.instructions, size: heads.size },
            heads,
            input: Input::new(input),
            d_queries: SharedMut::new(d_input.queries.f32s_mut()),
            d_keys: SharedMut::new(d_input.keys.f32s_mut()),
            d_values: SharedMut::new(d_input.values.f32s_mut()),
            d_out: Elements::of(d_out),
            out: Elements::of(result.0),
            log_sums: result.1.f32s(),
        }
    };
    let apart = keys_are_apart(spans);
    let count = if apart { spans.iter().len() } else { 1 };
    machine.pool.run(count * heads.keys, &|task, thread| {
        // SAFETY: every thread has a part of its own.
        let room = unsafe { room.part(thread * per_thread..(thread + 1) * per_thread) };
        let mut room = BackwardRoom::new(Room(room), length, heads.size);
        let (first, head) = (task / heads.keys, task % heads.keys);
        for span in spans.iter().skip(first).take(if apart { 1 } else { usize::MAX }) {
            backward.span(&mut room, span, head);
        }
    });
}

/// Memory of a task: what is packed of a head, as columns of a product or as its depth, and blocks.
struct BackwardRoom<'a> {
    copied: &'a mut [f32],
    keys_as_columns: &'a mut [f32],
    keys_as_depth: &'a mut [f32],
    values_as_columns: &'a mut [f32],
    queries: &'a mut [f32],
    queries_as_depth: &'a mut [f32],
    d_out: &'a mut [f32],
    d_out_as_depth: &'a mut [f32],
    block: Block<'a>,
}

/// A block of scores: weights, their gradients, and both rounded.
struct Block<'a> {
    weights: &'a mut [f32],
    gradients: &'a mut [f32],
    rounded_weights: &'a mut [f32],
    rounded_gradients: &'a mut [f32],
    turned: &'a mut [f32],
}

impl<'a> BackwardRoom<'a> {
    fn length(rows: usize, size: usize) -> usize {
        8 * rows * size / 2 + 2 * SCORES + 2 * WEIGHTS + turned_room()
    }

    fn new(mut room: Room<'a>, rows: usize, size: usize) -> BackwardRoom<'a> {
        let mut head = || room.take(rows * size / 2);
        BackwardRoom {
            copied: head(),
            keys_as_columns: head(),
            keys_as_depth: head(),
            values_as_columns: head(),
            queries: head(),
            queries_as_depth: head(),
            d_out: head(),
            d_out_as_depth: head(),
            block: Block {
                weights: room.take(SCORES),
                gradients: room.take(SCORES),
                rounded_weights: room.take(WEIGHTS),
                rounded_gradients: room.take(WEIGHTS),
                turned: room.take(turned_room()),
            },
        }
    }
}

struct Backward<'a, T> {
    products: Products<T>,
    heads: Heads,
    input: Input<'a>,
    d_queries: SharedMut<'a, f32>,
    d_keys: SharedMut<'a, f32>,
    d_values: SharedMut<'a, f32>,
    d_out: Elements<'a>,
    out: Elements<'a>,
    log_sums: &'a [f32],
}

/// What is ready to be multiplied with of a key head and a query head, and how long it is.
struct Packed<'a> {
    keys_as_columns: &'a [f32],
    keys_as_depth: &'a [f32],
    values_as_columns: &'a [f32],
    queries: &'a [bf16],
    queries_as_depth: &'a [f32],
    d_out: &'a [bf16],
    d_out_as_depth: &'a [f32],
    /// Keys, filled up to whole blocks.
    keys: usize,
    /// Queries, filled up to whole blocks.
    rows: usize,
}

impl<T: Tiles> Backward<'_, T> {
    fn span(&self, room: &mut BackwardRoom, span: &Span, head: usize) {
        let (products, heads, size) = (self.products, self.heads, self.heads.size);
        let (keys, queries) = (span.keys.len(), span.queries.len());
        let (whole, rows) = (keys.next_multiple_of(KEYS), queries.next_multiple_of(QUERIES));
        let place = key_head(heads, span.keys.start, head);
        let (of_keys, of_queries) = (whole * size / 2, rows * size / 2);
        let copied = &mut room.copied[..of_keys];
        let copy = products.rows(copied, self.input.keys.floats(), place, keys);
        products.pack_columns(&mut room.keys_as_columns[..of_keys], copy);
        products.pack_depths(&mut room.keys_as_depth[..of_keys], copy);
        let copy = products.rows(copied, self.input.values.floats(), place, keys);
        products.pack_columns(&mut room.values_as_columns[..of_keys], copy);
        for head in head * heads.group()..(head + 1) * heads.group() {
            let place = query_head(heads, span.queries.start, head);
            let room_of_rows = &mut room.queries[..of_queries];
            let query_rows = products.rows(room_of_rows, self.input.queries, place, queries);
            products.pack_depths(&mut room.queries_as_depth[..of_queries], query_rows);
            let d_out = products.rows(&mut room.d_out[..of_queries], self.d_out, place, queries);
            products.pack_depths(&mut room.d_out_as_depth[..of_queries], d_out);
            let packed = Packed {
                keys_as_columns: room.keys_as_columns,
                keys_as_depth: room.keys_as_depth,
                values_as_columns: room.values_as_columns,
                queries: query_rows,
                queries_as_depth: room.queries_as_depth,
                d_out,
                d_out_as_depth: room.d_out_as_depth,
                keys: whole,
                rows,
            };
            self.head(&packed, &mut room.block, span, head);
        }
    }

    fn head(&self, packed: &Packed, block: &mut Block, span: &Span, head: usize) {
        let before = span.keys.len() - span.queries.len();
        let keys = key_head(self.heads, span.keys.start, head / self.heads.group());
        for first_key in (0..span.keys.len()).step_by(KEYS) {
            let first = first_key.saturating_sub(before) / QUERIES * QUERIES;
            for start in (first..span.queries.len()).step_by(QUERIES) {
                let sight = Sight::new(span, start..(start + QUERIES).min(span.queries.len()));
                let queries = query_head(self.heads, span.queries.start + start, head);
                let keys = HeadRows { first_row: keys.first_row + first_key, ..keys };
                self.gradients(packed, block, (&sight, first_key), (queries, keys), head);
            }
        }
    }

    /// One block of queries of one head against one block of keys.
    fn gradients(
        &self,
        packed: &Packed,
        block: &mut Block,
        (sight, first_key): (&Sight, usize),
        (queries, keys): (HeadRows, HeadRows),
        head: usize,
    ) {
        let (products, size) = (self.products, self.heads.size);
        let (start, rows) = (sight.queries.start, sight.queries.len());
        let count = (first_key + KEYS).min(sight.by_last()) - first_key;
        let (width, depth) = (count.next_multiple_of(SQUARE), rows.next_multiple_of(SQUARE));
        let sides = (
            products.left(packed.queries, start),
            products.columns(packed.keys_as_columns, first_key),
        );
        products.multiply(scores(block.weights), (rows, width, size), sides, false);
        let sides = (
            products.left(packed.d_out, start),
            products.columns(packed.values_as_columns, first_key),
        );
        products.multiply(scores(block.gradients), (rows, width, size), sides, false);
        self.rows(block, (sight, first_key..first_key + count), queries, head);
        let d_values = at(self.d_values, keys);
        let sides = (
            products.turn(block.turned, block.rounded_weights),
            products.depths(packed.d_out_as_depth, packed.rows, start),
        );
        products.multiply(d_values, (count, size, depth), sides, true);
        let sides = (
            products.turn(block.turned, block.rounded_gradients),
            products.depths(packed.queries_as_depth, packed.rows, start),
        );
        products.multiply(at(self.d_keys, keys), (count, size, depth), sides, true);
        let sides = (
            products.weights(block.rounded_gradients),
            products.depths(packed.keys_as_depth, packed.keys, first_key),
        );
        products.multiply(at(self.d_queries, queries), (rows, size, width), sides, true);
    }

    /// Scores become weights, and gradients of weights become gradients of scores; both rounded.
    fn rows(
        &self,
        block: &mut Block,
        (sight, keys): (&Sight, Range<usize>),
        place: HeadRows,
        head: usize,
    ) {
        let (seen, width) = (sight.at(keys.clone(), 1), keys.len().next_multiple_of(SQUARE));
        for rounded in [&mut *block.rounded_weights, &mut *block.rounded_gradients] {
            clear_rows(rounded, seen.rows..QUERIES);
        }
        self.products.instructions.run(Rows {
            row: |row| {
                let columns = place.row(row, self.heads.size);
                RowOf {
                    visible: seen.by(row),
                    scale: self.heads.scale(),
                    log_sum: self.log_sums[(place.first_row + row) * self.heads.queries + head],
                    d_out: self.d_out.part(columns.clone()),
                    out: self.out.part(columns),
                }
            },
            block,
            count: seen.rows,
            width,
        });
    }
}

/// The gradients of the keys of a block, or of the queries.
fn at(x: SharedMut<f32>, place: HeadRows) -> Rectangle<f32> {
    Rectangle { elements: x, start: place.start(), stride: place.columns }
}

/// As in [`GradientRow`].
struct RowOf<'a> {
    visible: usize,
    scale: f32,
    log_sum: f32,
    d_out: Elements<'a>,
    out: Elements<'a>,
}

struct Rows<'b, 'a, F> {
    row: F,
    block: &'b mut Block<'a>,
    count: usize,
    width: usize,
}

impl<'d, F: Fn(usize) -> RowOf<'d>> Kernel for Rows<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let block = self.block;
        for row in 0..self.count {
            let scores = &mut block.weights[row * KEYS..][..self.width];
            let gradients = &mut block.gradients[row * KEYS..][..self.width];
            let RowOf { visible, scale, log_sum, d_out, out } = (self.row)(row);
            let turn = GradientRow {
                scores: &mut *scores,
                gradients: &mut *gradients,
                visible,
                scale,
                log_sum,
                d_out,
                out,
            };
            turn.run(s);
            round_row(s, block.rounded_weights, row, scores);
            round_row(s, block.rounded_gradients, row, gradients);
        }
    }
}
