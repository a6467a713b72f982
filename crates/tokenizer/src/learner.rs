//! Byte-pair learning over counted words: again and again, make a piece of the most frequent pair.
//!
//! The counts of pairs are kept up to date and each pair knows where it occurs (`pairs.rs`), so
//! a step costs as much as the places it changes. Two things follow what the encoder will do with
//! the pieces rather than the classic algorithm: a new piece joins *every* pair of neighbours whose
//! text it is, not only the pair that was counted; and a pair that comes to stand side by side
//! later, and whose text has long been a piece, is joined at once.
//!
//! Words lie one after the other in one array, a place per character, divided by [`BARRIER`]. A
//! symbol stands at its first place; its length stands at its first and its last, so both
//! neighbours are found by looking.

use rustc_hash::FxHashMap;

use crate::normalizer::SPACE_MARK;
use crate::pairs::{PairKey, Pairs, key, parts};
use crate::rules::LearnRules;

/// A symbol that joins nothing: the end of a word, or a character that has no piece.
pub const BARRIER: u32 = u32::MAX;
/// A place inside a longer symbol.
const INSIDE: u32 = u32::MAX - 1;

/// A piece and how often it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedPiece {
    /// The text, with `▁` for a blank.
    pub text: String,
    /// How often it occurred when it was learned.
    pub count: u64,
}

/// One character of a word, and the symbol that begins or ends there.
#[derive(Clone, Copy)]
struct Place {
    /// How often the word occurs.
    count: u64,
    symbol: u32,
    length: u8,
}

/// Words as symbols, and the pairs in them.
pub struct Learner {
    texts: Vec<Box<str>>,
    ids: FxHashMap<Box<str>, u32>,
    places: Vec<Place>,
    pairs: Pairs,
    /// Pairs that are new and whose text is a piece already, each after that piece.
    known: Vec<(u32, PairKey)>,
    min_frequency: u64,
    max_piece_length: usize,
    /// The symbol of a single blank where pieces may go on over one.
    inner_blank: Option<u32>,
    /// Room for a text, and for places, used again and again.
    text: String,
    to_join: Vec<u32>,
}

impl Learner {
    /// Begins with symbols that stand for these texts, numbered from 0.
    pub fn new(texts: Vec<Box<str>>, rules: &LearnRules) -> Learner {
        let ids: FxHashMap<Box<str>, u32> = texts.iter().cloned().zip(0..).collect();
        let blank = ids.get(SPACE_MARK.encode_utf8(&mut [0; 4])).copied();
        Learner {
            inner_blank: blank.filter(|_| rules.cross_space),
            ids,
            texts,
            places: vec![Place { count: 0, symbol: BARRIER, length: 1 }],
            pairs: Pairs::default(),
            known: Vec::new(),
            min_frequency: rules.min_frequency,
            max_piece_length: rules.max_piece_length,
            text: String::new(),
            to_join: Vec::new(),
        }
    }

    /// Adds a word, as symbols, that occurs `count` times.
    pub fn add_word(&mut self, symbols: &[u32], count: u64) {
        for &symbol in symbols.iter().chain(&[BARRIER]) {
            let length = match symbol {
                BARRIER => 1,
                _ => self.texts[symbol as usize].chars().count(),
            };
            let place = Place { count, symbol, length: length as u8 };
            self.places.push(place);
            let inside = Place { symbol: INSIDE, ..place };
            self.places.extend(std::iter::repeat_n(inside, length - 1));
        }
    }

    /// Counts all pairs; call once, after the last word.
    pub fn count_pairs(&mut self) {
        let mut at = 0;
        while let Some(next) = self.after(at) {
            self.add_pair(at, next);
            at = next;
        }
        // What the base does not join though it could is left alone.
        self.known.clear();
        self.pairs.offer(self.min_frequency);
    }

