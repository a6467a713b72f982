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
//!
//! A block of keys is packed for the products of a crowd; a few queries read it where it lies
//! (`attention_few.rs`). Both give the same bits.

use crate::backend::QkvViews;
use crate::cpu::attention_blocks::{Input, KEYS, Kept, QUERIES, Room, SCORES, Sight, key_head};
use crate::cpu::attention_few::{BlockRows, FEW};
use crate::cpu::attention_products::Products;
use crate::cpu::attention_team::{KeyBlock, Team, TeamRoom};
use crate::cpu::elements::Elements as Gathered;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_result::Elements;
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
            spans,
            heads,
            input: Input::new(input),
            out: Elements::of(&out),
            log_sums: SharedMut::new(log_sums.f32s_mut()),
        }
    };
    let blocks = |span: &Span| span.queries.len().div_ceil(QUERIES) * heads.keys;
    machine.pool.run(spans.iter().map(blocks).sum(), &|task, thread| {
        let (span, within) = locate(spans, task, blocks);
        // Later queries see more keys: the longest tasks come first.
        let (blocks, queries) = (span.queries.len().div_ceil(QUERIES), span.queries.len());
        let block = blocks - 1 - within / heads.keys;
        // Blocks alike: the last of them would be slim else.
        let queries = block * queries / blocks..(block + 1) * queries / blocks;
        // SAFETY: every thread has a part of its own.
        let room = unsafe { room.part(thread * per_thread..(thread + 1) * per_thread) };
        forward.task(room, span, within % heads.keys, queries);
    });
}

fn room_of_thread(heads: Heads) -> usize {
    heads.group() * TeamRoom::length(heads) + 3 * Room::block(heads) + SCORES
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
    spans: &'a Spans,
    heads: Heads,
    input: Input<'a>,
    out: Elements<'a>,
    log_sums: SharedMut<'a, f32>,
}

impl<'a> Forward<'a> {
    fn task(&self, room: &mut [f32], span: &Span, head: usize, queries: Range<usize>) {
        let heads = self.heads;
        let mut room = Room(room);
        let rooms = room.take(heads.group() * TeamRoom::length(heads));
        let mut blocks = [(); 3].map(|()| room.block_of(heads));
        let scores = room.take(SCORES);
        let sight = Sight::new(span, queries);
        let teams = Team::all(self.products, heads, head, &sight, span);
        let is_few = teams.clone().all(|team| team.rows() <= FEW);
        for (team, room) in teams.clone().zip(TeamRoom::all(rooms, heads)) {
            team.begin(self.input.queries, room, blocks[0]);
        }
        for first_key in (0..sight.by_last()).step_by(KEYS) {
            let keys = first_key..sight.by_last().min(first_key + KEYS);
            let block = self.key_block(&mut blocks, (span, head), keys, is_few);
            for (team, room) in teams.clone().zip(TeamRoom::all(rooms, heads)) {
                team.meet(&block, room, scores, &sight);
            }
        }
        for (team, room) in teams.zip(TeamRoom::all(rooms, heads)) {
            team.finish(room, &self.out, &self.log_sums);
        }
    }

    /// Keys and values of a block, ready to be multiplied with.
    fn key_block<'b>(
        &'b self,
        [keys_room, values_room, widened]: &'b mut [&mut [f32]; 3],
        (span, head): (&Span, usize),
        keys: Range<usize>,
        is_few: bool,
    ) -> KeyBlock<'b> {
        let (size, products) = (self.heads.size, self.products);
        let block = (span.keys.start + keys.start..span.keys.start + keys.end, head);
        if is_few {
            let key_rows = self.rows(&self.input.keys, keys_room, block.clone());
            let values = self.rows(&self.input.values, values_room, block);
            return KeyBlock::InPlace { range: keys, keys: key_rows, values };
        }
        let key_rows = self.rows(&self.input.keys, widened, block.clone());
        products.pack_right(keys_room, key_rows.lanes(size));
        let values = self.rows(&self.input.values, widened, block);
        products.pack_right(values_room, values.summed(size));
        KeyBlock::Packed { range: keys, keys: keys_room, values: values_room }
    }

    /// The columns of a head in the rows of a block: where they lie, or in `room` if they are 8-bit
    /// or do not lie together.
    fn rows<'b>(
        &'b self,
        kept: &'b Kept<'a>,
        room: &'b mut [f32],
        (keys, head): (Range<usize>, usize),
    ) -> BlockRows<'b> {
        let (size, rows) = (self.heads.size, keys.len());
        let mut stretches = self.spans.stretches(keys.clone());
        if let (Kept::Floats(x), Some((first_row, _)), None) =
            (kept, stretches.next(), stretches.next())
        {
            let place = key_head(self.heads, first_row, head);
            return BlockRows { elements: x.after(place.start()), stride: place.columns, rows };
        }
        let mut rest = &mut *room;
        for (first_row, rows) in self.spans.stretches(keys) {
            let (out, after) = rest.split_at_mut(rows * size);
            self.products.gather(out, kept, key_head(self.heads, first_row, head), size);
            rest = after;
        }
        BlockRows { elements: Gathered::F32(room), stride: size, rows }
    }
}
