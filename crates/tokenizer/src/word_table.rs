//! Words with the number of times they occur, as fast and as small as can be: texts in one string,
//! found by open addressing.
//!
//! A word is whatever the caller takes for one. The table can drop its rarest words, so that
//! counting needs bounded memory (lossy counting, Manku and Motwani 2002).

use std::hash::Hasher;

use rustc_hash::FxHasher;

/// Counts by word.
#[derive(Default)]
pub struct WordTable {
    /// A power of two of them, or none; a count of 0 marks a free one.
    slots: Vec<Slot>,
    texts: String,
    len: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    count: u64,
    start: u64,
    hash: u32,
    length: u32,
}

impl Slot {
    fn text<'a>(&self, texts: &'a str) -> &'a str {
        let start = self.start as usize;
        &texts[start..start + self.length as usize]
    }
}

fn hash_of(word: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(word.as_bytes());
    hasher.finish() as u32
}

impl WordTable {
    /// Number of distinct words.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The words in no particular order, each with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let taken = self.slots.iter().filter(|slot| slot.count > 0);
        taken.map(|slot| (slot.text(&self.texts), slot.count))
    }

    /// Counts a word `count` times more.
    #[inline]
    pub fn add(&mut self, word: &str, count: u64) {
        // At most five eighths are taken: probes stay short.
        if self.len * 8 >= self.slots.len() * 5 {
            self.grow();
        }
        let hash = hash_of(word);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = &mut self.slots[at];
            if slot.count == 0 {
                let (start, length) = (self.texts.len() as u64, word.len() as u32);
                *slot = Slot { count, start, hash, length };
                self.texts.push_str(word);
                self.len += 1;
                return;
            }
            if slot.hash == hash && slot.text(&self.texts) == word {
                slot.count += count;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(1024);
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.count > 0) {
            let mut at = slot.hash as usize & (size - 1);
            while self.slots[at].count > 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = slot;
        }
    }

    /// Adds the counts of another table.
    pub fn merge(&mut self, other: WordTable) {
        other.iter().for_each(|(word, count)| self.add(word, count));
    }

    /// Drops the rarest words so that at most `most` are left: every word seen no more than a
    /// certain number of times, which is returned.
    pub fn drop_rarest(&mut self, most: usize) -> u64 {
        let mut counts: Vec<u64> = self.iter().map(|(_, count)| count).collect();
        if counts.len() <= most {
            return 0;
        }
        let (_, &mut rarest, _) = counts.select_nth_unstable_by(most, |a, b| b.cmp(a));
        let mut kept = WordTable::default();
        let frequent = self.iter().filter(|&(_, count)| count > rarest);
        frequent.for_each(|(word, count)| kept.add(word, count));
        *self = kept;
        rarest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(table: &WordTable) -> Vec<(&str, u64)> {
        let mut words: Vec<_> = table.iter().collect();
        words.sort_unstable();
        words
    }

    #[test]
    fn many_words_are_counted_each_for_itself() {
        let mut table = WordTable::default();
        for number in 0..30_000u32 {
            table.add(&format!("w{}", number % 10_000), 1);
        }
        assert_eq!(table.len(), 10_000);
        assert!(table.iter().all(|(_, count)| count == 3));
    }

    #[test]
    fn tables_merge() {
        let [mut a, mut b] = [WordTable::default(), WordTable::default()];
        a.add("가", 2);
        b.add("가", 3);
        b.add("나", 1);
        a.merge(b);
        assert_eq!(sorted(&a), [("가", 5), ("나", 1)]);
    }

    #[test]
    fn words_of_equal_count_are_dropped_together() {
        let mut table = WordTable::default();
        for (word, count) in [("a", 1), ("b", 2), ("c", 2), ("d", 3), ("e", 9)] {
            table.add(word, count);
        }
        assert_eq!(table.drop_rarest(5), 0);
        assert_eq!(table.drop_rarest(3), 2);
        assert_eq!(sorted(&table), [("d", 3), ("e", 9)]);
    }
}
