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
//! Blocks of keys start at the first key of a span, and a masked key has the weight zero, so what a
//! query gets does not depend on the queries that stand in its block. That holds for finite values:
//! zero times an infinite value is not a number, and so a query may get that from a masked key.

use crate::backend::QkvViews;
use crate::cpu::attention_blocks::{
    HeadRows, Input, KEYS, Products, QUERIES, Room, SCORES, Sight, key_head, query_head,
    scores_side,
};
use crate::cpu::attention_rows::{Finish, SoftmaxRow};
use crate::cpu::elements::SharedElements;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_kernel::Store;
use crate::cpu::matmul_pack::Along;
use crate::cpu::threads::SharedMut;
use crate::layout::{Heads, Span, Spans};
use crate::view::View;
use std::ops::Range;

/// See [`crate::ops::attention`]. A task is a block of queries of all heads that share a key head.
pub fn forward(
    machine: &Machine,
    scratch: &mut Scratch,
    (out, log_sums): (View, View),
    input: QkvViews,
    spans: &Spans,
    heads: Heads,
) {
    let per_thread = room_of_thread(heads);
    let room = scratch.parts.floats(machine.pool.threads() * per_thread);
    let room = SharedMut::new(room);
    // SAFETY: the running operation's outputs and inputs.
    let forward = unsafe {
        Forward {
            products: Products(machine.instructions),
            heads,
            input: Input::new(input),
            out: SharedElements::of(out),
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

fn room_of_thread(heads: Heads) -> usize {
    let of_head = Room::block(heads) + Room::outputs(heads) + State::LENGTH;
    heads.group() * of_head + 2 * Room::block(heads) + 2 * SCORES
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

struct Forward<'a> {
    products: Products,
    heads: Heads,
    input: Input<'a>,
    out: SharedElements<'a>,
    log_sums: SharedMut<'a, f32>,
}

impl Forward<'_> {
    fn block(&self, room: &mut [f32], span: &Span, head: usize, queries: Range<usize>) {
        let (heads, size) = (self.heads, self.heads.size);
        let mut room = Room(room);
        let states = room.take(heads.group() * State::LENGTH);
        let outputs = room.take(heads.group() * Room::outputs(heads));
        let packed = room.take(heads.group() * Room::block(heads));
        let (packed_keys, packed_values) = (room.block_of(heads), room.block_of(heads));
        let mut scratch = (room.take(SCORES), room.take(SCORES));
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
                let out = &mut outputs[inside * Room::outputs(heads)..][..rows * size];
                self.products.scores(scratch.0, (rows, keys, size), queries, packed_keys);
                self.soften(scratch.0, state, out, &sight, first_key..first_key + keys);
                self.weigh(&mut scratch, packed_values, out, (rows, keys), first_key);
            }
        }
        let states = states.chunks_exact_mut(State::LENGTH);
        let outputs = outputs.chunks_exact(Room::outputs(heads));
        for (inside, (state, out)) in states.zip(outputs).enumerate() {
            let head = head * heads.group() + inside;
            self.finish(State::of(state), &out[..rows * size], place(inside), head);
        }
    }

    /// Scores become weights, row by row.
    fn soften(
        &self,
        scores: &mut [f32],
        state: State,
        out: &mut [f32],
        sight: &Sight,
        keys: Range<usize>,
    ) {
        let width = keys.len().next_multiple_of(16);
        if keys.start == 0 {
            state.maxima.fill(f32::NEG_INFINITY);
            state.sums.fill(0.0);
        }
        let rows = scores.chunks_exact_mut(KEYS).zip(out.chunks_exact_mut(self.heads.size));
        for (row, (scores, out)) in rows.enumerate() {
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
        out: &mut [f32],
        (rows, keys): (usize, usize),
        first_key: usize,
    ) {
        let store = if first_key == 0 { Store::Overwrite } else { Store::Add };
        let (size, sizes) = (self.heads.size, (rows, self.heads.size, keys));
        self.products.pack_left(packed, scores_side(weights, Along::Depth, rows, keys));
        self.products.into_block((out, size), sizes, packed, values, store);
    }

    fn finish(&self, state: State, values: &[f32], place: HeadRows, head: usize) {
        for (row, values) in values.chunks_exact(self.heads.size).enumerate() {
            let log_sum = (place.first_row + row) * self.heads.queries + head;
            // SAFETY: columns of a head in rows of a block, which only this task touches.
            let (out, log_sum) = unsafe {
                let out = self.out.part(place.row(row, self.heads.size));
                (out, self.log_sums.part(log_sum..log_sum + 1))
            };
            let (maximum, sum) = (state.maxima[row], state.sums[row]);
            log_sum[0] = self.products.0.run(Finish { out, values, maximum, sum });
        }
    }
}

/// Largest scaled score and sum of the weights of every query of a block, for one head.
struct State<'a> {
    maxima: &'a mut [f32],
    sums: &'a mut [f32],
}

impl<'a> State<'a> {
    const LENGTH: usize = 2 * QUERIES.next_multiple_of(16);

    fn of(room: &'a mut [f32]) -> State<'a> {
        let (maxima, sums) = room.split_at_mut(State::LENGTH / 2);
        State { maxima, sums }
    }
}
