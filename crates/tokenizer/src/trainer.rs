//! A vocabulary of Llama's kind from nothing but texts.
//!
//! Ids: `<unk>`, `<s>`, `</s>`, the 256 bytes, then pieces in the order in which they were learned,
//! then single characters, the most frequent first, as SentencePiece numbers them.

use std::path::Path;

use rustc_hash::FxHashMap;

use crate::counting::{Counts, count, covering};
use crate::definition::{Carried, Definition, Specials};
use crate::error::TokenizerError;
use crate::growing::{Growing, all_reachable};
use crate::learner::{BARRIER, LearnedPiece, Learner};
use crate::learning::Learned;
use crate::merges::Merges;
use crate::normalizer::{Normalizer, Prefix, PrefixPlace, SPACE_MARK, marked};
use crate::rules::LearnRules;
use crate::tokenizer::Tokenizer;
use crate::vocabulary::{Piece, PieceKind, TokenId, Vocabulary, byte_text};
use crate::weighted_text::WeightedText;
use crate::word_table::WordTable;

/// The special pieces and the bytes.
const FIXED: usize = 3 + 256;
/// These and `▁`: what every vocabulary holds.
const FLOOR: usize = FIXED + 1;

/// A tokenizer learned from nothing, and from what.
pub struct Trained {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Its pieces of more than one character, in the order in which they were learned, and the
    /// counts behind them.
    pub learned: Learned,
}

/// Learns a tokenizer with exactly `vocab_size` pieces.
///
/// `coverage` is the share of the texts' characters that get a piece of their own (0.9995 is
/// SentencePiece's choice); the rest is written as bytes. Line ends and other control characters
/// are always bytes. The same texts in any order give the same tokenizer, as long as no word was
/// dropped: of pairs seen equally often the one comes first whose left half is older, then the one
/// whose right half is, and frequent characters are older than rare ones.
///
/// # Errors
/// A size that leaves no room beside special pieces, bytes and `▁`; texts that are too small;
/// and whatever reading the texts may give.
pub fn train<E: From<TokenizerError>>(
    texts: impl Iterator<Item = Result<impl Into<WeightedText>, E>>,
    vocab_size: usize,
    coverage: f64,
) -> Result<Tokenizer, E> {
    let rules = LearnRules::default();
    Ok(train_with_progress(texts, vocab_size, coverage, &rules, &mut |_| {})?.tokenizer)
}

/// As [`train`], by rules of the caller's; `progress` hears, once the texts are read, how many
/// pieces of more than one character there are.
///
/// # Errors
/// Those of [`train`], and rules that nothing can be learned by.
pub fn train_with_progress<E: From<TokenizerError>>(
    texts: impl Iterator<Item = Result<impl Into<WeightedText>, E>>,
    vocab_size: usize,
    coverage: f64,
    rules: &LearnRules,
    progress: &mut dyn FnMut(usize),
) -> Result<Trained, E> {
    rules.check()?;
    if vocab_size <= FLOOR {
        let reason = "<unk>, <s>, </s>, 256 bytes and ▁ are always in it";
        let error = TokenizerError::SizeTooSmall { size: vocab_size, floor: FLOOR, reason };
        return Err(error.into());
    }
    let counts = count(texts, None, rules)?;
    Ok(train_from_counts(counts, vocab_size, coverage, rules, progress)?)
}

fn train_from_counts(
    counts: Counts,
    vocab_size: usize,
    coverage: f64,
    rules: &LearnRules,
    progress: &mut dyn FnMut(usize),
) -> Result<Trained, TokenizerError> {
    let covered = covering(&counts.characters, coverage, vocab_size - FLOOR);
    let alphabet: Vec<char> = std::iter::once(SPACE_MARK)
        .chain(covered.iter().map(|&(character, _)| character))
        .collect();
    let wanted = vocab_size - FIXED - alphabet.len();
    let Counts { words, characters, counted } = counts;
    let pieces = learn_pieces(words, &alphabet, wanted, rules, progress)?;
    if pieces.len() < wanted {
        let (wanted, found) = (vocab_size - FIXED, pieces.len() + alphabet.len());
        let characters = counted.characters;
        return Err(TokenizerError::CorpusTooSmall { wanted, found, characters });
    }
    let tokenizer = Tokenizer::from_definition(definition(&pieces, &alphabet)?);
    Ok(Trained { tokenizer, learned: Learned { pieces, characters, counted } })
}

fn learn_pieces(
    words: WordTable,
    alphabet: &[char],
    wanted: usize,
    rules: &LearnRules,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<LearnedPiece>, TokenizerError> {
    let mut learner = learner_of_characters(words, alphabet, rules);
    let vocabulary = fixed_pieces().chain(characters_as_pieces(alphabet)).collect();
    let mut growing = Growing::new(Vocabulary::new(vocabulary, Path::new("-"))?, Merges::none());
    let (mut pieces, mut symbols) = (Vec::new(), Vec::new());
    while pieces.len() < wanted
        && let Some(piece) = learner.next_piece()
    {
        if growing.try_add(&piece.text) {
            pieces.push(piece);
            symbols.push(learner.newest());
            progress(pieces.len());
        }
    }
    let occurrences = learner.occurrences();
    for (piece, symbol) in pieces.iter_mut().zip(symbols) {
        piece.uses = occurrences[symbol];
    }
    Ok(pieces)
}

fn learner_of_characters(words: WordTable, alphabet: &[char], rules: &LearnRules) -> Learner {
    let texts = alphabet.iter().map(|character| character.to_string().into());
    let ids: FxHashMap<char, u32> = alphabet.iter().copied().zip(0..).collect();
    Learner::new(texts.collect(), words, rules, |word, symbols| {
        symbols.extend(word.chars().map(marked).map(|c| ids.get(&c).copied().unwrap_or(BARRIER)));
    })
}

fn characters_as_pieces(characters: &[char]) -> impl Iterator<Item = Piece> {
    characters.iter().map(|character| Piece::normal(character.encode_utf8(&mut [0; 4])))
}

fn fixed_pieces() -> impl Iterator<Item = Piece> {
    let specials =
        [("<unk>", PieceKind::Unknown), ("<s>", PieceKind::Control), ("</s>", PieceKind::Control)];
    let specials = specials.map(|(text, kind)| Piece { text: text.into(), kind });
    let bytes = (0..=255).map(|byte| Piece { text: byte_text(byte).into(), kind: PieceKind::Byte });
    specials.into_iter().chain(bytes)
}

/// The definition in the final order of ids: pieces first, then characters.
fn definition(pieces: &[LearnedPiece], characters: &[char]) -> Result<Definition, TokenizerError> {
    let learned = pieces.iter().map(|piece| Piece::normal(&piece.text));
    let all = fixed_pieces().chain(learned).chain(characters_as_pieces(characters)).collect();
    let vocabulary = Vocabulary::new(all, Path::new("-"))?;
    let mut merges = Merges::none();
    let ids = (FIXED..FIXED + pieces.len()).map(|id| id as TokenId);
    for (id, rank) in ids.clone().zip(0..) {
        merges.add_splits(&vocabulary, id, rank);
    }
    debug_assert!(all_reachable(&vocabulary, &merges, ids));
    let (unknown, begin, end) = (Some(0), Some(1), Some(2));
    let specials = Specials { unknown, begin, end, add_begin: true, add_end: false };
    let normalizer = Normalizer { prefix: Prefix::Always, place: PrefixPlace::Text };
    Ok(Definition { vocabulary, merges, normalizer, specials, carried: Carried::default() })
}
