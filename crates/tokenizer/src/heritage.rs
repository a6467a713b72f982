//! What the pieces of an extended tokenizer used to be written with: the bridge to the rows of a
//! model, which are made from the rows of those older pieces.

use crate::encoder::{Symbols, encode_piece};
use crate::error::TokenizerError;
use crate::tokenizer::Tokenizer;
use crate::vocabulary::TokenId;

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
    let symbols = Symbols::new(old);
    let merges = &base.definition().merges;
    Ok(new.iter().map(|piece| encode_piece(&piece.text, &symbols, merges)).collect())
}
