//! Queries of some heads on their way through the blocks of keys: scores, weights and the sums of
//! values so far. See `attention.rs` for the plan.

use crate::cpu::attention_blocks::{HeadRows, KEYS, QUERIES, Room, Seen, Sight, query_head};
use crate::cpu::attention_few::{BlockRows, FEW, FewScores, FewValues};
use crate::cpu::attention_products::Products;
use crate::cpu::attention_rows::{Finish, Softmax};
use crate::cpu::elements::{Convert, Elements, ElementsMut};
use crate::cpu::matmul_kernel::{Store, Target};
use crate::cpu::matmul_result::Elements as Out;
use crate::cpu::threads::SharedMut;
use crate::layout::{Heads, Span};
use std::ops::Range;

/// Keys and values of a block: which of a span, and how they are read.
pub enum KeyBlock<'a> {
    /// Where they lie.
    InPlace { range: Range<usize>, keys: BlockRows<'a>, values: BlockRows<'a> },
    /// In panels.
    Packed { range: Range<usize>, keys: &'a [f32], values: &'a [f32] },
}

impl KeyBlock<'_> {
    fn range(&self) -> &Range<usize> {
        match self {
            KeyBlock::InPlace { range, .. } | KeyBlock::Packed { range, .. } => range,
        }
    }
}

/// Queries and heads whose scores are one product: all heads of a key head where the queries are so
/// few that the product of one head would be slim, else one head. A row is a query of a head.
pub struct Team {
    products: Products,
    heads: Heads,
    first_query: usize,
    queries: usize,
    members: Range<usize>,
}

/// What a team remembers.
pub struct TeamRoom<'a> {
    /// Queries, packed unless they are few.
    queries: &'a mut [f32],
    /// Weighted values so far.
    out: &'a mut [f32],
    /// Largest scaled score so far, of every row.
    maxima: &'a mut [f32],
    /// Sum of the weights so far, of every row.
    sums: &'a mut [f32],
}

impl<'a> TeamRoom<'a> {
    const ROWS: usize = QUERIES.next_multiple_of(16);

    /// Floats of the room of a team.
    pub fn length(heads: Heads) -> usize {
        Room::block(heads) + Room::outputs(heads) + 2 * TeamRoom::ROWS
    }

    /// As many rooms as a key head can have teams.
    pub fn all(rooms: &'a mut [f32], heads: Heads) -> impl Iterator<Item = TeamRoom<'a>> {
        rooms.chunks_exact_mut(TeamRoom::length(heads)).map(move |room| {
            let mut room = Room(room);
            TeamRoom {
                queries: room.block_of(heads),
                out: room.take(Room::outputs(heads)),
                maxima: room.take(TeamRoom::ROWS),
                sums: room.take(TeamRoom::ROWS),
            }
        })
    }
}

impl Team {
    /// The teams of a key head for the queries of a block.
    pub fn all(
        products: Products,
        heads: Heads,
        key_head: usize,
        sight: &Sight,
        span: &Span,
    ) -> impl Iterator<Item = Team> + Clone {
        let (first_query, queries) =
            (span.queries.start + sight.queries.start, sight.queries.len());
        let group = key_head * heads.group()..(key_head + 1) * heads.group();
        let together = if queries * heads.group() <= QUERIES { heads.group() } else { 1 };
        group.step_by(together).map(move |head| Team {
            products,
            heads,
            first_query,
            queries,
            members: head..head + together,
        })
    }

    /// Queries times heads.
    pub fn rows(&self) -> usize {
        self.queries * self.members.len()
    }

    /// Where a row stands among the heads of all queries, as in a matrix of one head.
    fn place(&self, row: usize) -> HeadRows {
        let (query, head) = (row / self.members.len(), row % self.members.len());
        let first_row = (self.first_query + query) * self.heads.queries + self.members.start + head;
        HeadRows { first_row, first_column: 0, columns: self.heads.size }
    }

