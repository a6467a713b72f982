//! Causal attention in blocks of queries and keys that stay in the cache, after Dao et al.,
//! "FlashAttention" (2022): no matrix of queries by keys exists.
//!
//! ```text
//! forward, for each block of queries:            backward, for each block of keys:
//!     for each block of keys:                        for each block of queries that see it:
//!         S = Q Kᵀ                                       S = Q Kᵀ, P = exp(S − log_sums)
//!         raise the maximum, P = exp(S − maximum)        d_V += Pᵀ d_O
//!         shrink the sum and O to the new maximum        d_S = P ∘ (d_O Vᵀ − Σ d_O ∘ O)
//!         O += P V                                       d_Q += d_S K, d_K += d_Sᵀ Q
//!     O /= sum                                   (S is scaled by 1/√size, and so is d_S)
//! ```
//!
//! Blocks of keys start at the first key of a span, and a masked key adds an exact zero, so what a
//! query gets does not depend on the queries that stand in its block.

use crate::backend::QkvViews;
use crate::cpu::attention_rows::{Finish, GradientRow, SoftmaxRow};
use crate::cpu::instructions::Instructions;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_kernel::{PanelProduct, Store, Target};
use crate::cpu::matmul_pack::{Along, Pack, Side, packed_length};
use crate::cpu::threads::SharedMut;
use crate::layout::{Heads, Span, Spans};
use crate::view::View;
use std::ops::Range;

/// Queries of a block: whole tiles of rows on AVX-512.
const QUERIES: usize = 56;
/// Keys of a block: whole tiles of columns on every path.
const KEYS: usize = 64;

/// See [`crate::ops::attention`]. A task is a block of queries of all heads that share a key head.
pub fn forward(
    machine: &Machine,
    scratch: &mut Scratch,
    (out, log_sums): (View, View),
    input: QkvViews,
    spans: &Spans,
    heads: Heads,
) {
    let per_thread = Room::forward(heads);
    let room = scratch.parts.floats(machine.pool.threads() * per_thread);
    let room = SharedMut::new(room);
    // SAFETY: the running operation's outputs and inputs.
    let forward = unsafe {
        Forward {
            products: Products(machine.instructions),
            heads,
            input: Input::new(input),
            out: SharedMut::new(out.f32s_mut()),
            log_sums: SharedMut::new(log_sums.f32s_mut()),
        }
    };
    let blocks = |span: &Span| span.queries.len().div_ceil(QUERIES) * heads.keys;
    machine.pool.run(spans.iter().map(blocks).sum(), &|task, thread| {
        let (span, within) = locate(spans, task, blocks);
        // Later queries see more keys: the longest tasks come first.
        let block = span.queries.len().div_ceil(QUERIES) - 1 - within / heads.keys;
        let first = block * QUERIES;
        let queries = first..(first + QUERIES).min(span.queries.len());
        // SAFETY: every thread has a part of its own.
        let room = unsafe { room.part(thread * per_thread..(thread + 1) * per_thread) };
        forward.block(room, span, within % heads.keys, queries);
    });
}

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
    let per_thread = Room::backward(heads);
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
            d_out: d_out.f32s(),
            out: result.0.f32s(),
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

/// The span of a task and the number of the task inside it.
fn locate(spans: &Spans, task: usize, tasks: impl Fn(&Span) -> usize) -> (&Span, usize) {
    let mut before = 0;
    let found = spans.iter().find(|span| {
        before += tasks(span);
        task < before
    });
    let span = found.expect("there are as many tasks as the spans have together");
    (span, task + tasks(span) - before)
}

struct Input<'a> {
    queries: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
}

impl<'a> Input<'a> {
    /// # Safety
    /// As [`View::f32s`].
    unsafe fn new(views: QkvViews) -> Input<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            Input {
                queries: views.queries.f32s(),
                keys: views.keys.f32s(),
                values: views.values.f32s(),
            }
        }
    }
}

/// Memory of one thread, cut into what a task needs.
struct Room<'a>(&'a mut [f32]);

impl<'a> Room<'a> {
    /// Packed and unpacked blocks are at most so large, whatever the tile.
    fn block(heads: Heads) -> usize {
        packed_length(heads.size, QUERIES.max(KEYS), 64)
    }

    fn forward(heads: Heads) -> usize {
        heads.group() * (Room::block(heads) + State::LENGTH) + 2 * Room::block(heads) + 2 * 64 * 64
    }

