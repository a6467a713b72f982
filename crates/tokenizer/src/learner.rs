//! Byte-pair learning over counted words: again and again, make a piece of the most frequent pair.
//!
//! The counts of pairs are kept up to date and each pair knows where it occurs (`pairs.rs`), so a
//! step costs as much as the places it changes. Two things follow what the encoder will do with
//! the pieces rather than the classic algorithm: a new piece joins *every* pair of neighbours whose
//! text it is, not only the pair that was counted; and a pair that comes to stand side by side
//! later, and whose text has long been a piece, is joined at once, unless it is too rare to be kept.
//!
//! Words lie one after the other in one array, a place per character, divided by [`BARRIER`]. A
//! symbol stands at its first place; its length stands at its first and its last, so both
//! neighbours are found by looking.

use rustc_hash::FxHashMap;

use crate::beside::Beside;
use crate::normalizer::SPACE_MARK;
use crate::pairs::{PairKey, Pairs, key, parts};
use crate::rules::LearnRules;
use crate::weighted_text::PARTS;
use crate::word_table::WordTable;

/// A symbol that joins nothing: the end of a word, or a character that has no piece.
pub const BARRIER: u32 = (1 << 24) - 1;
/// A place inside a longer symbol.
const INSIDE: u32 = BARRIER - 1;

/// A piece and how often it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedPiece {
    /// The text, with `▁` for a blank.
    pub text: String,
    /// How often it occurred when it was learned, by the weight of the texts; of a single
    /// character, how often it stands in them, whatever their weight.
    pub count: u64,
    /// How often it stands in the texts once all pieces are learned, by their weight: longer
    /// ones take over. A word counts at most a hundred million times.
    pub uses: u64,
}

/// One character of a word. Small, because waiting for memory is what learning spends its time on.
#[derive(Clone, Copy)]
struct Place {
    /// In how many parts of an occurrence; from a hundred million whole ones on it does not matter.
    count: u32,
    /// The symbol that begins here, and in the upper eight bits the length of the one that begins
    /// or ends here.
    symbol_and_length: u32,
}

impl Place {
    fn new(count: u32, symbol: u32, length: usize) -> Place {
        Place { count, symbol_and_length: (length as u32) << 24 | symbol }
    }

    fn symbol(self) -> u32 {
        self.symbol_and_length & BARRIER
    }

    fn length(self) -> usize {
        (self.symbol_and_length >> 24) as usize
    }
}

/// Words as symbols, and the pairs in them.
pub struct Learner {
    texts: Vec<Box<str>>,
    ids: FxHashMap<Box<str>, u32>,
    places: Vec<Place>,
    pairs: Pairs,
    /// What stands before and after the places of the pair that is being joined, and of the piece
    /// that it becomes.
    beside_pair: [Beside; 2],
    beside_piece: [Beside; 2],
    /// Pairs with the piece that is being made, and how often they have ceased to stand already.
    passed: Vec<(PairKey, u64)>,
    /// Pairs that are new and whose text is a piece already, each after that piece.
    known: Vec<(u32, PairKey)>,
    max_piece_length: usize,
    /// The symbol of a single blank where pieces may go on over one.
    inner_blank: Option<u32>,
    /// Room for places, used again and again.
    to_join: Vec<u32>,
}

impl Learner {
    /// Begins with symbols that stand for these texts, numbered from 0; `spell` appends the symbols
    /// of a word, given in blank form.
    pub fn new(
        texts: Vec<Box<str>>,
        mut words: WordTable,
        rules: &LearnRules,
        mut spell: impl FnMut(&str, &mut Vec<u32>),
    ) -> Learner {
        let mut learner = Learner::without_words(texts, rules);
        let mut symbols = Vec::new();
        words.for_each(|word, count| {
            symbols.clear();
            spell(word, &mut symbols);
            learner.add_word(&symbols, count);
        });
        // The pairs need the room.
        drop(words);
        learner.count_pairs();
        learner
    }

