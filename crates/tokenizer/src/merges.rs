//! The ranked pairs that byte-pair encoding joins.
//!
//! Two file formats speak of one thing. A `tokenizer.json` lists pairs, the first is joined first.
//! A `tokenizer.model` gives each piece a score, and *any* two neighbours whose text together is a
//! piece may be joined, the highest score first. A list says the same as scores when it holds every
//! split of every piece and the splits of one piece stand together; then all splits of a piece get
//! one rank (`follows_scores`), so that both files lead to the same ids even where two
//! occurrences of a piece overlap. Otherwise each pair has the rank of its line.

use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::TokenizerError;
use crate::vocabulary::{PieceKind, TokenId, Vocabulary};

/// One pair and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The piece on the left.
    pub left: TokenId,
    /// The piece on the right.
    pub right: TokenId,
    /// The piece that they make.
    pub result: TokenId,
    /// Lower ranks are joined first; among equals the leftmost.
    pub rank: u32,
}

/// What joining a pair gives.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// Lower ranks are joined first.
    pub rank: u32,
    /// The piece made.
    pub result: TokenId,
}

/// All pairs, in the order of the file, and a table to look them up.
#[derive(Clone, Debug)]
pub struct Merges {
    list: Vec<Merge>,
    table: FxHashMap<u64, Joined>,
    /// Whether scores say the same as this list, so that a `tokenizer.model` can be written.
    follows_scores: bool,
}

impl Merges {
    /// Merges from a list in which the first pair is joined first (`tokenizer.json`).
    ///
    /// # Errors
    /// A pair that makes a text which the vocabulary does not have.
    pub fn from_list(
        vocabulary: &Vocabulary,
        pairs: &[(TokenId, TokenId)],
        path: &Path,
    ) -> Result<Merges, TokenizerError> {
        let mut list = Vec::with_capacity(pairs.len());
        for (index, &(left, right)) in pairs.iter().enumerate() {
            let result = result_of(vocabulary, index, left, right, path)?;
            list.push(Merge { left, right, result, rank: index as u32 });
        }
        let follows_scores = is_grouped_by_result(&list) && is_complete(vocabulary, &list);
        if follows_scores {
            rank_by_result(&mut list);
        }
        Ok(Merges::from_ranked(list, follows_scores))
    }

    /// Merges from a score per piece, higher first (`tokenizer.model`).
    pub fn from_scores(vocabulary: &Vocabulary, scores: &[f32]) -> Merges {
        let mut order: Vec<TokenId> = (0..vocabulary.len() as TokenId).collect();
        order.retain(|&id| vocabulary.pieces()[id as usize].kind == PieceKind::Normal);
        order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
        let mut list: Vec<Merge> = Vec::new();
        let (mut rank, mut rank_score) = (0, None);
        for result in order {
            let score = scores[result as usize];
            let text = &vocabulary.pieces()[result as usize].text;
            for (left, right) in vocabulary.splits(text) {
                // Equal scores are one rank: there the leftmost pair wins, whatever it makes.
                if rank_score.is_some_and(|before| before != score) {
                    rank += 1;
                }
                rank_score = Some(score);
                list.push(Merge { left, right, result, rank });
            }
        }
        Merges::from_ranked(list, true)
    }

    fn from_ranked(list: Vec<Merge>, follows_scores: bool) -> Merges {
        let mut merges = Merges { list: Vec::new(), table: FxHashMap::default(), follows_scores };
        merges.table.reserve(list.len());
        list.into_iter().for_each(|merge| merges.push(merge));
        merges
    }

    /// No merges, for a tokenizer that is about to be learned.
    pub fn none() -> Merges {
        Merges::from_ranked(Vec::new(), true)
    }

    fn push(&mut self, merge: Merge) {
        let joined = Joined { rank: merge.rank, result: merge.result };
        self.table.insert(key(merge.left, merge.right), joined);
        self.list.push(merge);
    }

    /// What the pair becomes, if it may be joined.
    #[inline]
    pub fn get(&self, left: TokenId, right: TokenId) -> Option<Joined> {
        self.table.get(&key(left, right)).copied()
    }

    /// The pairs in the order of the file.
    pub fn list(&self) -> &[Merge] {
        &self.list
    }

    /// The rank after the last one.
    pub fn next_rank(&self) -> u32 {
        self.list.iter().map(|merge| merge.rank + 1).max().unwrap_or(0)
    }

    /// Adds every split of an ordinary piece, all with the given rank.
    pub fn add_splits(&mut self, vocabulary: &Vocabulary, result: TokenId, rank: u32) {
        let text = &vocabulary.pieces()[result as usize].text;
        for (left, right) in vocabulary.splits(text) {
            self.push(Merge { left, right, result, rank });
        }
    }

