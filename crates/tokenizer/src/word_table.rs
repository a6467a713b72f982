//! Words with the number of times they occur, fast and small.
//!
//! Nearly all words are short, and a table of a million words lies in no cache: what counts is how
//! often memory has to be waited for. So a short word lies in its slot, one look at one line of
//! memory finds it, and words are looked up some at a time, so that the waits overlap. Longer words
//! are in an ordinary map. A word is whatever the caller takes for one.

use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHasher};

/// The longest word that lies in its slot, in bytes.
const LONGEST_INSIDE: usize = 23;
/// Words that wait to be looked up together.
const WAITING: usize = 64;

/// A short word: its bytes, zeros, and its length in the last byte.
type Key = [u64; 3];

/// Counts by word.
#[derive(Default)]
pub struct WordTable {
    /// A power of two of them, or none; a count of 0 marks a free one.
    slots: Vec<Slot>,
    taken: usize,
    long: FxHashMap<Box<str>, u64>,
    waiting: Vec<Slot>,
}

#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Slot {
    key: Key,
    count: u64,
}

impl Slot {
    fn new(word: &str, count: u64) -> Slot {
        let mut bytes = [0; 24];
        bytes[..word.len()].copy_from_slice(word.as_bytes());
        bytes[LONGEST_INSIDE] = word.len() as u8;
        let part = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        Slot { key: [part(0), part(8), part(16)], count }
    }

    fn hash(&self) -> usize {
        let mut hasher = FxHasher::default();
        self.key.iter().for_each(|&part| hasher.write_u64(part));
        hasher.finish() as usize
    }

    fn hand_over(&self, each: &mut impl FnMut(&str, u64)) {
        let mut bytes = [0; 24];
        let parts = bytes.chunks_exact_mut(8).zip(self.key);
        parts.for_each(|(place, part)| place.copy_from_slice(&part.to_le_bytes()));
        let length = usize::from(bytes[LONGEST_INSIDE]);
        each(std::str::from_utf8(&bytes[..length]).expect("it was put in as a word"), self.count);
    }
}

impl WordTable {
    /// Counts a word `count` times more.
    #[inline]
    pub fn add(&mut self, word: &str, count: u64) {
        if word.len() > LONGEST_INSIDE {
            return self.add_long(word, count);
        }
        self.waiting.push(Slot::new(word, count));
        if self.waiting.len() == WAITING {
            self.settle();
        }
    }

    fn add_long(&mut self, word: &str, count: u64) {
        match self.long.get_mut(word) {
            Some(known) => *known += count,
            None => drop(self.long.insert(word.into(), count)),
        }
    }

    /// Counts the words that wait.
    fn settle(&mut self) {
        // At most five eighths are taken: probes stay short.
        if (self.taken + self.waiting.len()) * 8 > self.slots.len() * 5 {
            self.grow();
        }
        let mask = self.slots.len().wrapping_sub(1);
        // All slots are fetched before one is waited for.
        let fetched = self.waiting.iter().map(|word| self.slots[word.hash() & mask].count);
        std::hint::black_box(fetched.fold(0, u64::wrapping_add));
        for word in self.waiting.drain(..) {
            let mut at = word.hash() & mask;
            while self.slots[at].count > 0 && self.slots[at].key != word.key {
                at = (at + 1) & mask;
            }
            let slot = &mut self.slots[at];
            self.taken += usize::from(slot.count == 0);
            *slot = Slot { key: word.key, count: slot.count + word.count };
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(1024);
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.count > 0) {
            let mut at = slot.hash() & (size - 1);
            while self.slots[at].count > 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = slot;
        }
    }

    /// Number of distinct words.
    pub fn len(&mut self) -> usize {
        self.settle();
        self.taken + self.long.len()
    }

    /// Hands over all words with their counts, in no particular order.
    pub fn for_each(&mut self, mut each: impl FnMut(&str, u64)) {
        self.settle();
        let taken = self.slots.iter().filter(|slot| slot.count > 0);
        taken.for_each(|slot| slot.hand_over(&mut each));
        self.long.iter().for_each(|(word, &count)| each(word, count));
    }

    /// Adds the counts of another table.
    pub fn merge(&mut self, mut other: WordTable) {
        other.for_each(|word, count| self.add(word, count));
    }

    /// Drops the rarest words so that at most `most` are left: every word seen no more than a
    /// certain number of times, which is returned.
    pub fn drop_rarest(&mut self, most: usize) -> u64 {
        let mut counts = Vec::with_capacity(self.len());
        self.for_each(|_, count| counts.push(count));
        if counts.len() <= most {
            return 0;
        }
        let (_, &mut rarest, _) = counts.select_nth_unstable_by(most, |a, b| b.cmp(a));
        let mut kept = WordTable::default();
        self.for_each(|word, count| {
            if count > rarest {
                kept.add(word, count);
            }
        });
        *self = kept;
        rarest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(table: &mut WordTable) -> Vec<(String, u64)> {
        let mut words = Vec::new();
        table.for_each(|word, count| words.push((word.to_owned(), count)));
        words.sort_unstable();
        words
    }

    fn expected(words: &[(&str, u64)]) -> Vec<(String, u64)> {
        words.iter().map(|&(word, count)| (word.to_owned(), count)).collect()
    }

    #[test]
    fn many_words_are_counted_each_for_itself() {
        let mut table = WordTable::default();
        for number in 0..30_000 {
            // Of all lengths around the longest that lies in its slot.
            table.add(&format!("{:1$}", number % 10_000, number % 10 + 18), 1);
        }
        assert_eq!(table.len(), 10_000);
        table.for_each(|_, count| assert_eq!(count, 3));
    }

    #[test]
    fn tables_merge() {
        let [mut a, mut b] = [WordTable::default(), WordTable::default()];
        let long = "아주아주아주아주긴말";
        a.add("가", 2);
        a.add(long, 1);
        b.add("가", 3);
        b.add("나", 1);
        b.add(long, 1);
        a.merge(b);
        assert_eq!(sorted(&mut a), expected(&[("가", 5), ("나", 1), (long, 2)]));
    }

    #[test]
    fn words_of_equal_count_are_dropped_together() {
        let mut table = WordTable::default();
        for (word, count) in [("a", 1), ("b", 2), ("c", 2), ("d", 3), ("e", 9)] {
            table.add(word, count);
        }
        assert_eq!(table.drop_rarest(5), 0);
        assert_eq!(table.drop_rarest(3), 2);
        assert_eq!(sorted(&mut table), expected(&[("d", 3), ("e", 9)]));
    }
}
