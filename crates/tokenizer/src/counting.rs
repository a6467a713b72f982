//! Texts to word counts: what learning looks at, in bounded memory.
//!
//! Texts are handed over in portions to threads that count each for itself; what comes out does
//! not depend on how many there are. Memory holds the counted words: at most `most_words` and those
//! of the last round of 32 MB (or of a line, if one is longer). When there are more, the rarest are dropped (lossy counting, Manku and
//! Motwani, "Approximate frequency counts over data streams", 2002), and it is kept in mind by how
//! much a count may be too low now.

use std::cmp::Reverse;
use std::sync::mpsc::TrySendError::{Disconnected, Full};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use unicode_script::Script;

use crate::cutting::Cutter;
use crate::normalizer::blank_form;
use crate::portions::Portions;
use crate::rules::LearnRules;
use crate::tally::Tally;
use crate::weighted_text::{PARTS, WeightedText};
use crate::word_table::WordTable;

/// Bytes of text after which the number of words is looked at.
const ROUND_BYTES: usize = 32 << 20;

/// How the words were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Characters of the script, or all but blanks and control characters.
    pub characters: u64,
    /// Distinct words at the end.
    pub words: usize,
    /// How many times a word was dropped to keep within memory.
    pub words_dropped: u64,
    /// By how much the count of a word may be too low for that; 0 when nothing was dropped.
    pub largest_undercount: u64,
}

/// Words and characters with the number of times they occur.
#[derive(Default)]
pub struct Counts {
    /// Words in blank form, counted in parts of an occurrence.
    pub words: WordTable,
    /// The characters, the most frequent first, equals in the order of Unicode.
    pub characters: Vec<(char, u64)>,
    /// How they were counted.
    pub counted: Counted,
}

/// Counts the words of one script, or of all.
///
/// # Errors
/// The first one that reading the texts gives.
pub fn count<E>(
    texts: impl Iterator<Item = Result<impl Into<WeightedText>, E>>,
    only: Option<Script>,
    rules: &LearnRules,
) -> Result<Counts, E> {
    let cutter = Cutter::new(only, rules);
    let mut tallies: Vec<Tally> = (0..rules.threads.max(1)).map(|_| Tally::default()).collect();
    let mut counted = Counted::default();
    let mut portions = Portions::new(texts);
    while count_round(&mut portions, &cutter, &mut tallies)? {
        // Whether words are dropped must not depend on how they are spread over threads.
        if tallies.iter_mut().map(|tally| tally.words.len()).sum::<usize>() > rules.most_words {
            let words = &mut merge(&mut tallies).words;
            drop_rarest(words, rules.most_words, &mut counted);
        }
    }
    let tally = std::mem::take(merge(&mut tallies));
    Ok(finish(tally, counted))
}

/// Counts one round; whether texts are left.
fn count_round<T: Into<WeightedText>, E>(
    portions: &mut Portions<impl Iterator<Item = Result<T, E>>>,
    cutter: &Cutter,
    tallies: &mut [Tally],
) -> Result<bool, E> {
    let (own, others) = tallies.split_first_mut().expect("there is at least one thread");
    let (sender, receiver) = sync_channel(2 * others.len());
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        // Dropped at the end of this block, which ends the threads.
        let sender = sender;
        for tally in others {
            scope.spawn(|| count_portions(&receiver, cutter, tally));
        }
        let mut left = ROUND_BYTES;
        while left > 0 {
            let Some(portion) = portions.next()? else {
                return Ok(false);
            };
            left = left.saturating_sub(portion.text.len());
            // While all are busy, reading makes no sense.
            if let Err(refused) = sender.try_send(portion) {
                let (Full(portion) | Disconnected(portion)) = refused;
                cutter.cut(&blank_form(&portion.text), portion.parts, own);
            }
        }
        Ok(true)
    })
}

fn count_portions(receiver: &Mutex<Receiver<WeightedText>>, cutter: &Cutter, tally: &mut Tally) {
    let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
    while let Some(portion) = next() {
        cutter.cut(&blank_form(&portion.text), portion.parts, tally);
    }
}