    fn without_words(texts: Vec<Box<str>>, rules: &LearnRules) -> Learner {
        let ids: FxHashMap<Box<str>, u32> = texts.iter().cloned().zip(0..).collect();
        let blank = ids.get(SPACE_MARK.encode_utf8(&mut [0; 4])).copied();
        Learner {
            ids,
            texts,
            places: vec![Place::new(0, BARRIER, 1)],
            pairs: Pairs::new(rules.min_frequency.max(1).saturating_mul(PARTS)),
            beside_pair: Default::default(),
            beside_piece: Default::default(),
            passed: Vec::new(),
            known: Vec::new(),
            max_piece_length: rules.max_piece_length,
            inner_blank: blank.filter(|_| rules.cross_space),
            to_join: Vec::new(),
        }
    }

    /// Adds a word, as symbols, that occurs `count` times, in parts of an occurrence. A symbol
    /// without a text joins nothing.
    fn add_word(&mut self, symbols: &[u32], count: u64) {
        let count = count.min(u32::MAX.into()) as u32;
        for &symbol in symbols.iter().chain(&[BARRIER]) {
            let text = self.texts.get(symbol as usize);
            let (symbol, length) = match text.map_or(0, |text| text.chars().count()) {
                0 => (BARRIER, 1),
                length => (symbol, length),
            };
            self.places.push(Place::new(count, symbol, length));
            let inside = Place::new(count, INSIDE, length);
            self.places.extend(std::iter::repeat_n(inside, length - 1));
        }
    }

    fn count_pairs(&mut self) {
        let mut pairs = std::mem::replace(&mut self.pairs, Pairs::new(0));
        pairs.add_all(|| {
            let following = |&at: &usize| self.after(at);
            std::iter::successors(Some(0), following).filter_map(|at| {
                let key = self.pair_at(at, self.after(at)?)?;
                Some((key, at as u32, self.places[at].count.into()))
            })
        });
        self.pairs = pairs;
    }

    /// Learns until there are `wanted` pieces, or every pair has become too rare; `progress` hears
    /// how many there are.
    pub fn learn_up_to(
        &mut self,
        wanted: usize,
        pieces: &mut Vec<LearnedPiece>,
        progress: &mut dyn FnMut(usize),
    ) {
        while pieces.len() < wanted
            && let Some(piece) = self.next_piece()
        {
            pieces.push(piece);
            progress(pieces.len());
        }
    }

    /// Learns the next piece; `None` when every pair has become too rare.
    pub fn next_piece(&mut self) -> Option<LearnedPiece> {
        let piece = self.texts.len() as u32;
        if piece >= INSIDE {
            return None;
        }
        let (pair, count) = self.pairs.pop_most_frequent()?;
        let text = joined_text(&self.texts, pair);
        self.texts.push(text.as_str().into());
        self.ids.insert(text.as_str().into(), piece);
        self.join_all_splits(piece);
        // Joins new neighbours whose text is a piece already, the oldest piece first.
        while let Some(&(known, pair)) = self.known.iter().min() {
            self.known.retain(|&other| other != (known, pair));
            self.join(pair, known);
            self.offer(known);
        }
        let count = count / PARTS;
        Some(LearnedPiece { text, count, uses: count })
    }

    /// The symbol of the piece learned last.
    pub fn newest(&self) -> usize {
        self.texts.len() - 1
    }

    /// How often each symbol stands in the words as they are now.
    pub fn occurrences(&self) -> Vec<u64> {
        let mut occurrences = vec![0; self.texts.len()];
        for place in &self.places {
            if let Some(count) = occurrences.get_mut(place.symbol() as usize) {
                *count += u64::from(place.count);
            }
        }
        occurrences.iter().map(|parts| parts / PARTS).collect()
    }

    fn join_all_splits(&mut self, piece: u32) {
        let text = self.texts[piece as usize].clone();
        for (at, _) in text.char_indices().skip(1) {
            let halves = (self.ids.get(&text[..at]), self.ids.get(&text[at..]));
            if let (Some(&left), Some(&right)) = halves {
                self.join(key(left, right), piece);
            }
        }
        self.offer(piece);
    }