    /// Takes away all pairs but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        for merge in self.list.drain(len..) {
            self.table.remove(&key(merge.left, merge.right));
        }
    }

    /// The pairs in an order that both file formats agree on: splits of one piece, which a
    /// `tokenizer.model` does not order, by their ids.
    pub fn canonical(&self) -> Vec<[TokenId; 2]> {
        let mut groups: Vec<Merge> = self.list.clone();
        if self.follows_scores {
            for group in groups.chunk_by_mut(|a, b| a.result == b.result) {
                group.sort_unstable_by_key(|merge| (merge.left, merge.right));
            }
        }
        groups.iter().map(|merge| [merge.left, merge.right]).collect()
    }

    /// Scores that give this order in a `tokenizer.model`; `None` if none can.
    ///
    /// Ordinary pieces get 0, -1, -2, … in the order of their ranks. A piece that nothing makes (a
    /// single character) stands after the pieces before it, so a vocabulary whose ids follow its
    /// ranks gets the scores that SentencePiece writes, and pieces of an extension are lowest.
    pub fn scores(&self, vocabulary: &Vocabulary) -> Option<Vec<f32>> {
        if !self.follows_scores {
            return None;
        }
        let mut rank_of = vec![None; vocabulary.len()];
        self.list.iter().for_each(|merge| rank_of[merge.result as usize] = Some(merge.rank));
        let mut latest = None;
        let mut order = Vec::new();
        for (id, piece) in vocabulary.pieces().iter().enumerate() {
            if piece.kind == PieceKind::Normal {
                latest = latest.max(rank_of[id]);
                order.push((rank_of[id].or(latest), rank_of[id].is_none(), id));
            }
        }
        order.sort_unstable();
        let mut scores = vec![0.0; vocabulary.len()];
        for (place, two) in (1..).zip(order.windows(2)) {
            let (before, (rank, is_single, id)) = (two[0], two[1]);
            let is_tied = !is_single && before.0 == rank;
            scores[id] = if is_tied { scores[before.2] } else { -(place as f32) };
        }
        Some(scores)
    }
}

fn key(left: TokenId, right: TokenId) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

fn result_of(
    vocabulary: &Vocabulary,
    index: usize,
    left: TokenId,
    right: TokenId,
    path: &Path,
) -> Result<TokenId, TokenizerError> {
    let text = |id: TokenId| vocabulary.pieces()[id as usize].text.as_ref();
    let joined = [text(left), text(right)].concat();
    vocabulary.id(&joined).ok_or_else(|| TokenizerError::UnknownPart {
        path: path.into(),
        index,
        left: text(left).into(),
        right: text(right).into(),
        missing: joined,
    })
}

fn is_grouped_by_result(list: &[Merge]) -> bool {
    let mut seen = FxHashSet::default();
    list.chunk_by(|a, b| a.result == b.result).all(|group| seen.insert(group[0].result))
}

fn is_complete(vocabulary: &Vocabulary, list: &[Merge]) -> bool {
    let listed: FxHashSet<u64> = list.iter().map(|merge| key(merge.left, merge.right)).collect();
    let ordinary = vocabulary.pieces().iter().filter(|piece| piece.kind == PieceKind::Normal);
    let mut splits = 0;
    for piece in ordinary {
        for (left, right) in vocabulary.splits(&piece.text) {
            if !listed.contains(&key(left, right)) {
                return false;
            }
            splits += 1;
        }
    }
    splits == list.len()
}

fn rank_by_result(list: &mut [Merge]) {
    let groups = list.chunk_by_mut(|a, b| a.result == b.result);
    for (rank, group) in groups.enumerate() {
        group.iter_mut().for_each(|merge| merge.rank = rank as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{Piece, byte_text};

    fn vocabulary(texts: &[&str]) -> Vocabulary {
        let bytes =
            (0..=255).map(|byte| Piece { text: byte_text(byte).into(), kind: PieceKind::Byte });
        let pieces = bytes.chain(texts.iter().map(|text| Piece::normal(text))).collect();
        Vocabulary::new(pieces, Path::new("-")).expect("sound")
    }

    const TEXTS: [&str; 6] = ["a", "b", "ab", "ba", "aba", "c"];
    const COMPLETE: [(TokenId, TokenId); 4] = [(256, 257), (257, 256), (258, 256), (256, 259)];

    #[test]
    fn a_complete_list_and_its_scores_are_the_same_merges() {
        let vocabulary = vocabulary(&TEXTS);
        let listed = Merges::from_list(&vocabulary, &COMPLETE, Path::new("-")).expect("sound");
        assert!(listed.follows_scores);
        let scores = listed.scores(&vocabulary).expect("complete");
        assert_eq!(&scores[256..], &[0.0, -1.0, -2.0, -3.0, -4.0, -5.0]);
        let scored = Merges::from_scores(&vocabulary, &scores);
        let ranks = |merges: &Merges| merges.list().iter().map(|m| m.rank).collect::<Vec<_>>();
        assert_eq!(ranks(&listed), [0, 1, 2, 2]);
        assert_eq!(ranks(&scored), ranks(&listed));
    }

    #[test]
    fn a_list_with_a_split_missing_keeps_the_rank_of_each_line() {
        let vocabulary = vocabulary(&TEXTS);
        let listed = Merges::from_list(&vocabulary, &COMPLETE[..3], Path::new("-")).expect("sound");
        assert!(!listed.follows_scores);
        assert!(listed.scores(&vocabulary).is_none());
    }

    #[test]
    fn a_merge_that_makes_nothing_is_named() {
        let vocabulary = vocabulary(&TEXTS);
        let error = Merges::from_list(&vocabulary, &[(256, 257), (256, 256)], Path::new("t.json"))
            .expect_err("aa is no piece");
        assert!(error.to_string().contains("merge 1") && error.to_string().contains("\"aa\""));
    }

    #[test]
    fn scores_keep_an_order_that_ids_do_not_have() {
        let vocabulary = vocabulary(&TEXTS);
        let pairs = [(257, 256), (256, 257), (258, 256), (256, 259)];
        let listed = Merges::from_list(&vocabulary, &pairs, Path::new("-")).expect("sound");
        let scores = listed.scores(&vocabulary).expect("complete");
        assert!(scores[259] > scores[258] && scores[258] > scores[260]);
    }
}
