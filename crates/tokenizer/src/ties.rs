//! Whether a list of merges can say what equal scores say.
//!
//! Where two pieces of a `tokenizer.model` have one score, the leftmost pair is joined first, whatever
//! it makes; a `tokenizer.json` has an order between any two merges. That is the same as long as such
//! merges never meet. Llama's runs of blanks, which share one score, do meet; but they meet only each
//! other, so runs of every length can be tried.

use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::joining::join;
use crate::merges::{Merge, Merges};
use crate::vocabulary::{TokenId, Vocabulary};

/// Longer than any run that vocabularies hold, many times over.
const LONGEST_RUN: usize = 256;

/// Whether the pairs in the order of the list, each with a rank of its own piece, lead to the same
/// ids as the ranks that they have.
pub fn order_is_enough(vocabulary: &Vocabulary, merges: &Merges) -> bool {
    let is_tied = |group: &&[Merge]| group[0].result != group[group.len() - 1].result;
    let groups = merges.list().chunk_by(|a, b| a.rank == b.rank).filter(is_tied);
    let groups: Vec<Group> = groups.map(Group::new).collect();
    let best = best_uses(merges);
    if groups.iter().any(|group| group.feeds_better_ranks(&best)) {
        return false;
    }
    let meeting = groups.iter().filter(|group| group.members_meet());
    let runs: Option<Vec<TokenId>> = meeting.map(|group| group.run(vocabulary)).collect();
    runs.is_some_and(|runs| runs.is_empty() || agree_on_runs(vocabulary, merges, &runs))
}

/// The best rank of the merges that join each piece to another.
fn best_uses(merges: &Merges) -> FxHashMap<TokenId, u32> {
    let mut best = FxHashMap::default();
    // In the order of their ranks: the first is the best.
    for merge in merges.list() {
        best.entry(merge.left).or_insert(merge.rank);
        best.entry(merge.right).or_insert(merge.rank);
    }
    best
}

/// Merges of one rank that make different pieces.
struct Group<'a> {
    merges: &'a [Merge],
    results: FxHashSet<TokenId>,
}

impl Group<'_> {
    fn new(merges: &[Merge]) -> Group<'_> {
        Group { merges, results: merges.iter().map(|merge| merge.result).collect() }
    }

    /// Whether what the group makes is joined by merges that go before it.
    fn feeds_better_ranks(&self, best_uses: &FxHashMap<TokenId, u32>) -> bool {
        let rank = self.merges[0].rank;
        self.results.iter().any(|made| best_uses.get(made).is_some_and(|&best| best < rank))
    }

    /// Whether two of the merges may want one symbol, or one a symbol that another makes.
    fn members_meet(&self) -> bool {
        let mut lefts: FxHashMap<TokenId, FxHashSet<TokenId>> = FxHashMap::default();
        for merge in self.merges {
            lefts.entry(merge.left).or_default().insert(merge.result);
        }
        self.merges.iter().any(|merge| {
            let wanted = lefts.get(&merge.right);
            wanted.is_some_and(|results| results.iter().any(|&result| result != merge.result))
                || self.results.contains(&merge.left)
                || self.results.contains(&merge.right)
        })
    }

    /// The single character of which alone everything in the group consists.
    fn run(&self, vocabulary: &Vocabulary) -> Option<TokenId> {
        let first = vocabulary.text(self.merges[0].result)?.chars().next()?;
        let single = vocabulary.normal_id(first.encode_utf8(&mut [0; 4]))?;
        let is_own = |part: &TokenId| *part == single || self.results.contains(part);
        let parts = self.merges.iter().flat_map(|merge| [merge.left, merge.right]);
        parts.into_iter().all(|part| is_own(&part)).then_some(single)
    }
}

/// Whether runs of these characters are joined alike with the ranks and in the order of the list.
fn agree_on_runs(vocabulary: &Vocabulary, merges: &Merges, singles: &[TokenId]) -> bool {
    let pairs: Vec<_> = merges.list().iter().map(|merge| (merge.left, merge.right)).collect();
    let Ok(listed) = Merges::from_list(vocabulary, &pairs, Path::new("-")) else {
        return false;
    };
    singles.iter().all(|&single| {
        (2..LONGEST_RUN).all(|length| {
            let [mut tied, mut ordered] = [vec![single; length], vec![single; length]];
            join(&mut tied, merges);
            join(&mut ordered, &listed);
            tied == ordered
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{Piece, PieceKind, byte_text};

    /// Whether the order is enough for these pieces with these scores.
    fn is_enough(pieces: &[(&str, f32)]) -> bool {
        let bytes =
            (0..=255).map(|byte| Piece { text: byte_text(byte).into(), kind: PieceKind::Byte });
        let all = bytes.chain(pieces.iter().map(|(text, _)| Piece::normal(text))).collect();
        let vocabulary = Vocabulary::new(all, Path::new("-")).expect("sound");
        let scores: Vec<f32> =
            [0.0; 256].into_iter().chain(pieces.iter().map(|&(_, score)| score)).collect();
        order_is_enough(&vocabulary, &Merges::from_scores(&vocabulary, &scores))
    }

    #[test]
    fn merges_of_one_rank_that_never_meet_need_no_order() {
        assert!(is_enough(&[("a", 0.0), ("b", 0.0), ("ab", -1.0), ("c", 0.0), ("cb", -1.0)]));
        assert!(is_enough(&[("a", 0.0), ("b", 0.0), ("ab", -1.0), ("ba", -2.0)]), "no tie");
    }

    #[test]
    fn merges_of_one_rank_that_want_one_symbol_need_one() {
        // "bab" is ba, b from the left, but b, ab where ab goes first.
        assert!(!is_enough(&[("a", 0.0), ("b", 0.0), ("ab", -1.0), ("ba", -1.0)]));
        // The second makes what a better one joins.
        let pieces = [("a", 0.0), ("b", 0.0), ("c", 0.0), ("d", 0.0)];
        let joined = [("bc", -3.0), ("ad", -3.0), ("bcd", -1.0)];
        assert!(!is_enough(&[&pieces[..], &joined].concat()));
    }

    #[test]
    fn runs_need_none_where_every_length_comes_out_alike() {
        let run = |length: usize| ("▁▁▁▁▁▁▁▁".split_at(3 * length).0, -9.0);
        assert!(is_enough(&[run(1), run(2), run(4), run(3)]));
        // Four are 3 + 1 from the left, and 2 + 2 where two goes first.
        assert!(!is_enough(&[run(1), run(2), run(3)]));
    }
}