    /// Gathers the queries of several heads or few rows, and packs them unless they are few.
    pub fn begin(&self, queries: Elements, room: TeamRoom, gathered: &mut [f32]) {
        let (size, rows) = (self.heads.size, self.rows());
        room.maxima.fill(f32::NEG_INFINITY);
        room.sums.fill(0.0);
        if rows > FEW && self.members.len() == 1 {
            let place = query_head(self.heads, self.first_query, self.members.start);
            return self.products.pack_left(room.queries, place.rows(queries, rows, size));
        }
        let out = if rows <= FEW { &mut *room.queries } else { &mut *gathered };
        for (row, out) in out.chunks_exact_mut(size).take(rows).enumerate() {
            let x = queries.part(self.place(row).row(0, size));
            self.products.0.run(Convert { out: ElementsMut::F32(out), x });
        }
        if rows > FEW {
            let gathered = BlockRows { elements: Elements::F32(gathered), stride: size, rows };
            self.products.pack_left(room.queries, gathered.lanes(size));
        }
    }

    /// One block of keys and values more.
    pub fn meet(&self, block: &KeyBlock, room: TeamRoom, scores: &mut [f32], sight: &Sight) {
        let TeamRoom { queries, out, maxima, sums } = room;
        let out = &mut out[..self.rows() * self.heads.size];
        let seen = sight.at(block.range().clone(), self.members.len());
        self.score(scores, queries, block, seen);
        let before = if block.range().start > 0 { &mut *out } else { &mut [] };
        self.soften(scores, (maxima, sums, before), seen);
        self.weigh(scores, out, block, seen);
    }

    fn score(&self, scores: &mut [f32], queries: &[f32], block: &KeyBlock, seen: Seen) {
        let size = self.heads.size;
        match *block {
            KeyBlock::InPlace { keys, .. } => {
                let queries = &queries[..self.rows() * size];
                let few = FewScores { out: scores, stride: KEYS, queries, size, keys };
                self.products.0.run(few);
            }
            KeyBlock::Packed { keys, .. } => {
                self.products.scores(scores, seen, size, queries, keys)
            }
        }
    }

    /// Scores become weights.
    fn soften(
        &self,
        scores: &mut [f32],
        (maxima, sums, out): (&mut [f32], &mut [f32], &mut [f32]),
        seen: Seen,
    ) {
        let scale = self.heads.scale();
        self.products.0.run(Softmax { scores, seen, scale, maxima, sums, out });
    }

    /// `out += weights · values`
    fn weigh(&self, weights: &[f32], out: &mut [f32], block: &KeyBlock, seen: Seen) {
        let (size, add) = (self.heads.size, block.range().start > 0);
        match *block {
            KeyBlock::InPlace { values, .. } => {
                let few = FewValues { out, size, add, weights, stride: KEYS, values };
                self.products.0.run(few);
            }
            KeyBlock::Packed { values, .. } => {
                let store = if add { Store::Add } else { Store::Overwrite };
                assert_eq!(out.len(), seen.rows * size, "outputs of the rows of a team");
                let target = Target { start: out.as_mut_ptr(), stride: size };
                // SAFETY: exactly `out`, which nobody else holds.
                unsafe { self.products.by_query(target, (seen, size), weights, values, store) };
            }
        }
    }

    /// Writes what the queries got.
    pub fn finish(&self, room: TeamRoom, out: &Out, log_sums: &SharedMut<f32>) {
        let values = room.out.chunks_exact(self.heads.size).take(self.rows());
        for (row, values) in values.enumerate() {
            let place = self.place(row);
            // SAFETY: columns of a head in a row, which only this task touches.
            let (out, log_sum) = unsafe {
                let out = out.part(place.row(0, self.heads.size));
                (out, log_sums.part(place.first_row..place.first_row + 1))
            };
            let (maximum, sum) = (room.maxima[row], room.sums[row]);
            log_sum[0] = self.products.0.run(Finish { out, values, maximum, sum });
        }
    }
}
