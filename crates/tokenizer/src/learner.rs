//! Byte-pair learning over counted words: again and again, make a piece of the most frequent pair.
//!
//! The counts of pairs are kept up to date and stand in a heap, each pair knows where it occurs, so
//! a step costs as much as the places it changes. Two things follow what the encoder will do with
//! the pieces rather than the classic algorithm: a new piece joins *every* pair of neighbours whose
//! text it is, not only the pair that was counted; and a pair that comes to stand side by side
//! later, and whose text has long been a piece, is joined at once.
//!
//! Words lie one after the other in one array, a place per character, divided by [`BARRIER`]. A
//! symbol stands at its first place; its length stands at its first and its last, so both
//! neighbours are found by looking.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use crate::counting::LONGEST_PIECE;

/// A symbol that joins nothing: the end of a word, or a character that has no piece.
pub const BARRIER: u32 = u32::MAX;
/// A place inside a longer symbol.
const INSIDE: u32 = u32::MAX - 1;
/// Pairs seen less often are chance.
const LEAST_COUNT: u64 = 2;

/// A piece and how often it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedPiece {
    /// The text, with `▁` for a blank.
    pub text: String,
    /// How often it occurred when it was learned.
    pub count: u64,
}

#[derive(Default)]
struct Pair {
    count: u64,
    places: Vec<u32>,
}

/// Words as symbols, and the pairs in them.
pub struct Learner {
    texts: Vec<Box<str>>,
    ids: FxHashMap<Box<str>, u32>,
    symbols: Vec<u32>,
    lengths: Vec<u8>,
    word_at: Vec<u32>,
    word_counts: Vec<u64>,
    pairs: FxHashMap<u64, Pair>,
    heap: BinaryHeap<(u64, Reverse<u64>)>,
    /// Pairs whose count has grown since they were put into the heap.
    grown: Vec<u64>,
}

impl Learner {
    /// Begins with symbols that stand for these texts, numbered from 0.
    pub fn new(texts: Vec<Box<str>>) -> Learner {
        let ids = texts.iter().cloned().zip(0..).collect();
        Learner {
            texts,
            ids,
            symbols: vec![BARRIER],
            lengths: vec![1],
            word_at: vec![0],
            word_counts: Vec::new(),
            pairs: FxHashMap::default(),
            heap: BinaryHeap::new(),
            grown: Vec::new(),
        }
    }

    /// Adds a word, as symbols, that occurs `count` times.
    pub fn add_word(&mut self, symbols: &[u32], count: u64) {
        let word = self.word_counts.len() as u32;
        self.word_counts.push(count);
        for &symbol in symbols.iter().chain(&[BARRIER]) {
            let length = match symbol {
                BARRIER => 1,
                _ => self.texts[symbol as usize].chars().count(),
            };
            let start = self.symbols.len();
            self.symbols.push(symbol);
            self.symbols.resize(start + length, INSIDE);
            self.lengths.resize(start + length, length as u8);
            self.word_at.resize(start + length, word);
        }
    }

    /// Counts all pairs; call once, after the last word.
    pub fn count_pairs(&mut self) {
        let mut at = 0;
        while let Some(next) = self.after(at) {
            self.add_pair(at, next);
            at = next;
        }
        self.offer_grown();
    }

    /// Learns the next piece; `None` when no pair occurs twice any more.
    pub fn next_piece(&mut self) -> Option<LearnedPiece> {
        while let Some((count, Reverse(key))) = self.heap.pop() {
            let now = self.pairs.get(&key).map_or(0, |pair| pair.count);
            if now < LEAST_COUNT || now > count {
                // Too rare, or there is a newer entry for it.
                continue;
            }
            if now < count {
                self.heap.push((now, Reverse(key)));
                continue;
            }
            let text = self.joined_text(key);
            let piece = self.texts.len() as u32;
            self.texts.push(text.as_str().into());
            self.ids.insert(text.as_str().into(), piece);
            self.join_all_splits(piece);
            self.settle();
            return Some(LearnedPiece { text, count });
        }
        None
    }

    fn join_all_splits(&mut self, piece: u32) {
        let text = self.texts[piece as usize].clone();
        for (at, _) in text.char_indices().skip(1) {
            let halves = (self.ids.get(&text[..at]), self.ids.get(&text[at..]));
            if let (Some(&left), Some(&right)) = halves {
                self.join(key(left, right), piece);
            }
        }
    }

    /// Joins new neighbours whose text is a piece already, the oldest piece first; then offers the
    /// rest to the heap.
    fn settle(&mut self) {
        loop {
            self.grown.sort_unstable();
            self.grown.dedup();
            let known = |&pair: &u64| Some((*self.ids.get(self.joined_text(pair).as_str())?, pair));
            let Some((piece, pair)) = self.grown.iter().filter_map(known).min() else {
                break;
            };
            self.join(pair, piece);
            self.grown.retain(|&other| other != pair);
        }
        self.offer_grown();
    }

