//! Attention in tiles, forward. See `attention_tiles.rs` for what it is made of.
//!
//! ```text
//! for each span, key head and range of queries:                                 (a task)
//!     pack the keys that they see, and their values
//!     for each query head that reads them, for each block of queries, for each block of keys:
//!         S = Q Kᵀ; raise the maximum, P = exp(S − maximum); O += P V
//! ```

use crate::backend::QkvViews;
use crate::cpu::attention_blocks::{Input, Room, Sight, key_head, query_head};
use crate::cpu::attention_rows::{Finish, SoftmaxRow};
use crate::cpu::attention_tiles::{
    KEYS, Products, QUERIES, SCORES, WEIGHTS, longest, round_row, scores,
};
use crate::cpu::instructions::Kernel;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_result::{Elements as Out, Rectangle};
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::cpu::tiles::{SQUARE, Tiles};
use crate::layout::{Heads, Span, Spans};
use crate::view::View;
use std::ops::Range;

/// As `attention::forward`, of what [`crate::cpu::attention_tiles::fit`]s.
pub fn forward<T: Tiles>(
    (tiles, machine, scratch): (T, &Machine, &mut Scratch),
    (out, log_sums): (View, View),
    input: QkvViews,
    spans: &Spans,
    heads: Heads,
) {
    let (keys, threads) = (longest(spans), machine.pool.threads());
    let per_thread = ForwardRoom::length(keys, heads.size);
    let room = SharedMut::new(scratch.parts.floats(threads * per_thread));
    // SAFETY: the running operation's outputs and inputs.
    let forward = unsafe {
        Forward {
            products: Products { tiles, instructions: machine.instructions, size: heads.size },
            spans,
            heads,
            input: Input::new(input),
            out: Out::of(&out),
            log_sums: SharedMut::new(log_sums.f32s_mut()),
        }
    };
    let ranges = (4 * threads).div_ceil(spans.iter().len() * heads.keys);
    let tasks = spans.iter().len() * heads.keys * ranges;
    machine.pool.run(tasks, &|task, thread| {
        // SAFETY: every thread has a part of its own.
        let room = unsafe { room.part(thread * per_thread..(thread + 1) * per_thread) };
        // Later queries see more keys: the longest tasks come first.
        let range = ranges - 1 - task / (tasks / ranges);
        let (span, head) = (task % (tasks / ranges) / heads.keys, task % heads.keys);
        for span in spans.iter().skip(span).take(1) {
            let blocks = span.queries.len().div_ceil(QUERIES);
            let blocks = range * blocks / ranges..(range + 1) * blocks / ranges;
            if !blocks.is_empty() {
                let room = ForwardRoom::new(Room(room), keys, heads.size);
                forward.task(room, span, head, blocks);
            }
        }
    });
}

/// Memory of a task.
struct ForwardRoom<'a> {
    copied: &'a mut [f32],
    keys: &'a mut [f32],
    values: &'a mut [f32],
    queries: &'a mut [f32],
    scores: &'a mut [f32],
    weights: &'a mut [f32],
    /// Weighted values so far.
    out: &'a mut [f32],
    /// Largest scaled score so far, of every query.
    maxima: &'a mut [f32],
    /// Sum of the weights so far, of every query.
    sums: &'a mut [f32],
}

impl<'a> ForwardRoom<'a> {
    fn length(keys: usize, size: usize) -> usize {
        3 * keys * size / 2 + 3 * QUERIES * size / 2 + SCORES + WEIGHTS + 2 * QUERIES
    }

    fn new(mut room: Room<'a>, keys: usize, size: usize) -> ForwardRoom<'a> {
        ForwardRoom {
            copied: room.take(keys * size / 2),
            keys: room.take(keys * size / 2),
            values: room.take(keys * size / 2),
            queries: room.take(QUERIES * size / 2),
            scores: room.take(SCORES),
            weights: room.take(WEIGHTS),
            out: room.take(QUERIES * size),
            maxima: room.take(QUERIES),
            sums: room.take(QUERIES),
        }
    }
}

struct Forward<'a, T> {
    products: Products<T>,
    spans: &'a Spans,
    heads: Heads,
    input: Input<'a>,
    out: Out<'a>,
    log_sums: SharedMut<'a, f32>,
}

