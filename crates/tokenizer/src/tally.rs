//! What is counted while texts are cut: words, and characters each by itself.

use rustc_hash::FxHashMap;

use crate::word_table::WordTable;

/// Characters below this have a counter of their own.
const COMMON: usize = 0x10000;

/// Counts of one thread, or of all.
pub struct Tally {
    /// Words in blank form: a blank is a blank, not a `▁`.
    pub words: WordTable,
    common: Vec<u64>,
    rare: FxHashMap<char, u64>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { words: WordTable::default(), common: vec![0; COMMON], rare: FxHashMap::default() }
    }
}

impl Tally {
    /// Counts a character.
    #[inline]
    pub fn add_character(&mut self, character: char) {
        match self.common.get_mut(character as usize) {
            Some(count) => *count += 1,
            None => *self.rare.entry(character).or_default() += 1,
        }
    }

    /// The characters that were seen, in no particular order, each with its count.
    pub fn characters(&self) -> impl Iterator<Item = (char, u64)> {
        let common = self.common.iter().zip(0u32..).filter(|&(&count, _)| count > 0);
        let common = common.filter_map(|(&count, code)| Some((char::from_u32(code)?, count)));
        common.chain(self.rare.iter().map(|(&character, &count)| (character, count)))
    }

    /// Adds the counts of another thread.
    pub fn merge(&mut self, other: Tally) {
        self.words.merge(other.words);
        self.common.iter_mut().zip(&other.common).for_each(|(count, more)| *count += more);
        for (character, count) in other.rare {
            *self.rare.entry(character).or_default() += count;
        }
    }
}
