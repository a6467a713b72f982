//! What a base lacks for a new language: characters and pieces, learned from texts.
//!
//! First the characters of the script that the base writes as bytes, the most frequent first, then
//! pieces by continuing byte-pair encoding where the base's merges end. What was learned becomes a
//! tokenizer in `extension.rs`.

use rustc_hash::FxHashMap;
use unicode_script::Script;

use crate::counting::{Counted, Counts, count, covering};
use crate::error::TokenizerError;
use crate::joining::join;
use crate::learner::{BARRIER, LearnedPiece, Learner};
use crate::normalizer::marked;
use crate::rules::LearnRules;
use crate::symbols::Symbols;
use crate::tokenizer::Tokenizer;
use crate::vocabulary::PieceKind;
use crate::weighted_text::WeightedText;
use crate::word_table::WordTable;

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

/// What was learned from texts.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Single characters, then longer pieces, the best first; somewhat more than was asked for,
    /// since pieces that cannot be reached fall away.
    pub pieces: Vec<LearnedPiece>,
    /// The characters of the texts that were looked at, the most frequent first, with their
    /// counts.
    pub characters: Vec<(char, u64)>,
    /// How the words were counted.
    pub counted: Counted,
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
/// Memory is bounded, see [`LearnRules::most_words`]. The same texts in any order give the same
/// pieces, as long as no word was dropped: of pairs seen equally often the one comes first whose
/// left half is older, then the one whose right half is; base pieces are older than characters,
/// frequent characters than rare ones, and characters than learned pieces.
///
/// # Errors
/// An unknown script, rules that nothing can be learned by, and whatever reading the texts may
/// give.
pub fn learn<E: From<TokenizerError>>(
    base: &Tokenizer,
    texts: impl Iterator<Item = Result<impl Into<WeightedText>, E>>,
    options: &LearnOptions,
) -> Result<Learned, E> {
    learn_with_progress(base, texts, options, &mut |_| {})
}

/// As [`learn`]; `progress` hears, once the texts are read, how many pieces there are.
///
/// # Errors
/// Those of [`learn`].
pub fn learn_with_progress<E: From<TokenizerError>>(
    base: &Tokenizer,
    texts: impl Iterator<Item = Result<impl Into<WeightedText>, E>>,
    options: &LearnOptions,
    progress: &mut dyn FnMut(usize),
) -> Result<Learned, E> {
    let script = script_named(&options.script)?;
    options.rules.check()?;
    let counts = count(texts, Some(script), &options.rules)?;
    Ok(learn_from_counts(base, counts, options, progress))
}

fn learn_from_counts(
    base: &Tokenizer,
    counts: Counts,
    options: &LearnOptions,
    progress: &mut dyn FnMut(usize),
) -> Learned {
    let Counts { words, characters, counted } = counts;
    let missing = missing_characters(base, &characters, options.coverage);
    let most = (options.new_pieces as f64 * MOST_CHARACTERS).ceil() as usize;
    let (frequent, rest) = missing.split_at(missing.len().min(most));
    let mut learner = continue_base(base, words, frequent, &options.rules);
    let mut pieces: Vec<_> = frequent.iter().map(single).collect();
    learner.learn_up_to(options.new_pieces, &mut pieces, progress);
    let occurrences = learner.occurrences();
    for (piece, &uses) in pieces.iter_mut().zip(&occurrences[base.vocab_size()..]) {
        piece.uses = uses;
    }
    // Some fall away in `extend`; a twentieth more has always been more than enough.
    let wanted = options.new_pieces.saturating_add(options.new_pieces / 20 + 100);
    learner.learn_up_to(wanted, &mut pieces, progress);
    pieces.extend(rest.iter().take(wanted - pieces.len()).map(single));
    Learned { pieces, characters, counted }
}

fn single(&(character, count): &(char, u64)) -> LearnedPiece {
    LearnedPiece { text: character.into(), count, uses: count }
}

/// The characters of the script that the base has no piece for, the most frequent first, as many
/// as the coverage needs.
fn missing_characters(
    base: &Tokenizer,
    characters: &[(char, u64)],
    coverage: f64,
) -> Vec<(char, u64)> {
    let symbols = Symbols::new(&base.definition().vocabulary);
    let covered = covering(characters, coverage, characters.len());
    let missing = covered.iter().filter(|&&(character, _)| symbols.of(character).is_none());
    missing.copied().collect()
}

/// A learner that stands where the base's merges have ended.
fn continue_base(
    base: &Tokenizer,
    words: WordTable,
    new_characters: &[(char, u64)],
    rules: &LearnRules,
) -> Learner {
    let definition = base.definition();
    let vocabulary = &definition.vocabulary;
    let texts = vocabulary.pieces().iter().map(|piece| match piece.kind {
        PieceKind::Normal => piece.text.clone(),
        // Joins nothing, should a merge make it: an empty text is no half of a piece.
        _ => "".into(),
    });
    let new = new_characters.iter().map(|&(character, _)| character);
    let texts = texts.chain(new.clone().map(|character| character.to_string().into())).collect();
    let old = Symbols::new(vocabulary);
    let new: FxHashMap<char, u32> = new.zip(vocabulary.len() as u32..).collect();
    let mut run = Vec::new();
    Learner::new(texts, words, rules, |word, symbols| {
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
    })
}
