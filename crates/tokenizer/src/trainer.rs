//! A vocabulary of Llama's kind from nothing but texts.
//!
//! Ids: `<unk>`, `<s>`, `</s>`, the 256 bytes, then pieces in the order in which they were learned,
//! then single characters, the most frequent first, as SentencePiece numbers them.

use std::path::Path;

use crate::counting::{Counts, count, covering};
use crate::definition::{Carried, Definition, Specials};
use crate::error::TokenizerError;
use crate::growing::{Growing, all_reachable};
use crate::learner::{BARRIER, Learner};
use crate::merges::Merges;
use crate::normalizer::{Normalizer, Prefix, PrefixPlace, SPACE_MARK, marked};
use crate::rules::LearnRules;
use crate::tokenizer::Tokenizer;
use crate::vocabulary::{Piece, PieceKind, TokenId, Vocabulary, byte_text};
use crate::word_table::WordTable;

/// The special pieces and the bytes.
const FIXED: usize = 3 + 256;

/// Learns a tokenizer with exactly `vocab_size` pieces.
///
/// `coverage` is the share of the texts' characters that get a piece of their own (0.9995 is
/// SentencePiece's choice); the rest is written as bytes. Line ends and other control characters
/// are always bytes. The same texts in any order give the same tokenizer.
///
/// # Errors
/// A size that leaves no room beside special pieces, bytes and `▁`; texts that are too small;
/// and whatever reading the texts may give.
pub fn train<E: From<TokenizerError>>(
    texts: impl Iterator<Item = Result<String, E>>,
    vocab_size: usize,
    coverage: f64,
) -> Result<Tokenizer, E> {
    train_with(texts, vocab_size, coverage, &LearnRules::default())
}

/// As [`train`], by other rules than the usual.
///
/// # Errors
/// Those of [`train`], and rules that nothing can be learned by.
pub fn train_with<E: From<TokenizerError>>(
    texts: impl Iterator<Item = Result<String, E>>,
    vocab_size: usize,
    coverage: f64,
    rules: &LearnRules,
) -> Result<Tokenizer, E> {
    rules.check()?;
    let counts = count(texts, None, rules)?;
    Ok(train_from_counts(counts, vocab_size, coverage, rules)?)
}

fn train_from_counts(
    counts: Counts,
    vocab_size: usize,
    coverage: f64,
    rules: &LearnRules,
) -> Result<Tokenizer, TokenizerError> {
    let floor = FIXED + 1;
    if vocab_size <= floor {
        let reason = "<unk>, <s>, </s>, 256 bytes and ▁ are always in it";
        return Err(TokenizerError::SizeTooSmall { size: vocab_size, floor, reason });
    }
    let covered = covering(&counts.characters, coverage, vocab_size - floor);
    let characters: Vec<char> = std::iter::once(SPACE_MARK)
        .chain(covered.iter().map(|&(character, _)| character))
        .collect();
    let wanted = vocab_size - FIXED - characters.len();
    let total = counts.counted.characters;
    let pieces = learn_pieces(counts.words, &characters, wanted, rules)?;
    if pieces.len() < wanted {
        let (wanted, found) = (vocab_size - FIXED, pieces.len() + characters.len());
        return Err(TokenizerError::CorpusTooSmall { wanted, found, characters: total });
    }
    Ok(Tokenizer::from_definition(definition(&pieces, &characters)?))
}

fn learn_pieces(
    mut words: WordTable,
    characters: &[char],
    wanted: usize,
    rules: &LearnRules,
) -> Result<Vec<String>, TokenizerError> {
    let texts = characters.iter().map(|character| character.to_string().into());
    let mut learner = Learner::new(texts.collect(), rules);
    let ids: rustc_hash::FxHashMap<char, u32> = characters.iter().copied().zip(0..).collect();
    let mut symbols = Vec::new();
    words.for_each(|word, count| {
        symbols.clear();
        symbols.extend(word.chars().map(marked).map(|c| ids.get(&c).copied().unwrap_or(BARRIER)));
        learner.add_word(&symbols, count);
    });
    learner.count_pairs();
    let alphabet =
        characters.iter().map(|character| Piece::normal(character.encode_utf8(&mut [0; 4])));
    let vocabulary = Vocabulary::new(fixed_pieces().chain(alphabet).collect(), Path::new("-"))?;
    let mut growing = Growing::new(vocabulary, Merges::none());
    let learned = std::iter::from_fn(|| learner.next_piece()).map(|piece| piece.text);
    Ok(learned.filter(|text| growing.try_add(text)).take(wanted).collect())
}

fn fixed_pieces() -> impl Iterator<Item = Piece> {
    let specials =
        [("<unk>", PieceKind::Unknown), ("<s>", PieceKind::Control), ("</s>", PieceKind::Control)];
    let specials = specials.map(|(text, kind)| Piece { text: text.into(), kind });
    let bytes = (0..=255).map(|byte| Piece { text: byte_text(byte).into(), kind: PieceKind::Byte });
    specials.into_iter().chain(bytes)
}

/// The definition in the final order of ids: pieces first, then characters.
fn definition(pieces: &[String], characters: &[char]) -> Result<Definition, TokenizerError> {
    let learned = pieces.iter().map(|text| Piece::normal(text));
    let alphabet =
        characters.iter().map(|character| Piece::normal(character.encode_utf8(&mut [0; 4])));
    let all = fixed_pieces().chain(learned).chain(alphabet).collect();
    let vocabulary = Vocabulary::new(all, Path::new("-"))?;
    let mut merges = Merges::none();
    let ids = (FIXED..FIXED + pieces.len()).map(|id| id as TokenId);
    for (id, rank) in ids.clone().zip(0..) {
        merges.add_splits(&vocabulary, id, rank);
    }
    debug_assert!(all_reachable(&vocabulary, &merges, ids));
    let specials = Specials { unknown: Some(0), begin: Some(1), end: Some(2), add_begin: true };
    let normalizer = Normalizer { prefix: Prefix::Always, place: PrefixPlace::Text };
    Ok(Definition { vocabulary, merges, normalizer, specials, carried: Carried::default() })
}
