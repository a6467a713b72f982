//! The walk through a [`PrefixTree`] in full batches, with a cache that is cut back instead of
//! read again.
//!
//! ```text
//! rows of the cache:   | path to the first branch | rows of this batch ...
//! ```
//! Before a batch the path to its first branch stands in the first rows, position after position;
//! what the batch reads follows. A branch sees its path wherever its rows stand, in that beginning
//! or among the branches of the same batch. So a batch takes branches of any node, and the cache
//! needs no more rows than the longest window and one batch.

use crate::prefix_tree::PrefixTree;
use kollama_kernels::{Span, Spans};
use kollama_llama::Batch;
use std::ops::Range;

/// Where a walk stands.
pub(crate) struct PrefixWalk<'a> {
    tree: &'a PrefixTree<'a>,
    /// Rows of a batch.
    limit: usize,
    /// The branch that is read next.
    branch: usize,
    /// Rows that were read so far.
    pub read: u64,
    /// Where in the cache the ids of the current path stand, position after position.
    path: Vec<u32>,
}

/// Rows of the cache that go to an earlier place.
pub(crate) struct Move {
    pub rows: Range<usize>,
    pub to: usize,
}

/// What a batch holds while it is filled.
#[derive(Default)]
struct Filling {
    ids: Vec<u32>,
    spans: Vec<Span>,
    /// The rows of the paths of all spans, one path after the other.
    keys: Vec<u32>,
}

