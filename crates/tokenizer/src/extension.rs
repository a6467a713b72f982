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

use crate::counting::{Counted, Counts, count, covering};
use crate::definition::Definition;
use crate::encoder::Symbols;
use crate::error::TokenizerError;
use crate::growing::Growing;
use crate::heritage::written_with;
use crate::joining::join;
use crate::learner::{BARRIER, LearnedPiece, Learner};
use crate::merges::Merges;
use crate::normalizer::marked;
use crate::rules::LearnRules;
use crate::tokenizer::Tokenizer;
use crate::vocabulary::{PieceKind, TokenId, Vocabulary};

/// What to learn.
#[derive(Clone, Debug)]
pub struct LearnOptions {
    /// How many new pieces are wanted: the new size less the base's.
    pub new_pieces: usize,
    /// The script of the new language, by its Unicode name: `Hangul`, `Thai`, `Cyrillic`.
    pub script: String,
    /// Share of the script's characters in the texts that shall not be written as bytes.
    pub coverage: f64,
    /// How pieces are learned.
    pub rules: LearnRules,
}

impl LearnOptions {
    /// Korean, with 99.95 % of its characters covered.
    pub fn hangul(new_pieces: usize) -> LearnOptions {
        let rules = LearnRules::default();
        LearnOptions { new_pieces, script: "Hangul".into(), coverage: 0.9995, rules }
    }
}

/// Single characters come first up to this share of the new pieces; rarer ones come after all that
/// pairs give.
const MOST_CHARACTERS: f64 = 0.25;

/// What was learned from texts, the best first; somewhat more than was asked for, since pieces
/// that cannot be reached fall away.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Single characters, then longer pieces.
    pub pieces: Vec<LearnedPiece>,
    /// What they were learned from.
    pub counted: Counted,
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

/// Whether [`learn`] knows a script of that name.
///
/// # Errors
/// It does not.
pub fn check_script(name: &str) -> Result<(), TokenizerError> {
    script_named(name).map(drop)
}

fn script_named(name: &str) -> Result<Script, TokenizerError> {
    let unknown = || TokenizerError::UnknownScript { name: name.to_owned() };
    Script::from_full_name(name).ok_or_else(unknown)
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
    let script = script_named(&options.script)?;
    options.rules.check()?;
    let counts = count(texts, Some(script), &options.rules)?;
    Ok(learn_from_counts(base, counts, options))
}

fn learn_from_counts(base: &Tokenizer, counts: Counts, options: &LearnOptions) -> Learned {
    let counted = counts.counted;
    let missing = missing_characters(base, &counts, options.coverage);
    let most = (options.new_pieces as f64 * MOST_CHARACTERS).ceil() as usize;
    let (frequent, rest) = missing.split_at(missing.len().min(most));
    let mut learner = continue_base(base, counts, frequent, &options.rules);
    let single = |&(character, count): &(char, u64)| LearnedPiece { text: character.into(), count };
    let longer = std::iter::from_fn(|| learner.next_piece());
    // Some fall away in `extend`; a twentieth more has always been more than enough.
    let wanted = options.new_pieces + options.new_pieces / 20 + 100;
    let pieces = frequent.iter().map(single).chain(longer).chain(rest.iter().map(single));
    Learned { pieces: pieces.take(wanted).collect(), counted }
}

/// The characters of the script that the base has no piece for, the most frequent first, as many
/// as the coverage needs.
fn missing_characters(base: &Tokenizer, counts: &Counts, coverage: f64) -> Vec<(char, u64)> {
    let symbols = Symbols::new(&base.definition().vocabulary);
    let all = &counts.characters;
    let covered = covering(all, coverage, all.len());
    let missing = covered.iter().filter(|&&(character, _)| symbols.of(character).is_none());
    missing.copied().collect()
}

/// A learner that stands where the base's merges have ended.
fn continue_base(
    base: &Tokenizer,
    mut counts: Counts,
    new_characters: &[(char, u64)],
    rules: &LearnRules,
) -> Learner {
    let definition = base.definition();
    let vocabulary = &definition.vocabulary;
    let texts = vocabulary.pieces().iter().map(|piece| match piece.kind {
        PieceKind::Normal => piece.text.clone(),
        // Never part of a word; an empty text cannot be the text of a pair.
        _ => "".into(),
    });
    let new = new_characters.iter().map(|&(character, _)| character.to_string().into());
    let mut learner = Learner::new(texts.chain(new).collect(), rules);
    let old = Symbols::new(vocabulary);
    let new: rustc_hash::FxHashMap<char, u32> = new_characters
        .iter()
        .map(|&(character, _)| character)
        .zip(vocabulary.len() as u32..)
        .collect();
    let (mut symbols, mut run) = (Vec::new(), Vec::new());
    counts.words.for_each(|word, count| {
        symbols.clear();
        for character in word.chars().map(marked) {
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
    });
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
        return Err(TokenizerError::SizeTooSmall { size, floor, reason });
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
        let characters = learned.counted.characters;
        return Err(TokenizerError::CorpusTooSmall { wanted: size - floor, found, characters });
    }
    let (vocabulary, merges) = growing.finish();
    let made_of = written_with(definition, &vocabulary.pieces()[floor..]);
    let tokenizer = Tokenizer::from_definition(grown(definition, vocabulary, merges));
    Ok(Extension { tokenizer, made_of, unreachable })
}

/// Texts that, were they pieces, would be half of a piece of the base: SentencePiece would then
/// make that piece in a new way, with an old score, and old ids would change.
fn halves_of(definition: &Definition) -> FxHashSet<&str> {
    let ordinary = definition.vocabulary.pieces().iter();
    let ordinary = ordinary.filter(|piece| piece.kind == PieceKind::Normal);
    let cuts = ordinary.flat_map(|piece| {
        let text = piece.text.as_ref();
        text.char_indices().skip(1).flat_map(move |(at, _)| [&text[..at], &text[at..]])
    });
    cuts.filter(|half| definition.vocabulary.id(half).is_none()).collect()
}

fn grown(base: &Definition, vocabulary: Vocabulary, merges: Merges) -> Definition {
    let mut carried = base.carried.clone();
    if let Some(parts) = &mut carried.model {
        extend_scores(&mut parts.scores, vocabulary.len());
    }
    let (normalizer, specials) = (base.normalizer, base.specials);
    Definition { vocabulary, merges, normalizer, specials, carried }
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
