//! Texts to words: where learning may look for pieces.
//!
//! A word is a run of characters of one script, with the blank before it. Punctuation is a script
//! of its own, each digit is a character and in no word, and a run of blanks is a word too: a
//! learned piece never glues a full stop to a word, never holds a digit beside another character,
//! and never holds a line end. Only where it is asked for does a word go on over a single blank.

use unicode_script::{Script, UnicodeScript};

use crate::rules::LearnRules;
use crate::tally::Tally;

/// Which word a character belongs to: the number of its script, or one of the four below, which are
/// no other script's number.
type Group = u8;
/// Belongs to what it stands on: a combining mark.
const MARK: Group = Script::Inherited as Group;
/// The blank; a `▁` is turned into one beforehand.
const BLANK: Group = 0xF0;
/// Ends a word and is counted by itself.
const DIGIT: Group = 0xF1;
/// Ends a word and is not counted.
const OTHER: Group = 0xF2;

/// Cuts texts into words.
pub struct Cutter {
    /// Only characters of this script are looked at; `None`: all.
    only: Option<Script>,
    cross_space: bool,
    longest_word: usize,
    /// The groups of the first 65,536 characters: looking a script up is a search.
    groups: Vec<Group>,
}

/// The word that is being read.
struct Word {
    start: usize,
    end: usize,
    characters: usize,
    /// [`OTHER`] while there is none.
    group: Group,
}

impl Cutter {
    /// Looks at one script, or at all.
    pub fn new(only: Option<Script>, rules: &LearnRules) -> Cutter {
        let group = |code| char::from_u32(code).map_or(OTHER, |character| group(only, character));
        Cutter {
            only,
            cross_space: rules.cross_space,
            longest_word: rules.longest_word(),
            groups: (0..0x10000).map(group).collect(),
        }
    }

    /// Counts the words, `parts` each, and characters of a text in blank form that ends in a line end.
    pub fn cut(&self, text: &str, parts: u64, tally: &mut Tally) {
        let mut word = Word { start: 0, end: 0, characters: 0, group: OTHER };
        let mut blanks = 0;
        for (at, character) in text.char_indices() {
            let group = match self.group(character) {
                BLANK => {
                    blanks += 1;
                    continue;
                }
                MARK if word.group != OTHER && blanks == 0 => word.group,
                MARK if self.only.is_some() => OTHER,
                group => group,
            };
            if group != OTHER {
                tally.add_character(character);
            }
            let end = at + character.len_utf8();
            if !self.continues(&word, group, blanks) {
                word.count(text, parts, tally);
                if blanks > 1 {
                    self.count_blanks(&text[..at], group, blanks, parts, tally);
                }
                word = begin(at, group, blanks);
            }
            word.characters += 1 + blanks;
            word.end = end;
            blanks = 0;
        }
        word.count(text, parts, tally);
    }

    #[inline]
    fn group(&self, character: char) -> Group {
        let known = self.groups.get(character as usize);
        known.copied().unwrap_or_else(|| group(self.only, character))
    }

    #[inline]
    fn continues(&self, word: &Word, group: Group, blanks: usize) -> bool {
        word.group == group
            && blanks <= usize::from(self.cross_space)
            && word.characters + blanks < self.longest_word
    }

    /// The blanks that end a text are a word of their own, but for the last if a word of `group`
    /// begins with it.
    fn count_blanks(&self, text: &str, group: Group, blanks: usize, parts: u64, tally: &mut Tally) {
        if self.only.is_none() {
            let begins_word = group != OTHER && group != DIGIT;
            let run = (blanks - usize::from(begins_word)).min(self.longest_word);
            tally.words.add(&text[text.len() - run..], parts);
        }
    }
}

/// Begins a word with the last of the blanks before it.
fn begin(at: usize, group: Group, blanks: usize) -> Word {
    let (start, group) = match group {
        OTHER | DIGIT => (at, OTHER),
        _ => (at - blanks.min(1), group),
    };
    Word { start, end: at, characters: 0, group }
}

impl Word {
    #[inline]
    fn count(&self, text: &str, parts: u64, tally: &mut Tally) {
        if self.group != OTHER {
            tally.words.add(&text[self.start..self.end], parts);
        }
    }
}

fn group(only: Option<Script>, character: char) -> Group {
    let script = character.script();
    if character == ' ' {
        BLANK
    } else if character.is_control() {
        OTHER
    } else if script == Script::Inherited {
        MARK
    } else if only.is_some_and(|only| only != script) {
        OTHER
    } else if character.is_numeric() {
        DIGIT
    } else {
        script as Group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, only: Option<Script>, rules: &LearnRules) -> Tally {
        let mut tally = Tally::default();
        Cutter::new(only, rules).cut(text, 1, &mut tally);
        tally
    }

    fn words(text: &str, only: Option<Script>, rules: &LearnRules) -> Vec<(String, u64)> {
        let mut words = Vec::new();
        cut(text, only, rules).words.for_each(|word, count| words.push((word.to_owned(), count)));
        words.sort();
        words
    }

    fn expected(words: &[(&str, u64)]) -> Vec<(String, u64)> {
        words.iter().map(|&(word, count)| (word.to_owned(), count)).collect()
    }

    #[test]
    fn words_are_runs_of_one_script_with_the_blank_before_them() {
        let text = " 안녕 GPU가, 안녕\n안녕 3월";
        let found = words(text, Some(Script::Hangul), &LearnRules::default());
        assert_eq!(found, expected(&[(" 안녕", 2), ("가", 1), ("안녕", 1), ("월", 1)]));
    }

    #[test]
    fn without_a_script_punctuation_and_runs_of_blanks_are_words() {
        let found = words(" don't   go!!    \n  7\n", None, &LearnRules::default());
        let runs = [("  ", 2), ("    ", 1)];
        let all = [(" don", 1), (" go", 1), ("!!", 1), ("'", 1), ("t", 1)];
        let all = [&runs[..], &all].concat();
        assert_eq!(found, expected(&all));
    }

    #[test]
    fn digits_of_the_script_are_characters_and_end_a_word() {
        let rules = LearnRules::default();
        let text = " ปี๒๕๖๗นี้ 2024 ๒";
        let characters: Vec<_> = cut(text, Some(Script::Thai), &rules).characters().collect();
        assert!(characters.contains(&('๒', 2)));
        assert!(characters.iter().all(|&(character, _)| character != '2'));
        let found = words(text, Some(Script::Thai), &rules);
        assert_eq!(found, expected(&[(" ปี", 1), ("นี้", 1)]));
    }

    #[test]
    fn a_mark_belongs_to_the_letter_before_it() {
        let text = " मा\u{951}न \u{951}";
        let found = words(text, Some(Script::Devanagari), &LearnRules::default());
        assert_eq!(found, expected(&[(" मा\u{951}न", 1)]));
    }

    #[test]
    fn long_words_are_cut() {
        let rules = LearnRules { max_piece_length: 4, ..LearnRules::default() };
        let found = words(" 가나다라마바사아자", Some(Script::Hangul), &rules);
        assert_eq!(found, expected(&[(" 가나다", 1), ("라마바사", 1), ("아자", 1)]));
    }

    #[test]
    fn where_it_is_asked_for_a_word_goes_on_over_a_single_blank() {
        let rules = LearnRules { cross_space: true, ..LearnRules::default() };
        let found = words(" 할 수 있다.  갈 수  없다, a 나", Some(Script::Hangul), &rules);
        let all = [(" 갈 수", 1), (" 나", 1), (" 없다", 1), (" 할 수 있다", 1)];
        assert_eq!(found, expected(&all));
    }
}
