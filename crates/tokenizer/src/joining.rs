//! The merge loop: join the pair of lowest rank, the leftmost among equals, until none is left.
//!
//! Byte-pair encoding as in Sennrich et al. 2016 (arXiv:1508.07909), in the order of SentencePiece.
//! Two loops give the same result: a short stretch is scanned again after each join (quadratic, but
//! it lives in registers), a long one keeps its pairs in a heap (n log n).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::merges::{Joined, Merges};
use crate::vocabulary::TokenId;

/// Up to this many symbols scanning beats the heap.
const SCAN_LIMIT: usize = 64;
const NO_PAIR: Joined = Joined { rank: u32::MAX, result: 0 };

/// Joins symbols in place.
pub fn join(symbols: &mut Vec<TokenId>, merges: &Merges) {
    join_telling(symbols, merges, |_, _, _| ());
}

/// Joins symbols in place and tells of each join: left, right, what they became.
pub fn join_telling(
    symbols: &mut Vec<TokenId>,
    merges: &Merges,
    tell: impl FnMut(TokenId, TokenId, Joined),
) {
    if symbols.len() <= SCAN_LIMIT {
        join_by_scanning(symbols, merges, tell);
    } else {
        join_with_heap(symbols, merges, tell);
    }
}

fn join_by_scanning(
    symbols: &mut Vec<TokenId>,
    merges: &Merges,
    mut tell: impl FnMut(TokenId, TokenId, Joined),
) {
    if symbols.len() < 2 {
        return;
    }
    let pair = |left, right| merges.get(left, right).unwrap_or(NO_PAIR);
    let mut pairs = [NO_PAIR; SCAN_LIMIT];
    let mut len = symbols.len();
    for at in 0..len - 1 {
        pairs[at] = pair(symbols[at], symbols[at + 1]);
    }
    while let Some(at) = leftmost_lowest(&pairs[..len - 1]) {
        tell(symbols[at], symbols[at + 1], pairs[at]);
        symbols[at] = pairs[at].result;
        symbols.copy_within(at + 2..len, at + 1);
        pairs.copy_within(at + 1..len - 1, at);
        len -= 1;
        if at > 0 {
            pairs[at - 1] = pair(symbols[at - 1], symbols[at]);
        }
        if at + 1 < len {
            pairs[at] = pair(symbols[at], symbols[at + 1]);
        }
    }
    symbols.truncate(len);
}

fn leftmost_lowest(pairs: &[Joined]) -> Option<usize> {
    let mut lowest = u32::MAX;
    let mut found = None;
    for (at, pair) in pairs.iter().enumerate() {
        if pair.rank < lowest {
            lowest = pair.rank;
            found = Some(at);
        }
    }
    found
}

/// Symbols as a list whose links skip what has been joined away.
struct Chain<'a> {
    symbols: &'a mut [TokenId],
    before: Vec<u32>,
    after: Vec<u32>,
    heap: BinaryHeap<Reverse<(u32, u32, TokenId, TokenId)>>,
}

const END: u32 = u32::MAX;
/// No vocabulary is that large, so a symbol joined away equals no other.
const GONE: TokenId = TokenId::MAX;

impl Chain<'_> {
    fn offer(&mut self, left: u32, merges: &Merges) {
        let right = self.after[left as usize];
        if right == END {
            return;
        }
        let (a, b) = (self.symbols[left as usize], self.symbols[right as usize]);
        if let Some(joined) = merges.get(a, b) {
            self.heap.push(Reverse((joined.rank, left, a, b)));
        }
    }

    fn join(&mut self, left: u32, result: TokenId) {
        let right = self.after[left as usize];
        let next = self.after[right as usize];
        self.symbols[left as usize] = result;
        self.symbols[right as usize] = GONE;
        self.after[left as usize] = next;
        if next != END {
            self.before[next as usize] = left;
        }
    }

    /// Whether a pair taken from the heap still stands as it was when it was put there.
    fn stands(&self, left: u32, a: TokenId, b: TokenId) -> bool {
        let right = self.after[left as usize];
        self.symbols[left as usize] == a && right != END && self.symbols[right as usize] == b
    }
}

fn join_with_heap(
    symbols: &mut Vec<TokenId>,
    merges: &Merges,
    mut tell: impl FnMut(TokenId, TokenId, Joined),
) {
    let len = symbols.len() as u32;
    let before = (0..len).map(|at| at.wrapping_sub(1)).collect();
    let after = (1..=len).map(|at| if at == len { END } else { at }).collect();
    let mut chain = Chain { symbols, before, after, heap: BinaryHeap::new() };
    (0..len).for_each(|at| chain.offer(at, merges));
    while let Some(Reverse((_, left, a, b))) = chain.heap.pop() {
        if !chain.stands(left, a, b) {
            continue;
        }
        let joined = merges.get(a, b).expect("only pairs that join are put into the heap");
        tell(a, b, joined);
        chain.join(left, joined.result);
        chain.offer(left, merges);
        let before = chain.before[left as usize];
        if before != END {
            chain.offer(before, merges);
        }
    }
    symbols.retain(|&symbol| symbol != GONE);
}