    fn backward(heads: Heads) -> usize {
        6 * Room::block(heads) + 3 * 64 * 64
    }

    fn block_of(&mut self, heads: Heads) -> &'a mut [f32] {
        self.take(Room::block(heads))
    }

    fn take(&mut self, length: usize) -> &'a mut [f32] {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut(length);
        self.0 = rest;
        taken
    }
}

/// Columns of one head in some rows of a matrix.
#[derive(Clone, Copy)]
struct HeadRows {
    first_row: usize,
    first_column: usize,
    columns: usize,
}

impl HeadRows {
    fn start(&self) -> usize {
        self.first_row * self.columns + self.first_column
    }

    /// As the left or right side of a product whose lanes are the rows.
    fn rows<'a>(&self, x: &'a [f32], rows: usize, size: usize) -> Side<'a> {
        Side::of(&x[self.start()..], Along::Depth, self.columns, rows, size)
    }

    /// As the right side of a product that sums over the rows.
    fn summed<'a>(&self, x: &'a [f32], rows: usize, size: usize) -> Side<'a> {
        Side::of(&x[self.start()..], Along::Lanes, self.columns, size, rows)
    }

    fn row(&self, row: usize, size: usize) -> Range<usize> {
        let start = self.start() + row * self.columns;
        start..start + size
    }

    fn target(&self, x: &SharedMut<f32>, rows: usize, size: usize) -> Target {
        let place = self.start()..self.row(rows - 1, size).end;
        Target { start: x.pointer(place), stride: self.columns }
    }
}

fn query_head(heads: Heads, first_row: usize, head: usize) -> HeadRows {
    HeadRows { first_row, first_column: head * heads.size, columns: heads.query_columns() }
}

fn key_head(heads: Heads, first_row: usize, head: usize) -> HeadRows {
    HeadRows { first_row, first_column: head * heads.size, columns: heads.key_columns() }
}

/// Packing and multiplying whole blocks.
#[derive(Clone, Copy)]
struct Products(Instructions);

impl Products {
    fn pack_left(self, out: &mut [f32], side: Side) {
        let (lanes, depths, width) = (0..side.lanes, 0..side.depth, self.0.tile_rows());
        self.0.run(Pack { out, side, lanes, depths, width, narrow: true });
    }

    fn pack_right(self, out: &mut [f32], side: Side) {
        let (lanes, depths, width) = (0..side.lanes, 0..side.depth, self.0.tile_columns());
        self.0.run(Pack { out, side, lanes, depths, width, narrow: false });
    }

    /// Rows times keys; a row of the result is [`KEYS`] long.
    fn scores(self, out: &mut [f32], sizes: (usize, usize, usize), left: &[f32], right: &[f32]) {
        assert!(out.len() >= sizes.0 * KEYS && sizes.1 <= KEYS);
        let target = Target { start: out.as_mut_ptr(), stride: KEYS };
        // SAFETY: inside `out` by the assertion, which nobody else holds.
        self.0.run(unsafe { PanelProduct::new(target, sizes, left, right, Store::Overwrite) });
    }

    /// Into the columns of one head.
    ///
    /// # Safety
    /// No other task may use these columns of these rows.
    unsafe fn into_head(
        self,
        (out, place): (&SharedMut<f32>, HeadRows),
        sizes: (usize, usize, usize),
        left: &[f32],
        right: &[f32],
        store: Store,
    ) {
        let target = place.target(out, sizes.0, sizes.1);
        // SAFETY: `target` asserts that it lies inside; alone by the caller's promise.
        self.0.run(unsafe { PanelProduct::new(target, sizes, left, right, store) });
    }
}

/// A block of scores as a side of a product.
fn scores_side(scores: &[f32], along: Along, lanes: usize, depth: usize) -> Side<'_> {
    Side::of(scores, along, KEYS, lanes, depth)
}

/// Queries of a span against its keys: who sees what.
#[derive(Clone)]
struct Sight {
    /// Queries, counted from the first of the span.
    queries: Range<usize>,
    /// Keys that the first of these queries sees, counted from the first of the span.
    by_first: usize,
}

impl Sight {
    fn new(span: &Span, queries: Range<usize>) -> Sight {
        let by_first = span.keys.len() - span.queries.len() + queries.start + 1;
        Sight { queries, by_first }
    }

    /// Keys that the last of these queries sees.
    fn by_last(&self) -> usize {
        self.by_first + self.queries.len() - 1
    }

