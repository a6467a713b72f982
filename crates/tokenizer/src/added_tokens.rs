//! Pieces that files beside a tokenizer add to it: each must be in the tokenizer itself.
//!
//! Before `tokenizer.json` there was `added_tokens.json`, and `tokenizer_config.json` has its
//! `added_tokens_decoder`. A `tokenizer.model` knows of neither, so new pieces would take the ids of
//! pieces that a model was trained with. Nothing is added from here; what is missing is named.

use std::path::Path;

use serde_json::Value;

use crate::error::TokenizerError;
use crate::files;
use crate::hugging_face;
use crate::vocabulary::{TokenId, Vocabulary};

/// Checks the `added_tokens_decoder` of a `tokenizer_config.json`.
///
/// # Errors
/// A piece that the vocabulary does not have under that id, and entries of another form.
pub fn check_config(
    config: &Value,
    vocabulary: &Vocabulary,
    path: &Path,
) -> Result<(), TokenizerError> {
    for (id, token) in config["added_tokens_decoder"].as_object().into_iter().flatten() {
        let content = token["content"].as_str();
        let Some((id, content)) = id.parse().ok().zip(content) else {
            let field = format!("added_tokens_decoder.{id}");
            return Err(malformed(path, field, "an id with an object that has a content"));
        };
        check(content, id, vocabulary, path)?;
    }
    Ok(())
}

/// Checks an `added_tokens.json`, if there is one.
///
/// # Errors
/// A piece that the vocabulary does not have under that id, and a file of another form.
pub fn check_file(path: &Path, vocabulary: &Vocabulary) -> Result<(), TokenizerError> {
    let Some(text) = files::read_text_if_there(path)? else {
        return Ok(());
    };
    let document = hugging_face::parse(text.as_bytes(), path)?;
    let Some(tokens) = document.as_object() else {
        return Err(malformed(path, "(all)".into(), "an object of pieces and ids"));
    };
    for (content, id) in tokens {
        let id = id.as_u64().ok_or_else(|| malformed(path, format!("{content:?}"), "an id"))?;
        check(content, id, vocabulary, path)?;
    }
    Ok(())
}

fn check(
    content: &str,
    id: u64,
    vocabulary: &Vocabulary,
    path: &Path,
) -> Result<(), TokenizerError> {
    let found = TokenId::try_from(id).ok().and_then(|id| vocabulary.text(id));
    if found == Some(content) {
        return Ok(());
    }
    Err(TokenizerError::ForeignPiece { path: path.into(), piece: content.into(), id })
}

fn malformed(path: &Path, field: String, expected: &'static str) -> TokenizerError {
    TokenizerError::Field { path: path.into(), field, expected }
}
