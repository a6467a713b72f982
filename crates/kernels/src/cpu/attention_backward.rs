//! Gradients of attention. See `attention.rs` for the plan.

use crate::backend::QkvViews;
use crate::cpu::attention_blocks::{
    HeadRows, Input, KEYS, QUERIES, Room, SCORES, Seen, Sight, key_head, query_head,
};
use crate::cpu::attention_products::Products;
use crate::cpu::attention_rows::{EachRow, GradientRow};
use crate::cpu::elements::Elements;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_kernel::Store;
use crate::cpu::threads::SharedMut;
use crate::layout::{Heads, Span, Spans};
use crate::view::View;
use std::ops::Range;

/// See [`crate::ops::attention_backward`]. A task is a span and a key head, so that the sums over
/// queries have one order; where spans share keys, it is all spans and a key head.
pub fn backward(
    machine: &Machine,
    scratch: &mut Scratch,
    d_input: QkvViews,
    (d_out, result): (View, (View, View)),
    input: QkvViews,
    spans: &Spans,
    heads: Heads,
) {
    let per_thread = room_of_thread(heads);
    let room = scratch.parts.floats(machine.pool.threads() * per_thread);
    let room = SharedMut::new(room);
    // SAFETY: the running operation's outputs and inputs.
    let backward = unsafe {
        Backward {
            products: Products(machine.instructions),
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
        let (first, head) = (task / heads.keys, task % heads.keys);
        for span in spans.iter().skip(first).take(if apart { 1 } else { usize::MAX }) {
            backward.span(room, span, head);
        }
    });
}

/// Whether no key belongs to two spans, as far as one look in order can tell.
fn keys_are_apart(spans: &Spans) -> bool {
    let in_order = |(before, after): (&Span, &Span)| before.keys.end <= after.keys.start;
    spans.iter().zip(spans.iter().skip(1)).all(in_order)
}

fn room_of_thread(heads: Heads) -> usize {
    6 * Room::block(heads) + 2 * SCORES
}

struct Backward<'a> {
    products: Products,
    heads: Heads,
    input: Input<'a>,
    d_queries: SharedMut<'a, f32>,
    d_keys: SharedMut<'a, f32>,
    d_values: SharedMut<'a, f32>,
    d_out: Elements<'a>,
    out: Elements<'a>,
    log_sums: &'a [f32],
}

/// A block of keys, packed in every way that the products ask for.
struct KeyBlock<'a> {
    place: HeadRows,
    keys: Range<usize>,
    keys_as_columns: &'a mut [f32],
    keys_as_rows: &'a mut [f32],
    values_as_columns: &'a mut [f32],
}

/// A block of queries and of the gradients of their outputs, likewise, and two blocks of scores.
struct QueryBlock<'a> {
    packed: &'a mut [f32],
    queries_as_rows: &'a mut [f32],
    d_out_as_rows: &'a mut [f32],
    weights: &'a mut [f32],
    gradients: &'a mut [f32],
}

impl Backward<'_> {
    fn span(&self, room: &mut [f32], span: &Span, head: usize) {
        let (heads, size) = (self.heads, self.heads.size);
        let mut room = Room(room);
        let mut block = KeyBlock {
            place: key_head(heads, span.keys.start, head),
            keys: 0..0,
            keys_as_columns: room.block_of(heads),
            keys_as_rows: room.block_of(heads),
            values_as_columns: room.block_of(heads),
        };
        let mut queries = QueryBlock {
            packed: room.block_of(heads),
            queries_as_rows: room.block_of(heads),
            d_out_as_rows: room.block_of(heads),
            weights: room.take(SCORES),
            gradients: room.take(SCORES),
        };
        for first_key in (0..span.keys.len()).step_by(KEYS) {
            block.keys = first_key..(first_key + KEYS).min(span.keys.len());
            block.place = key_head(heads, span.keys.start + first_key, head);
            let keys = block.keys.len();
            let (key_side, value_side) = (
                block.place.rows(self.input.keys.floats(), keys, size),
                block.place.rows(self.input.values.floats(), keys, size),
            );
            self.products.pack_right(block.keys_as_columns, key_side);
            self.products.pack_right(block.values_as_columns, value_side);
            let summed = block.place.summed(self.input.keys.floats(), keys, size);
            self.products.pack_right(block.keys_as_rows, summed);
            self.queries_that_see(&block, &mut queries, span, head);
        }
    }

    fn queries_that_see(&self, keys: &KeyBlock, block: &mut QueryBlock, span: &Span, head: usize) {
        let before = span.keys.len() - span.queries.len();
        let first = keys.keys.start.saturating_sub(before) / QUERIES * QUERIES;
        for start in (first..span.queries.len()).step_by(QUERIES) {
            let queries = start..(start + QUERIES).min(span.queries.len());
            let sight = Sight::new(span, queries);
            for head in head * self.heads.group()..(head + 1) * self.heads.group() {
                let place = query_head(self.heads, span.queries.start + start, head);
                self.gradients(keys, block, &sight, place, head);
            }
        }
    }

    /// One block of queries of one head against one block of keys.
    fn gradients(
        &self,
        keys: &KeyBlock,
        block: &mut QueryBlock,
        sight: &Sight,
        place: HeadRows,
        head: usize,
    ) {
        let (products, size) = (self.products, self.heads.size);
        let (seen, rows) = (sight.at(keys.keys.clone(), 1), sight.queries.len());
        let (queries, d_out) = (self.input.queries, self.d_out);
        products.pack_left(block.packed, place.rows(queries, rows, size));
        products.scores(block.weights, seen, size, block.packed, keys.keys_as_columns);
        products.pack_left(block.packed, place.rows(d_out, rows, size));
        products.scores(block.gradients, seen, size, block.packed, keys.values_as_columns);
        self.rows(block, seen, place, head);
        products.pack_right(block.queries_as_rows, place.summed(queries, rows, size));
        products.pack_right(block.d_out_as_rows, place.summed(d_out, rows, size));
        let d_values = keys.place.target(&self.d_values, seen.keys, size);
        let d_keys = keys.place.target(&self.d_keys, seen.keys, size);
        let d_queries = place.target(&self.d_queries, rows, size);
        let sizes = (seen, size);
        // SAFETY: the columns of a key head, and of the query heads that read it, belong to one task
        // in the rows of a span, and in all rows where spans share keys.
        unsafe {
            products.by_key(d_values, sizes, block.weights, block.d_out_as_rows);
            products.by_key(d_keys, sizes, block.gradients, block.queries_as_rows);
            let right = &*keys.keys_as_rows;
            products.by_query(d_queries, sizes, block.gradients, right, Store::Add);
        }
    }

    /// Scores become weights, and gradients of weights become gradients of scores.
    fn rows(&self, block: &mut QueryBlock, seen: Seen, place: HeadRows, head: usize) {
        let width = seen.keys.next_multiple_of(16);
        let weights = block.weights.chunks_exact_mut(KEYS);
        let rows = weights.zip(block.gradients.chunks_exact_mut(KEYS)).take(seen.rows);
        self.products.0.run(EachRow(rows.enumerate().map(|(row, (weights, gradients))| {
            let columns = place.row(row, self.heads.size);
            GradientRow {
                scores: &mut weights[..width],
                gradients: &mut gradients[..width],
                visible: seen.by(row),
                scale: self.heads.scale(),
                log_sum: self.log_sums[(place.first_row + row) * self.heads.queries + head],
                d_out: self.d_out.part(columns.clone()),
                out: self.out.part(columns),
            }
        })));
    }
}
