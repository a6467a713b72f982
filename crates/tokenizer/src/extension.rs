//! Growing a tokenizer into a new script without moving an old id.
//!
//! First [`learn`] reads texts: the characters of the script that the base writes as bytes, the
//! most frequent first, then pieces by continuing byte-pair encoding where the base's merges end.
//! Then [`extend`] appends pieces until the vocabulary has exactly the wanted size. New pieces hold
//! only the new script (and one `▁` at their beginning), never stand where the base could make
//! something of its own, and rank after every merge of the base: text without the script keeps its
//! ids.

use rustc_hash::FxHashSet;
use unicode_script::Script;

use crate::counting::{Counter, Counts, covering};
use crate::definition::{Carried, Definition};
use crate::encoder::{Symbols, encode_piece};
use crate::error::TokenizerError;
use crate::growing::Growing;
use crate::joining::join;
use crate::learner::{BARRIER, LearnedPiece, Learner};
use crate::tokenizer::Tokenizer;
use crate::vocabulary::{PieceKind, TokenId};

/// What to learn.
#[derive(Clone, Debug)]
pub struct LearnOptions {
    /// How many new pieces are wanted: the new size less the base's.
    pub new_pieces: usize,
    /// The script of the new language, by its Unicode name: `Hangul`, `Thai`, `Cyrillic`.
    pub script: String,
    /// Share of the script's characters in the texts that shall not be written as bytes.
    pub coverage: f64,
}

impl LearnOptions {
    /// Korean, with 99.95 % of its characters covered.
    pub fn hangul(new_pieces: usize) -> LearnOptions {
        LearnOptions {
            new_pieces,
            script: "Hangul".into(),
            coverage: 0.9995,
        }
    }
}

/// Single characters take at most this share of the new pieces.
const MOST_CHARACTERS: f64 = 0.25;

/// What was learned from texts, the best first; somewhat more than was asked for, since pieces
/// that cannot be reached fall away.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Single characters, then pieces.
    pub pieces: Vec<LearnedPiece>,
    /// How many of them are single characters.
    pub single_characters: usize,
    /// How many characters of the script the texts hold.
    pub characters: u64,
    /// How many different words the texts hold.
    pub distinct_words: usize,
    /// How many of the wanted pieces.
    pub new_pieces: usize,
}

/// A tokenizer that has grown.
#[derive(Clone)]
pub struct Extension {
    /// The whole tokenizer, old ids and new.
    pub tokenizer: Tokenizer,
    /// For each new piece, the ids of the base that its text used to be written with.
    pub made_of: Vec<Vec<TokenId>>,
    /// Pieces that were learned but could not be reached, and gave way to the next.
    pub unreachable: Vec<String>,
}

/// Learns from texts what a base lacks.
///
/// Memory is bounded by the number of distinct words. The same texts in any order give the same
/// pieces: equal counts are decided by the order of ids and characters.
///
/// # Errors
/// An unknown script, and whatever reading the texts may give.
pub fn learn<E: From<TokenizerError>>(
    base: &Tokenizer,
    texts: impl Iterator<Item = Result<String, E>>,
    options: &LearnOptions,
) -> Result<Learned, E> {
    let script =
        Script::from_full_name(&options.script).ok_or_else(|| TokenizerError::UnknownScript {
            name: options.script.clone(),
        })?;
    let mut counter = Counter::new(Some(script));
    for text in texts {
        counter.add(&text?);
    }
    Ok(learn_from_counts(base, counter.finish(), options))
}

fn learn_from_counts(base: &Tokenizer, counts: Counts, options: &LearnOptions) -> Learned {
    let characters = counts.total_characters();
    let distinct_words = counts.words.len();
    let new_characters = missing_characters(base, &counts, options);
    let mut learner = continue_base(base, counts, &new_characters);
    let mut pieces: Vec<LearnedPiece> = new_characters
        .iter()
        .map(|&(character, count)| LearnedPiece {
            text: character.into(),
            count,
        })
        .collect();
    // Some fall away in `extend`; a twentieth more has always been more than enough.
    let wanted = options.new_pieces + options.new_pieces / 20 + 100;
    let missing = wanted.saturating_sub(pieces.len());
    pieces.extend(std::iter::from_fn(|| learner.next_piece()).take(missing));
    Learned {
        pieces,
        single_characters: new_characters.len(),
        characters,
        distinct_words,
        new_pieces: options.new_pieces,
    }
}

/// The frequent characters of the script that the base has no piece for.
fn missing_characters(
    base: &Tokenizer,
    counts: &Counts,
    options: &LearnOptions,
) -> Vec<(char, u64)> {
    let symbols = Symbols::new(&base.definition().vocabulary);
    let all = counts.by_frequency();
    let covered = covering(&all, options.coverage, all.len());
    let most = (options.new_pieces as f64 * MOST_CHARACTERS).ceil() as usize;
    let missing = covered
        .iter()
        .filter(|&&(character, _)| symbols.of(character).is_none());
    missing.take(most).copied().collect()
}