    /// How many of `keys` keys from `first_key` on the `row`th of these queries sees.
    fn visible(&self, row: usize, first_key: usize, keys: usize) -> usize {
        (self.by_first + row).saturating_sub(first_key).min(keys)
    }
}

struct Forward<'a> {
    products: Products,
    heads: Heads,
    input: Input<'a>,
    out: SharedMut<'a, f32>,
    log_sums: SharedMut<'a, f32>,
}

/// Largest scaled score and sum of the weights of every query of a block, for one head.
struct State<'a> {
    maxima: &'a mut [f32],
    sums: &'a mut [f32],
}

impl<'a> State<'a> {
    const LENGTH: usize = 2 * 64;

    fn of(room: &'a mut [f32]) -> State<'a> {
        let (maxima, sums) = room.split_at_mut(State::LENGTH / 2);
        State { maxima, sums }
    }
}

impl Forward<'_> {
    fn block(&self, room: &mut [f32], span: &Span, head: usize, queries: Range<usize>) {
        let (heads, size) = (self.heads, self.heads.size);
        let mut room = Room(room);
        let states = room.take(heads.group() * State::LENGTH);
        let packed = room.take(heads.group() * Room::block(heads));
        let (packed_keys, packed_values) = (room.block_of(heads), room.block_of(heads));
        let mut scratch = (room.take(64 * 64), room.take(64 * 64));
        let sight = Sight::new(span, queries);
        let rows = sight.queries.len();
        let first_row = span.queries.start + sight.queries.start;
        let place = |inside| query_head(heads, first_row, head * heads.group() + inside);
        for (inside, packed) in packed.chunks_exact_mut(Room::block(heads)).enumerate() {
            self.products.pack_left(packed, place(inside).rows(self.input.queries, rows, size));
        }
        for first_key in (0..sight.by_last()).step_by(KEYS) {
            let keys = KEYS.min(sight.by_last() - first_key);
            let key_place = key_head(heads, span.keys.start + first_key, head);
            self.products.pack_right(packed_keys, key_place.rows(self.input.keys, keys, size));
            let values = key_place.summed(self.input.values, keys, size);
            self.products.pack_right(packed_values, values);
            for inside in 0..heads.group() {
                let queries = &packed[inside * Room::block(heads)..];
                let state = State::of(&mut states[inside * State::LENGTH..][..State::LENGTH]);
                self.products.scores(scratch.0, (rows, keys, size), queries, packed_keys);
                self.soften(scratch.0, state, place(inside), &sight, first_key..first_key + keys);
                self.weigh(&mut scratch, packed_values, place(inside), (rows, keys), first_key);
            }
        }
        for (inside, state) in states.chunks_exact_mut(State::LENGTH).enumerate() {
            self.finish(State::of(state), place(inside), rows, head * heads.group() + inside);
        }
    }

    /// Scores become weights, row by row.
    fn soften(
        &self,
        scores: &mut [f32],
        state: State,
        place: HeadRows,
        sight: &Sight,
        keys: Range<usize>,
    ) {
        let width = keys.len().next_multiple_of(16);
        if keys.start == 0 {
            state.maxima.fill(f32::NEG_INFINITY);
            state.sums.fill(0.0);
        }
        for (row, scores) in scores.chunks_exact_mut(KEYS).take(sight.queries.len()).enumerate() {
            // SAFETY: columns of a head in rows of a block, which only this task touches.
            let out = unsafe { self.out.part(place.row(row, self.heads.size)) };
            self.products.0.run(SoftmaxRow {
                scores: &mut scores[..width],
                visible: sight.visible(row, keys.start, keys.len()),
                scale: self.heads.scale(),
                maximum: &mut state.maxima[row],
                sum: &mut state.sums[row],
                out,
            });
        }
    }

    /// `out += weights · values`
    fn weigh(
        &self,
        (weights, packed): &mut (&mut [f32], &mut [f32]),
        values: &[f32],
        place: HeadRows,
        (rows, keys): (usize, usize),
        first_key: usize,
    ) {
        let store = if first_key == 0 { Store::Overwrite } else { Store::Add };
        let (out, sizes) = ((&self.out, place), (rows, self.heads.size, keys));
        self.products.pack_left(packed, scores_side(weights, Along::Depth, rows, keys));
        // SAFETY: columns of a head in rows of a block, which only this task touches.
        unsafe { self.products.into_head(out, sizes, packed, values, store) };
    }

