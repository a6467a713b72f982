//! Texts to word counts: what learning looks at, in memory bounded by the number of *distinct*
//! words.
//!
//! A word is a run of characters of one script, with the `▁` of the blank before it. Punctuation
//! is a script of its own, each digit is a character and in no word, and a run of blanks is a word
//! too: a learned piece never crosses a blank, never glues a full stop to a word, and never holds a
//! line end.

use rustc_hash::FxHashMap;
use unicode_script::{Script, UnicodeScript};

use crate::normalizer::SPACE_MARK;

/// Longer words are cut; no piece may be longer.
pub const LONGEST_PIECE: usize = 16;

/// Words and characters with the number of times they occur.
#[derive(Default)]
pub struct Counts {
    /// Words as pieces hold them, with `▁`.
    pub words: FxHashMap<Box<str>, u64>,
    /// Characters but for blanks and control characters.
    pub characters: FxHashMap<char, u64>,
}

impl Counts {
    /// All characters counted.
    pub fn total_characters(&self) -> u64 {
        self.characters.values().sum()
    }

    /// The characters, the most frequent first, equals in the order of Unicode.
    pub fn by_frequency(&self) -> Vec<(char, u64)> {
        let mut characters: Vec<_> =
            self.characters.iter().map(|(&c, &count)| (c, count)).collect();
        characters
            .sort_unstable_by_key(|&(character, count)| (std::cmp::Reverse(count), character));
        characters
    }
}

/// The most frequent characters that together make up `coverage` of all, at most `most`.
pub fn covering(characters: &[(char, u64)], coverage: f64, most: usize) -> &[(char, u64)] {
    let total: u64 = characters.iter().map(|&(_, count)| count).sum();
    let wanted = (total as f64 * coverage).ceil() as u64;
    let mut covered = 0;
    let needed = characters.iter().take_while(|&&(_, count)| {
        let more = covered < wanted;
        covered += count;
        more
    });
    &characters[..needed.count().min(most)]
}

/// Cuts texts into words and counts them.
pub struct Counter {
    counts: Counts,
    /// Only characters of this script are looked at; `None`: all.
    only: Option<Script>,
    /// The scripts of the first 65,536 characters: looking them up is a search.
    scripts: Vec<Script>,
    word: String,
    word_characters: usize,
    word_script: Option<Script>,
}

impl Counter {
    /// Counts the words of one script, or of all.
    pub fn new(only: Option<Script>) -> Counter {
        let script = |code| char::from_u32(code).map_or(Script::Unknown, |c| c.script());
        Counter {
            counts: Counts::default(),
            only,
            scripts: (0..0x10000).map(script).collect(),
            word: String::new(),
            word_characters: 0,
            word_script: None,
        }
    }

    /// Counts one text.
    pub fn add(&mut self, text: &str) {
        let mut blanks = 1;
        for character in text.chars() {
            if character == ' ' || character == SPACE_MARK {
                self.end_word();
                blanks += 1;
            } else {
                self.add_character(character, blanks);
                blanks = 0;
            }
        }
        self.end_word();
    }

    /// What was counted.
    pub fn finish(self) -> Counts {
        self.counts
    }

    fn script(&self, character: char) -> Script {
        let known = self.scripts.get(character as usize);
        known.copied().unwrap_or_else(|| character.script())
    }

    fn add_character(&mut self, character: char, blanks: usize) {
        let script = self.script(character);
        // A combining mark belongs to what it stands on.
        let script = match (script, self.word_script) {
            (Script::Inherited, Some(script)) => script,
            _ => script,
        };
        let wanted = self.only.is_none_or(|only| only == script) && !character.is_control();
        if !wanted || character.is_numeric() {
            self.end_word();
            if wanted {
                self.count_character(character);
            }
            return;
        }
        let continues = blanks == 0 && self.word_script == Some(script);
        if !continues || self.word_characters >= LONGEST_PIECE {
            self.end_word();
        }
        if blanks > 0 {
            self.begin_after_blanks(blanks);
        }
        self.count_character(character);
        self.word.push(character);
        self.word_characters += 1;
        self.word_script = Some(script);
    }

    /// All blanks but the last are a word, the last is the beginning of the next.
    fn begin_after_blanks(&mut self, blanks: usize) {
        if blanks > 1 && self.only.is_none() {
            self.word.extend(std::iter::repeat_n(SPACE_MARK, (blanks - 1).min(LONGEST_PIECE)));
            self.end_word();
        }
        self.word.push(SPACE_MARK);
        self.word_characters = 1;
    }

    fn count_character(&mut self, character: char) {
        *self.counts.characters.entry(character).or_default() += 1;
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            match self.counts.words.get_mut(self.word.as_str()) {
                Some(count) => *count += 1,
                None => {
                    self.counts.words.insert(self.word.as_str().into(), 1);
                }
            }
        }
        self.word.clear();
        self.word_characters = 0;
        self.word_script = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, only: Option<Script>) -> Vec<(String, u64)> {
        let mut counter = Counter::new(only);
        counter.add(text);
        let words = counter.finish().words;
        let mut words: Vec<_> = words.iter().map(|(word, &n)| (word.to_string(), n)).collect();
        words.sort();
        words
    }

    fn expected(words: &[(&str, u64)]) -> Vec<(String, u64)> {
        words.iter().map(|&(word, count)| (word.to_owned(), count)).collect()
    }

    #[test]
    fn words_are_runs_of_one_script_with_the_blank_before_them() {
        let found = words("안녕 GPU가, 안녕\n안녕 3월", Some(Script::Hangul));
        assert_eq!(found, expected(&[("▁안녕", 2), ("가", 1), ("안녕", 1), ("월", 1)]));
    }

    #[test]
    fn without_a_script_punctuation_and_runs_of_blanks_are_words() {
        let found = words("don't   go!!", None);
        assert_eq!(
            found,
            expected(&[("!!", 1), ("'", 1), ("t", 1), ("▁don", 1), ("▁go", 1), ("▁▁", 1)])
        );
    }

    #[test]
    fn digits_of_the_script_are_characters_and_end_a_word() {
        let mut counter = Counter::new(Some(Script::Thai));
        counter.add("ปี๒๕๖๗นี้ 2024 ๒");
        let counts = counter.finish();
        assert_eq!(counts.characters.get(&'๒'), Some(&2));
        assert_eq!(counts.characters.get(&'2'), None);
        let mut words: Vec<&str> = counts.words.keys().map(|word| &**word).collect();
        words.sort_unstable();
        assert_eq!(words, ["นี้", "▁ปี"]);
    }

    #[test]
    fn coverage_takes_no_more_characters_than_it_needs() {
        let counted = [('a', 90), ('b', 9), ('c', 1)];
        assert_eq!(covering(&counted, 0.9, 10).len(), 1);
        assert_eq!(covering(&counted, 0.99, 10).len(), 2);
        assert_eq!(covering(&counted, 1.0, 10).len(), 3);
        assert_eq!(covering(&counted, 1.0, 2).len(), 2);
    }
}