/// A learner that stands where the base's merges have ended.
fn continue_base(base: &Tokenizer, counts: Counts, new_characters: &[(char, u64)]) -> Learner {
    let definition = base.definition();
    let vocabulary = &definition.vocabulary;
    let texts = vocabulary.pieces().iter().map(|piece| match piece.kind {
        PieceKind::Normal => piece.text.clone(),
        // Never part of a word; an empty text cannot be the text of a pair.
        _ => "".into(),
    });
    let new = new_characters
        .iter()
        .map(|&(character, _)| character.to_string().into());
    let mut learner = Learner::new(texts.chain(new).collect());
    let old = Symbols::new(vocabulary);
    let new: rustc_hash::FxHashMap<char, u32> = new_characters
        .iter()
        .map(|&(character, _)| character)
        .zip(vocabulary.len() as u32..)
        .collect();
    let (mut symbols, mut run) = (Vec::new(), Vec::new());
    for (word, count) in counts.words {
        symbols.clear();
        for character in word.chars() {
            match old.of(character) {
                Some(id) => run.push(id),
                None => {
                    join(&mut run, &definition.merges);
                    symbols.append(&mut run);
                    symbols.push(new.get(&character).copied().unwrap_or(BARRIER));
                }
            }
        }
        join(&mut run, &definition.merges);
        symbols.append(&mut run);
        learner.add_word(&symbols, count);
    }
    learner.count_pairs();
    learner
}

/// Appends learned pieces to a base until it has exactly `size`.
///
/// # Errors
/// `size` is not larger than the base, or too little was learned.
pub fn extend(
    base: &Tokenizer,
    learned: &Learned,
    size: usize,
) -> Result<Extension, TokenizerError> {
    let definition = base.definition();
    let floor = definition.vocabulary.len();
    if size <= floor {
        let reason = "the base tokenizer has that many pieces already";
        return Err(TokenizerError::SizeTooSmall {
            size,
            floor,
            reason,
        });
    }
    let halves = halves_of(definition);
    let mut growing = Growing::new(definition.vocabulary.clone(), definition.merges.clone());
    let mut unreachable = Vec::new();
    for piece in &learned.pieces {
        if growing.vocabulary.len() == size {
            break;
        }
        if halves.contains(piece.text.as_str()) || !growing.try_add(&piece.text) {
            unreachable.push(piece.text.clone());
        }
    }
    let found = growing.vocabulary.len() - floor;
    if found < size - floor {
        let characters = learned.characters;
        return Err(TokenizerError::CorpusTooSmall {
            wanted: size - floor,
            found,
            characters,
        });
    }
    let made_of = made_of(definition, &growing);
    let tokenizer = Tokenizer::from_definition(grown(definition, growing));
    Ok(Extension {
        tokenizer,
        made_of,
        unreachable,
    })
}

/// Texts that, were they pieces, would be half of a piece of the base: SentencePiece would then
/// make that piece in a new way, with an old score, and old ids would change.
fn halves_of(definition: &Definition) -> FxHashSet<&str> {
    let ordinary = definition.vocabulary.pieces().iter();
    let ordinary = ordinary.filter(|piece| piece.kind == PieceKind::Normal);
    let cuts = ordinary.flat_map(|piece| {
        let text = piece.text.as_ref();
        text.char_indices()
            .skip(1)
            .flat_map(move |(at, _)| [&text[..at], &text[at..]])
    });
    cuts.filter(|half| definition.vocabulary.id(half).is_none())
        .collect()
}

fn made_of(base: &Definition, growing: &Growing) -> Vec<Vec<TokenId>> {
    let symbols = Symbols::new(&base.vocabulary);
    let new = &growing.vocabulary.pieces()[base.vocabulary.len()..];
    new.iter()
        .map(|piece| encode_piece(&piece.text, &symbols, &base.merges))
        .collect()
}

fn grown(base: &Definition, growing: Growing) -> Definition {
    let mut carried: Carried = base.carried.clone();
    if let Some(parts) = &mut carried.model {
        extend_scores(&mut parts.scores, growing.vocabulary.len());
    }
    Definition {
        vocabulary: growing.vocabulary,
        merges: growing.merges,
        normalizer: base.normalizer,
        specials: base.specials,
        carried,
    }
}

/// Continues the scores below the lowest: one less each, or the next smaller number where a
/// difference of one is lost in rounding (Llama gives its runs of blanks -1,000,000,000).
fn extend_scores(scores: &mut Vec<f32>, size: usize) {
    let mut lowest = scores.iter().copied().fold(0.0, f32::min);
    while scores.len() < size {
        lowest = (lowest - 1.0).min(lowest.next_down());
        scores.push(lowest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_go_on_falling_however_low_they_are() {
        for lowest in [-5.0, -1e9, -16_777_215.0] {
            let mut scores = vec![0.0, lowest];
            extend_scores(&mut scores, 100);
            assert!(scores.windows(2).all(|two| two[0] > two[1]), "{lowest}");
        }
    }
}
