//! Growing a tokenizer into a new script without moving an old id.
//!
//! [`extend`] appends pieces, learned in `learning.rs`, until the vocabulary has exactly the wanted
//! size. New pieces hold only the new script and `▁`, never stand where the base could make
//! something of its own, and rank after every merge of the base: text without the script keeps its
//! ids.

use rustc_hash::FxHashSet;

use crate::definition::Definition;
use crate::error::TokenizerError;
use crate::growing::Growing;
use crate::heritage::written_with;
use crate::learning::Learned;
use crate::merges::Merges;
use crate::tokenizer::Tokenizer;
use crate::vocabulary::{PieceKind, TokenId, Vocabulary};

/// A tokenizer that has grown.
#[derive(Clone)]
pub struct Extension {
    /// The whole tokenizer, old ids and new.
    pub tokenizer: Tokenizer,
    /// For each new piece, the ids of the base that its text used to be written with.
    pub made_of: Vec<Vec<TokenId>>,
    /// Pieces that were learned but could not be reached, or would have let a piece of the base be
    /// made in a new way; they gave way to the next.
    pub unreachable: Vec<String>,
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