    /// Learns the next piece; `None` when every pair has become too rare.
    pub fn next_piece(&mut self) -> Option<LearnedPiece> {
        let (pair, count) = self.pairs.pop_most_frequent(self.min_frequency)?;
        self.join_texts(pair);
        let text = self.text.clone();
        let piece = self.texts.len() as u32;
        self.texts.push(text.as_str().into());
        self.ids.insert(text.as_str().into(), piece);
        self.join_all_splits(piece);
        self.settle();
        Some(LearnedPiece { text, count })
    }

    /// How often each symbol stands in the words as they are now.
    pub fn occurrences(&self) -> Vec<u64> {
        let mut occurrences = vec![0; self.texts.len()];
        for place in &self.places {
            if let Some(count) = occurrences.get_mut(place.symbol as usize) {
                *count += place.count;
            }
        }
        occurrences
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
    /// rest.
    fn settle(&mut self) {
        while let Some(&oldest) = self.known.iter().min() {
            self.known.retain(|&other| other != oldest);
            self.join(oldest.1, oldest.0);
        }
        self.pairs.offer(self.min_frequency);
    }

    /// Joins a pair wherever it stands.
    fn join(&mut self, pair: PairKey, piece: u32) {
        // From left to right, so that in a run of one symbol the leftmost two are joined.
        let mut places = std::mem::take(&mut self.to_join);
        self.pairs.take(pair, &mut places);
        let (left, right) = parts(pair);
        for &place in &places {
            let at = place as usize;
            let Some(second) = self.after(at) else {
                continue;
            };
            if self.places[at].symbol == left && self.places[second].symbol == right {
                self.join_at(at, second, piece);
            }
        }
        self.to_join = places;
    }

    fn join_at(&mut self, at: usize, second: usize, piece: u32) {
        let before = at - usize::from(self.places[at - 1].length);
        let next = second + usize::from(self.places[second].length);
        self.remove_pair(before, at);
        self.remove_pair(second, next);
        let length = (next - at) as u8;
        self.places[second].symbol = INSIDE;
        self.places[at].symbol = piece;
        self.places[at].length = length;
        self.places[next - 1].length = length;
        self.add_pair(before, at);
        self.add_pair(at, next);
    }

    /// The place of the symbol that follows; there is none after the last barrier.
    fn after(&self, at: usize) -> Option<usize> {
        let next = at + usize::from(self.places[at].length);
        (next < self.places.len()).then_some(next)
    }

    fn pair_at(&self, left: usize, right: usize) -> Option<PairKey> {
        let (a, b) = (&self.places[left], &self.places[right]);
        let length = usize::from(a.length) + usize::from(b.length);
        let joins = a.symbol != BARRIER && b.symbol != BARRIER && length <= self.max_piece_length;
        (joins && !self.ends_in_blank(a.symbol, b.symbol)).then(|| key(a.symbol, b.symbol))
    }

    /// Whether a pair would be a word with the blank of the next: that belongs to the next.
    fn ends_in_blank(&self, left: u32, right: u32) -> bool {
        self.inner_blank == Some(right) && !self.texts[left as usize].ends_with(SPACE_MARK)
    }

    fn add_pair(&mut self, left: usize, right: usize) {
        let Some(key) = self.pair_at(left, right) else {
            return;
        };
        if self.pairs.add(key, left as u32, self.places[left].count) {
            self.join_texts(key);
            if let Some(&piece) = self.ids.get(self.text.as_str()) {
                self.known.push((piece, key));
            }
        }
    }

    fn remove_pair(&mut self, left: usize, right: usize) {
        if let Some(key) = self.pair_at(left, right) {
            self.pairs.remove(key, self.places[left].count);
        }
    }

    fn join_texts(&mut self, pair: PairKey) {
        let (left, right) = parts(pair);
        self.text.clear();
        self.text.push_str(&self.texts[left as usize]);
        self.text.push_str(&self.texts[right as usize]);
    }
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
        let mut learner = Learner::new(texts, &LearnRules::default());
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
