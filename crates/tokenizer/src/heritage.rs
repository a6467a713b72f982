//! What the pieces of an extended tokenizer used to be written with: the bridge to the rows of a
//! model, which are made from the rows of those older pieces.

use crate::definition::Definition;
use crate::error::TokenizerError;
use crate::symbols::{Symbols, encode_piece};
use crate::tokenizer::Tokenizer;
use crate::vocabulary::{Piece, TokenId};

/// For each piece of `extended` beyond those of `base`, in the order of its id, the ids of the
/// base that its text is written with.
///
/// # Errors
/// `extended` has not all pieces of the base under their old ids, or none beside them.
pub fn made_of(
    base: &Tokenizer,
    extended: &Tokenizer,
) -> Result<Vec<Vec<TokenId>>, TokenizerError> {
    let old = &base.definition().vocabulary;
    let pieces = extended.definition().vocabulary.pieces();
    for (id, piece) in (0..).zip(old.pieces()) {
        let found = pieces.get(id as usize).map(|piece| piece.text.to_string());
        if found.as_deref() != Some(&*piece.text) {
            let expected = piece.text.to_string();
            return Err(TokenizerError::NotAnExtension { id, expected, found });
        }
    }
    let new = &pieces[old.len()..];
    if new.is_empty() {
        return Err(TokenizerError::NothingNew { size: old.len() });
    }
    Ok(written_with(base.definition(), new))
}

/// For each piece the ids of the base that its text is written with.
pub fn written_with(base: &Definition, pieces: &[Piece]) -> Vec<Vec<TokenId>> {
    let symbols = Symbols::new(&base.vocabulary);
    pieces.iter().map(|piece| encode_piece(&piece.text, &symbols, &base.merges)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TokenizerError;
    use crate::extension::extend;
    use crate::learning::{LearnOptions, learn};
    use crate::trainer::train;

    fn texts(text: &str) -> impl Iterator<Item = Result<String, TokenizerError>> {
        std::iter::once(Ok(text.repeat(20)))
    }

    #[test]
    fn a_saved_extension_says_the_same_as_the_fresh_one() {
        let base = train(texts("the cat sat on the mat 한 "), 280, 1.0).unwrap();
        let options = LearnOptions::hangul(6);
        let learned =
            learn(&base, texts("고양이가 매트 위에 앉았다. 고양이가 "), &options).unwrap();
        let extension = extend(&base, &learned, 286).unwrap();
        assert_eq!(made_of(&base, &extension.tokenizer).unwrap(), extension.made_of);
    }

    #[test]
    fn a_tokenizer_that_is_no_extension_is_refused() {
        let base = train(texts("the cat sat on the mat "), 275, 1.0).unwrap();
        let other = train(texts("ein ganz anderer Satz steht hier "), 280, 1.0).unwrap();
        let refused = made_of(&base, &other);
        assert!(matches!(refused, Err(TokenizerError::NotAnExtension { .. })), "{refused:?}");
        let refused = made_of(&base, &base);
        assert!(matches!(refused, Err(TokenizerError::NothingNew { size: 275 })), "{refused:?}");
    }
}