impl<'a> PrefixWalk<'a> {
    pub fn new(tree: &'a PrefixTree<'a>, limit: usize) -> PrefixWalk<'a> {
        PrefixWalk { tree, limit, branch: 0, read: 0, path: Vec::new() }
    }

    /// Rows that a cache needs for it.
    pub fn cache_rows(&self) -> usize {
        let read = usize::try_from(self.tree.tokens.read).unwrap_or(usize::MAX);
        read.min(self.tree.longest + self.limit)
    }

    /// The next batch, and what must be moved before it is read; none at the end.
    pub fn next_batch(&mut self) -> Option<(Vec<Move>, Batch)> {
        while self.left() == Some(0) {
            self.advance();
        }
        let moves = self.compact();
        let (first, top) = (self.read, self.path.len());
        let mut filling = Filling::default();
        while let Some(left) = self.left().filter(|_| filling.ids.len() < self.limit) {
            let taken = left.min(self.limit - filling.ids.len());
            if taken > 0 {
                self.take(taken, top, &mut filling);
            }
            if taken == left {
                self.advance();
            }
        }
        self.read += filling.ids.len() as u64;
        (!filling.ids.is_empty()).then(|| {
            let spans = Spans::new(filling.spans).with_keys_in(filling.keys.into());
            let wanted = self.wanted(first..self.read);
            (moves, Batch { ids: filling.ids, spans, wanted })
        })
    }

    /// Ids of the branch that are still to be read; none behind the last branch.
    fn left(&self) -> Option<usize> {
        let branch = self.tree.branches.get(self.branch)?;
        Some(branch.window.len() - self.path.len())
    }

    fn advance(&mut self) {
        self.branch += 1;
        if let Some(branch) = self.tree.branches.get(self.branch) {
            self.path.truncate(branch.shared);
        }
    }

    /// Puts the path into the first rows. It goes down through the cache, so nothing is overwritten
    /// before it has moved.
    fn compact(&mut self) -> Vec<Move> {
        let mut moves: Vec<Move> = Vec::new();
        for (to, &row) in self.path.iter().enumerate().filter(|&(to, &row)| row as usize != to) {
            let row = row as usize;
            match moves.last_mut() {
                Some(last) if last.rows.end == row => last.rows.end += 1,
                _ => moves.push(Move { rows: row..row + 1, to }),
            }
        }
        self.path = (0..self.path.len() as u32).collect();
        moves
    }

    /// Some ids of the branch, into the rows behind those from `top` on that are taken.
    fn take(&mut self, count: usize, top: usize, filling: &mut Filling) {
        let Filling { ids, spans, keys } = filling;
        let (first, first_key) = (ids.len(), keys.len());
        ids.extend(self.tree.branches[self.branch].window.ids(self.path.len(), count));
        self.path.extend((top + first..top + ids.len()).map(|row| row as u32));
        keys.extend(&self.path);
        spans.push(Span { queries: first..ids.len(), keys: first_key..keys.len() });
    }

    /// Which of these rows somebody asks about, counted from the first of them.
    fn wanted(&self, rows: Range<u64>) -> Vec<u32> {
        let asked = self.tree.asked_before(rows.start)..self.tree.asked_before(rows.end);
        let asked = self.tree.asked[asked].iter();
        let mut wanted: Vec<u32> = asked.map(|(row, _)| (row - rows.start) as u32).collect();
        wanted.dedup();
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::likelihood::ScoreRequest;

    /// What a path holds if every move and every batch is done on a cache of ids.
    #[test]
    fn every_row_sees_the_ids_before_it_in_batches_of_any_size() {
        let requests: Vec<ScoreRequest> = (0..60u32)
            .map(|i| {
                let context = (0..i % 13).map(|place| place * (i % 3) % 4).collect();
                ScoreRequest { context, continuation: vec![i % 5, i % 2, i % 7] }
            })
            .collect();
        for limit in [1, 2, 5, 16, 1000] {
            let tree = PrefixTree::new(requests.iter(), 12, &Some(9), true).unwrap();
            let mut walk = PrefixWalk::new(&tree, limit);
            let mut cache = vec![None; walk.cache_rows()];
            let (mut seen, mut full) = (Vec::new(), true);
            while let Some((moves, batch)) = walk.next_batch() {
                assert!(full && batch.ids.len() <= limit, "only the last batch is not full");
                full = batch.ids.len() == limit;
                for Move { rows, to } in moves {
                    assert!(to < rows.start);
                    rows.enumerate().for_each(|(i, row)| cache[to + i] = cache[row]);
                }
                for span in batch.spans.iter() {
                    let new = span.keys.end - span.queries.len()..span.keys.end;
                    for (key, row) in new.zip(span.queries.clone()) {
                        cache[batch.spans.key_row(key)] = Some(batch.ids[row]);
                    }
                }
                for span in batch.spans.iter() {
                    let path = span.keys.clone().map(|key| cache[batch.spans.key_row(key)]);
                    seen.push(path.collect::<Option<Vec<u32>>>().unwrap());
                }
            }
            assert_eq!(walk.read, tree.tokens.read);
            for branch in &tree.branches {
                let window = &branch.window;
                let ids: Vec<u32> = window.ids(0, window.len()).collect();
                assert!(seen.iter().any(|path| path.starts_with(&ids)), "{ids:?} by {limit}");
            }
            // Every path that was seen is the beginning of a window.
            let begins = |path: &Vec<u32>| {
                tree.branches
                    .iter()
                    .any(|branch| branch.window.ids(0, path.len()).eq(path.iter().copied()))
            };
            assert!(seen.iter().all(begins));
        }
    }

    #[test]
    fn rows_that_are_asked_about_are_wanted_once() {
        let request = |context: &[u32], continuation: &[u32]| ScoreRequest {
            context: context.to_vec(),
            continuation: continuation.to_vec(),
        };
        let requests = [request(&[1, 2], &[5]), request(&[1, 2], &[6]), request(&[1], &[3, 4])];
        let tree = PrefixTree::new(requests.iter(), 12, &None, true).unwrap();
        let (_, batch) = PrefixWalk::new(&tree, 99).next_batch().unwrap();
        assert_eq!((batch.ids, batch.wanted), (vec![1, 2, 3], vec![0, 1, 2]));
    }
}
