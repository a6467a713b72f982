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
    HeadRows, Input, KEYS, Products, QUERIES, Room, SCORES, Sight, key_head as key_head_rows,
    scores_side,
};
use crate::cpu::attention_few::{BlockRows, FEW, FewScores, FewValues};
use crate::cpu::attention_rows::{Finish, SoftmaxRow, Widen};
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_kernel::Store;
use crate::cpu::matmul_pack::{Along, Elements, Side};
use crate::cpu::matmul_result::Elements as Out;
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
            out: Out::of(&out),
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
    out: Out<'a>,
    log_sums: SharedMut<'a, f32>,
}

impl<'a> Forward<'a> {
    fn block(&self, room: &mut [f32], span: &Span, key_head: usize, queries: Range<usize>) {
        let (heads, size) = (self.heads, self.heads.size);
        let mut room = Room(room);
        let states = room.take(heads.group() * State::LENGTH);
        let outputs = room.take(heads.group() * Room::outputs(heads));
        let packed = room.take(heads.group() * Room::block(heads));
        let (packed_keys, packed_values) = (room.block_of(heads), room.block_of(heads));
        let mut scratch = (room.take(SCORES), room.take(SCORES));
        let sight = Sight::new(span, queries);
        let teams = || Team::all(heads, key_head, &sight, span.queries.start);
        for (team, packed) in teams().zip(packed.chunks_exact_mut(Room::block(heads))) {
            self.pack_queries(packed, packed_keys, &team);
        }
        let few = teams().all(|team| team.rows() <= FEW);
        for first_key in (0..sight.by_last()).step_by(KEYS) {
            let keys = first_key..sight.by_last().min(first_key + KEYS);
            let place = key_head_rows(heads, span.keys.start + first_key, key_head);
            let block = |x: Elements<'a>| BlockRows {
                elements: x.after(place.start()),
                stride: place.columns,
                rows: keys.len(),
            };
            let (key_rows, value_rows) = (block(self.input.keys), block(self.input.values));
            if !few {
                self.products
                    .pack_right(packed_keys, place.rows(self.input.keys, keys.len(), size));
                self.products
                    .pack_right(packed_values, place.summed(self.input.values, keys.len(), size));
            }
            for (number, team) in teams().enumerate() {
                let queries = &packed[number * Room::block(heads)..];
                let state = State::of(&mut states[number * State::LENGTH..][..State::LENGTH]);
                let out = &mut outputs[number * Room::outputs(heads)..][..team.rows() * size];
                let sizes = (team.rows(), keys.len(), size);
                if few {
                    self.products.0.run(FewScores {
                        out: scratch.0,
                        stride: KEYS,
                        queries: &queries[..team.rows() * size],
                        size,
                        keys: key_rows,
                    });
                } else {
                    self.products.scores(scratch.0, sizes, queries, packed_keys);
                }
                self.soften(
                    scratch.0,
                    state,
                    out,
                    |row| sight.visible(row / team.heads.len(), keys.start, keys.len()),
                    keys.clone(),
                );
                if few {
                    self.products.0.run(FewValues {
                        out,
                        size,
                        add: keys.start > 0,
                        weights: scratch.0,
                        stride: KEYS,
                        values: value_rows,
                    });
                } else {
                    self.weigh(&mut scratch, packed_values, out, keys.clone());
                }
            }
        }
        for (number, team) in teams().enumerate() {
            let state = State::of(&mut states[number * State::LENGTH..][..State::LENGTH]);
            let out = &outputs[number * Room::outputs(heads)..][..team.rows() * size];
            self.finish(state, out, &team);
        }
    }

    /// Gathers the queries of a team and packs them.
    fn pack_queries(&self, packed: &mut [f32], gathered: &mut [f32], team: &Team) {
        let size = self.heads.size;
        for (row, out) in gathered.chunks_exact_mut(size).take(team.rows()).enumerate() {
            let query = self.input.queries.part(team.place(row, self.heads).row(0, size));
            self.products.0.run(Widen { out, x: query });
        }
        if team.rows() <= FEW {
            packed[..team.rows() * size].copy_from_slice(&gathered[..team.rows() * size]);
            return;
        }
        self.products.pack_left(packed, Side::of(gathered, Along::Depth, size, team.rows(), size));
    }

    /// Scores become weights, row by row.
    fn soften(
        &self,
        scores: &mut [f32],
        state: State,
        out: &mut [f32],
        visible: impl Fn(usize) -> usize,
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
                visible: visible(row),
                scale: self.heads.scale(),
                maximum: &mut state.maxima[row],
                sum: &mut state.sums[row],
                out,
            });
        }
    }

    /// `out += weights · values`; a single row is packed as it stands.
    fn weigh(
        &self,
        (weights, packed): &mut (&mut [f32], &mut [f32]),
        values: &[f32],
        out: &mut [f32],
        keys: Range<usize>,
    ) {
        let store = if keys.start == 0 { Store::Overwrite } else { Store::Add };
        let size = self.heads.size;
        let (rows, keys) = (out.len() / size, keys.len());
        let weights = if rows == 1 {
            &weights[..keys]
        } else {
            self.products.pack_left(packed, scores_side(weights, Along::Depth, rows, keys));
            &*packed
        };
        self.products.into_block((out, size), (rows, size, keys), weights, values, store);
    }

    fn finish(&self, state: State, values: &[f32], team: &Team) {
        for (row, values) in values.chunks_exact(self.heads.size).enumerate() {
            let place = team.place(row, self.heads);
            // SAFETY: columns of a head in a row, which only this task touches.
            let (out, log_sum) = unsafe {
                let out = self.out.part(place.row(0, self.heads.size));
                (out, self.log_sums.part(place.first_row..place.first_row + 1))
            };
            let (maximum, sum) = (state.maxima[row], state.sums[row]);
            log_sum[0] = self.products.0.run(Finish { out, values, maximum, sum });
        }
    }
}

/// Queries and heads whose scores are one product: all heads of a key head where the queries are so
/// few that their products alone would be slim, else one head.
struct Team {
    first_query: usize,
    queries: usize,
    heads: Range<usize>,
}

impl Team {
    fn all(
        heads: Heads,
        key_head: usize,
        sight: &Sight,
        first_query: usize,
    ) -> impl Iterator<Item = Team> {
        let (first_query, queries) = (first_query + sight.queries.start, sight.queries.len());
        let group = key_head * heads.group()..(key_head + 1) * heads.group();
        let together = if queries * heads.group() <= QUERIES { heads.group() } else { 1 };
        group.step_by(together).map(move |head| Team {
            first_query,
            queries,
            heads: head..head + together,
        })
    }

    fn rows(&self) -> usize {
        self.queries * self.heads.len()
    }

    /// Where a row stands among the heads of all queries: as a matrix of one head.
    fn place(&self, row: usize, heads: Heads) -> HeadRows {
        let (query, head) = (row / self.heads.len(), row % self.heads.len());
        let first_row = (self.first_query + query) * heads.queries + self.heads.start + head;
        HeadRows { first_row, first_column: 0, columns: heads.size }
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