impl<T: Tiles> Forward<'_, T> {
    fn task(&self, mut room: ForwardRoom, span: &Span, head: usize, blocks: Range<usize>) {
        let (products, heads) = (self.products, self.heads);
        let queries = blocks.start * QUERIES..span.queries.len().min(blocks.end * QUERIES);
        let keys = Sight::new(span, queries.clone()).by_last();
        let whole = keys.next_multiple_of(KEYS);
        let first_row = self.spans.stretches(span.keys.clone()).map(|(row, _)| row).next();
        let place = key_head(heads, first_row.unwrap_or(span.keys.start), head);
        let copied = &mut room.copied[..whole * heads.size / 2];
        let packed = whole * heads.size / 2;
        let rows = products.rows(copied, self.input.keys.floats(), place, keys);
        products.pack_columns(&mut room.keys[..packed], rows);
        let rows = products.rows(copied, self.input.values.floats(), place, keys);
        products.pack_depths(&mut room.values[..packed], rows);
        for head in head * heads.group()..(head + 1) * heads.group() {
            for start in queries.clone().step_by(QUERIES) {
                let block = start..(start + QUERIES).min(queries.end);
                self.block(&mut room, (span, head), &Sight::new(span, block), whole);
            }
        }
    }

    /// One block of queries of a head against all keys that it sees.
    fn block(
        &self,
        room: &mut ForwardRoom,
        (span, head): (&Span, usize),
        sight: &Sight,
        whole: usize,
    ) {
        let (products, size, count) = (self.products, self.heads.size, sight.queries.len());
        let place = query_head(self.heads, span.queries.start + sight.queries.start, head);
        let queries = products.rows(room.queries, self.input.queries, place, count);
        room.maxima.fill(f32::NEG_INFINITY);
        room.sums.fill(0.0);
        for first_key in (0..sight.by_last()).step_by(KEYS) {
            let keys = first_key..sight.by_last().min(first_key + KEYS);
            let width = keys.len().next_multiple_of(SQUARE);
            let sides = (products.left(queries, 0), products.columns(room.keys, first_key));
            products.multiply(scores(room.scores), (count, width, size), sides, false);
            products.instructions.run(Soften {
                scores: room.scores,
                weights: room.weights,
                out: room.out,
                maxima: room.maxima,
                sums: room.sums,
                rows: count,
                width,
                size,
                scale: self.heads.scale(),
                visible: |row| sight.at(keys.clone(), 1).by(row),
            });
            let values = products.depths(room.values, whole, first_key);
            let out =
                Rectangle { elements: SharedMut::new(&mut *room.out), start: 0, stride: size };
            let sides = (products.weights(room.weights), values);
            products.multiply(out, (count, size, width), sides, first_key > 0);
        }
        for row in 0..count {
            // SAFETY: columns of a head in a row, which only this task touches.
            let (out, log_sum) = unsafe {
                let log_sum = (place.first_row + row) * self.heads.queries + head;
                (self.out.part(place.row(row, size)), self.log_sums.part(log_sum..log_sum + 1))
            };
            let values = &room.out[row * size..(row + 1) * size];
            let (maximum, sum) = (room.maxima[row], room.sums[row]);
            log_sum[0] = products.instructions.run(Finish { out, values, maximum, sum });
        }
    }
}

/// Turns a block of scores into rounded weights, row by row.
struct Soften<'a, V> {
    scores: &'a mut [f32],
    weights: &'a mut [f32],
    out: &'a mut [f32],
    maxima: &'a mut [f32],
    sums: &'a mut [f32],
    rows: usize,
    width: usize,
    size: usize,
    scale: f32,
    visible: V,
}

impl<V: Fn(usize) -> usize> Kernel for Soften<'_, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in 0..self.rows {
            let scores = &mut self.scores[row * KEYS..][..self.width];
            let softmax = SoftmaxRow {
                scores: &mut *scores,
                visible: (self.visible)(row),
                scale: self.scale,
                maximum: &mut self.maxima[row],
                sum: &mut self.sums[row],
                out: &mut self.out[row * self.size..(row + 1) * self.size],
            };
            softmax.run(s);
            round_row(s, self.weights, row, scores);
        }
    }
}