/// Puts the counts of all threads into the first tally.
fn merge(tallies: &mut [Tally]) -> &mut Tally {
    let (first, others) = tallies.split_first_mut().expect("there is at least one thread");
    others.iter_mut().for_each(|tally| first.merge(std::mem::take(tally)));
    first
}

/// Drops down to half of what is allowed, so that it is not done in every round.
fn drop_rarest(words: &mut WordTable, most: usize, counted: &mut Counted) {
    let before = words.len();
    if before > most {
        // Rounded up: a bound must hold.
        counted.largest_undercount += words.drop_rarest(most / 2).div_ceil(PARTS);
        counted.words_dropped += (before - words.len()) as u64;
    }
}

fn finish(mut tally: Tally, mut counted: Counted) -> Counts {
    let mut characters: Vec<_> = tally.characters().collect();
    characters.sort_unstable_by_key(|&(character, count)| (Reverse(count), character));
    counted.characters = characters.iter().map(|&(_, count)| count).sum();
    counted.words = tally.words.len();
    Counts { words: tally.words, characters, counted }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TokenizerError;
    use crate::portions::PORTION_BYTES;

    fn counts(texts: &[&str], rules: &LearnRules) -> Counts {
        let texts = texts.iter().map(|text| Ok::<_, TokenizerError>(text.to_string()));
        count(texts, None, rules).unwrap()
    }

    fn words(counts: &mut Counts) -> Vec<(String, u64)> {
        let mut words = Vec::new();
        counts.words.for_each(|word, count| words.push((word.to_owned(), count / PARTS)));
        words.sort_unstable();
        words
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let text = "가 나 다라 a,b 12 ".repeat(PORTION_BYTES / 10);
        let texts = [text.as_str(); 5];
        let by = |threads| counts(&texts, &LearnRules { threads, ..LearnRules::default() });
        let [mut one, mut three] = [by(1), by(3)];
        assert_eq!(words(&mut one), words(&mut three));
        assert_eq!(one.characters, three.characters);
        assert_eq!(one.counted, three.counted);
    }

    #[test]
    fn a_text_begins_after_a_blank_and_a_literal_mark_is_a_blank() {
        let mut counts = counts(&["가▁나", " 다"], &LearnRules::default());
        let expected = [(" ", 1), (" 가", 1), (" 나", 1), (" 다", 1)];
        assert_eq!(words(&mut counts), expected.map(|(word, count)| (word.to_owned(), count)));
        assert_eq!(counts.counted.characters, 3);
    }

    #[test]
    fn the_rarest_words_are_dropped_and_the_loss_is_known() {
        // Each text fills a round: rare words twice, some words ten times, one word often.
        let letters = |number: u32| {
            let letter = |place| char::from(b'a' + (number / 26u32.pow(place) % 26) as u8);
            (0..4).map(letter).collect::<String>()
        };
        let text = |round: u32| {
            let rare: String =
                (0..1000).map(|word| format!("r{} ", letters(1000 * round + word))).collect();
            let some: String = (0..10).map(|word| format!("s{} ", letters(word))).collect();
            let often = "often ".repeat(ROUND_BYTES / 6);
            rare.repeat(2) + &some.repeat(10) + &often
        };
        let texts: Vec<String> = (0..3).map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for threads in [1, 3] {
            let rules = LearnRules { most_words: 500, threads, ..LearnRules::default() };
            let mut counts = counts(&texts, &rules);
            let found = words(&mut counts);
            assert_eq!(found.len(), 11);
            assert_eq!(found[0], (" often".to_owned(), 3 * (ROUND_BYTES as u64 / 6)));
            assert!(found[1..].iter().all(|(_, count)| *count == 30));
            let Counted { words_dropped, largest_undercount, .. } = counts.counted;
            assert_eq!((words_dropped, largest_undercount), (3000, 6));
        }
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