    fn offer_grown(&mut self) {
        self.grown.sort_unstable();
        self.grown.dedup();
        for key in std::mem::take(&mut self.grown) {
            if let Some(pair) = self.pairs.get(&key) {
                self.heap.push((pair.count, Reverse(key)));
            }
        }
    }

    /// Joins a pair wherever it stands.
    fn join(&mut self, pair: u64, piece: u32) {
        let Some(Pair { mut places, .. }) = self.pairs.remove(&pair) else {
            return;
        };
        // From left to right, so that in a run of one symbol the leftmost two are joined.
        places.sort_unstable();
        let (left, right) = ((pair >> 32) as u32, pair as u32);
        for place in places {
            let at = place as usize;
            let Some(second) = self.after(at) else {
                continue;
            };
            if self.symbols[at] == left && self.symbols[second] == right {
                self.join_at(at, second, piece);
            }
        }
    }

    fn join_at(&mut self, at: usize, second: usize, piece: u32) {
        let before = at - usize::from(self.lengths[at - 1]);
        let next = second + usize::from(self.lengths[second]);
        self.remove_pair(before, at);
        self.remove_pair(second, next);
        let length = (next - at) as u8;
        self.symbols[at] = piece;
        self.symbols[second] = INSIDE;
        self.lengths[at] = length;
        self.lengths[next - 1] = length;
        self.add_pair(before, at);
        self.add_pair(at, next);
    }

    /// The place of the symbol that follows; there is none after the last barrier.
    fn after(&self, at: usize) -> Option<usize> {
        let next = at + usize::from(self.lengths[at]);
        (next < self.symbols.len()).then_some(next)
    }

    fn pair_at(&self, left: usize, right: usize) -> Option<u64> {
        let (a, b) = (self.symbols[left], self.symbols[right]);
        let length = usize::from(self.lengths[left]) + usize::from(self.lengths[right]);
        (a != BARRIER && b != BARRIER && length <= LONGEST_PIECE).then(|| key(a, b))
    }

    fn add_pair(&mut self, left: usize, right: usize) {
        let Some(key) = self.pair_at(left, right) else {
            return;
        };
        let pair = self.pairs.entry(key).or_default();
        pair.count += self.word_counts[self.word_at[left] as usize];
        pair.places.push(left as u32);
        self.grown.push(key);
    }

    fn remove_pair(&mut self, left: usize, right: usize) {
        let Some(key) = self.pair_at(left, right) else {
            return;
        };
        if let Some(pair) = self.pairs.get_mut(&key) {
            pair.count -= self.word_counts[self.word_at[left] as usize];
            if pair.count == 0 {
                self.pairs.remove(&key);
            }
        }
    }

    fn joined_text(&self, pair: u64) -> String {
        let text = |symbol: u64| self.texts[symbol as usize].as_ref();
        [text(pair >> 32), text(pair & u64::from(u32::MAX))].concat()
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(words: &[(&str, u64)]) -> Vec<(String, u64)> {
        let mut characters: Vec<char> = words.iter().flat_map(|(word, _)| word.chars()).collect();
        characters.sort_unstable();
        characters.dedup();
        let id = |c| characters.binary_search(&c).expect("listed") as u32;
        let texts = characters.iter().map(|c| c.to_string().into()).collect();
        let mut learner = Learner::new(texts);
        for (word, count) in words {
            learner.add_word(&word.chars().map(id).collect::<Vec<_>>(), *count);
        }
        learner.count_pairs();
        std::iter::from_fn(|| learner.next_piece()).map(|p| (p.text, p.count)).collect()
    }

    #[test]
    fn the_most_frequent_pair_is_joined_first() {
        let learned = learn(&[("abc", 5), ("bcd", 4), ("ab", 1)]);
        assert_eq!(learned[0], ("bc".into(), 9));
        assert_eq!(learned[1], ("abc".into(), 5));
        assert_eq!(learned[2], ("bcd".into(), 4));
        assert_eq!(learned.len(), 3);
    }

    #[test]
    fn runs_of_one_letter_are_counted_as_they_are_joined() {
        let learned = learn(&[("aaaaa", 10)]);
        let texts: Vec<_> = learned.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["aa", "aaa", "aaaaa"]);
    }

    #[test]
    fn no_piece_is_learned_twice() {
        let mut texts: Vec<String> = learn(&[
            ("abab", 7),
            ("babab", 6),
            ("aabb", 5),
            ("abba", 5),
            ("baab", 4),
            ("ababab", 3),
        ])
        .into_iter()
        .map(|(text, _)| text)
        .collect();
        let len = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), len);
        assert!(len > 8);
    }
}