    /// Joins a pair wherever it stands.
    fn join(&mut self, pair: PairKey, piece: u32) {
        for beside in self.beside_pair.iter_mut().chain(&mut self.beside_piece) {
            beside.grow(self.texts.len());
        }
        // From left to right, so that in a run of one symbol the leftmost two are joined.
        let mut places = std::mem::take(&mut self.to_join);
        self.pairs.take(pair, &mut places);
        let (left, right) = parts(pair);
        for &place in &places {
            let at = place as usize;
            let Some(second) = self.after(at) else {
                continue;
            };
            if self.places[at].symbol() == left && self.places[second].symbol() == right {
                self.join_at(at, second, piece);
            }
        }
        self.to_join = places;
        // A pair with the piece itself is not offered yet.
        let mut remove = |symbol, pair, count| match symbol == piece {
            true => self.passed.push((pair, count)),
            false => self.pairs.remove(pair, count),
        };
        let [before, after] = &mut self.beside_pair;
        before.drain(|symbol, sum| remove(symbol, key(symbol, left), sum.count));
        after.drain(|symbol, sum| remove(symbol, key(right, symbol), sum.count));
    }

    fn join_at(&mut self, at: usize, second: usize, piece: u32) {
        let before = at - self.places[at - 1].length();
        let next = second + self.places[second].length();
        let (length, count) = (next - at, self.places[at].count);
        let inside = Place::new(count, INSIDE, length);
        self.places[second] = inside;
        self.places[next - 1] = inside;
        self.places[at] = Place::new(count, piece, length);
        self.see(0, before, self.pair_at(before, at).map(|_| before), count);
        self.see(1, next, self.pair_at(at, next).map(|_| at), count);
    }

    /// Sees what stands on one side of a pair that was joined; `pair` is where it makes a pair with
    /// the piece.
    fn see(&mut self, side: usize, neighbour: usize, pair: Option<usize>, count: u32) {
        let symbol = self.places[neighbour].symbol();
        if symbol != BARRIER {
            self.beside_pair[side].see(symbol, count.into());
        }
        if let Some(place) = pair {
            self.beside_piece[side].see_at(symbol, count.into(), place as u32);
        }
    }

    /// Offers the pairs of a piece with its neighbours; those whose text is a piece already are
    /// known.
    fn offer(&mut self, piece: u32) {
        let mut is_new = |pair| {
            if let Some(&known) = self.ids.get(joined_text(&self.texts, pair).as_str()) {
                self.known.push((known, pair));
            }
        };
        let [before, after] = &mut self.beside_piece;
        self.pairs.add(before, |symbol| key(symbol, piece), &mut is_new);
        self.pairs.add(after, |symbol| key(piece, symbol), &mut is_new);
        self.passed.drain(..).for_each(|(pair, count)| self.pairs.remove(pair, count));
    }

    /// The place of the symbol that follows; there is none after the last barrier.
    fn after(&self, at: usize) -> Option<usize> {
        let next = at + self.places[at].length();
        (next < self.places.len()).then_some(next)
    }

    fn pair_at(&self, left: usize, right: usize) -> Option<PairKey> {
        let (a, b) = (self.places[left], self.places[right]);
        let (left, right) = (a.symbol(), b.symbol());
        let joins = left != BARRIER
            && right != BARRIER
            && a.length() + b.length() <= self.max_piece_length
            && !self.ends_in_blank(left, right);
        joins.then(|| key(left, right))
    }

    /// Whether a pair would be a word with the blank of the next: that belongs to the next.
    fn ends_in_blank(&self, left: u32, right: u32) -> bool {
        self.inner_blank == Some(right) && !self.texts[left as usize].ends_with(SPACE_MARK)
    }
}

fn joined_text(texts: &[Box<str>], pair: PairKey) -> String {
    let (left, right) = parts(pair);
    [&*texts[left as usize], &*texts[right as usize]].concat()
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
        let mut table = WordTable::default();
        words.iter().for_each(|(word, count)| table.add(word, count * PARTS));
        let spell = |word: &str, symbols: &mut Vec<u32>| symbols.extend(word.chars().map(id));
        let mut learner = Learner::new(texts, table, &LearnRules::default(), spell);
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