    fn finish(&self, state: State, place: HeadRows, rows: usize, head: usize) {
        for row in 0..rows {
            let log_sum = (place.first_row + row) * self.heads.queries + head;
            // SAFETY: columns of a head in rows of a block, which only this task touches.
            let (out, log_sum) = unsafe {
                let out = self.out.part(place.row(row, self.heads.size));
                (out, self.log_sums.part(log_sum..log_sum + 1))
            };
            let (maximum, sum) = (state.maxima[row], state.sums[row]);
            log_sum[0] = self.products.0.run(Finish { out, maximum, sum });
        }
    }
}

struct Backward<'a> {
    products: Products,
    heads: Heads,
    input: Input<'a>,
    d_queries: SharedMut<'a, f32>,
    d_keys: SharedMut<'a, f32>,
    d_values: SharedMut<'a, f32>,
    d_out: &'a [f32],
    out: &'a [f32],
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
            packed: room.take(Room::block(heads).max(64 * 64)),
            queries_as_rows: room.block_of(heads),
            d_out_as_rows: room.block_of(heads),
            weights: room.take(64 * 64),
            gradients: room.take(64 * 64),
        };
        for first_key in (0..span.keys.len()).step_by(KEYS) {
            block.keys = first_key..(first_key + KEYS).min(span.keys.len());
            block.place = key_head(heads, span.keys.start + first_key, head);
            let keys = block.keys.len();
            let (key_side, value_side) = (
                block.place.rows(self.input.keys, keys, size),
                block.place.rows(self.input.values, keys, size),
            );
            self.products.pack_right(block.keys_as_columns, key_side);
            self.products.pack_right(block.values_as_columns, value_side);
            let summed = block.place.summed(self.input.keys, keys, size);
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
        let (rows, columns) = (sight.queries.len(), keys.keys.len());
        let (queries, d_out) = (self.input.queries, self.d_out);
        products.pack_left(block.packed, place.rows(queries, rows, size));
        products.scores(block.weights, (rows, columns, size), block.packed, keys.keys_as_columns);
        products.pack_left(block.packed, place.rows(d_out, rows, size));
        let sizes = (rows, columns, size);
        products.scores(block.gradients, sizes, block.packed, keys.values_as_columns);
        self.rows(keys, block, sight, place, head);
        products.pack_right(block.queries_as_rows, place.summed(queries, rows, size));
        products.pack_right(block.d_out_as_rows, place.summed(d_out, rows, size));
        let by_key = |scores| scores_side(scores, Along::Lanes, columns, rows);
        // SAFETY: the columns of a key head, and of the query heads that read it, belong to one task
        // in the rows of a span, and in all rows where spans share keys.
        unsafe {
            let sizes = (columns, size, rows);
            products.pack_left(block.packed, by_key(block.weights));
            let out = (&self.d_values, keys.place);
            products.into_head(out, sizes, block.packed, block.d_out_as_rows, Store::Add);
            products.pack_left(block.packed, by_key(block.gradients));
            let out = (&self.d_keys, keys.place);
            products.into_head(out, sizes, block.packed, block.queries_as_rows, Store::Add);
            let by_query = scores_side(block.gradients, Along::Depth, rows, columns);
            products.pack_left(block.packed, by_query);
            let (out, sizes) = ((&self.d_queries, place), (rows, size, columns));
            products.into_head(out, sizes, block.packed, keys.keys_as_rows, Store::Add);
        }
    }

    /// Scores become weights, and gradients of weights become gradients of scores.
    fn rows(
        &self,
        keys: &KeyBlock,
        block: &mut QueryBlock,
        sight: &Sight,
        place: HeadRows,
        head: usize,
    ) {
        let width = keys.keys.len().next_multiple_of(16);
        let weights = block.weights.chunks_exact_mut(KEYS);
        let rows = weights.zip(block.gradients.chunks_exact_mut(KEYS));
        for (row, (weights, gradients)) in rows.take(sight.queries.len()).enumerate() {
            let columns = place.row(row, self.heads.size);
            self.products.0.run(GradientRow {
                scores: &mut weights[..width],
                gradients: &mut gradients[..width],
                visible: sight.visible(row, keys.keys.start, keys.keys.len()),
                scale: self.heads.scale(),
                log_sum: self.log_sums[(place.first_row + row) * self.heads.queries + head],
                d_out: &self.d_out[columns.clone()],
                out: &self.out[columns],
            });
        }
    }
}
