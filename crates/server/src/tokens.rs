//! Tokens as clients see them, and the routes that turn text into tokens and back.

use crate::api_error::ApiError;
use crate::fields::{Fields, expected};
use crate::house::House;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use kollama_engine::{Tokenizer, prompt_ids};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// Ids of one request to `/detokenize`.
const MOST_IDS: usize = 1 << 20;

/// A token as text, different for every token: `<s>` for a special piece, and `bytes:\xec` for a byte
/// that is no text by itself or whose text another token has.
pub fn token_text(tokenizer: &Tokenizer, id: u32) -> String {
    let bytes = tokenizer.bytes_of(id);
    if bytes.is_empty() {
        return tokenizer.piece(id).unwrap_or_default().to_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !tokenizer.is_byte(id) || !has_piece(tokenizer, text) => text.to_owned(),
        _ => bytes.iter().fold("bytes:".to_owned(), |mut text, byte| {
            let _ = write!(text, "\\x{byte:02x}");
            text
        }),
    }
}

fn has_piece(tokenizer: &Tokenizer, text: &str) -> bool {
    tokenizer.id_of(text).is_some() || (text == " " && tokenizer.id_of("▁").is_some())
}

/// `POST /tokenize`
pub async fn tokenize(
    State(house): State<Arc<House>>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_body(&body)?;
    let model = fields.text("model")?;
    let text = fields.text("text")?.ok_or_else(|| fields.refuse("text", "must be given"))?;
    let add_special = fields.flag("add_special")?;
    fields.finish()?;
    let tokenizer = house.tokenizer(model.as_deref())?;
    let front = if add_special { prompt_ids(tokenizer, "") } else { Vec::new() };
    let encoded = tokenizer.encode_with_offsets(&text);
    let all = front.into_iter().map(|id| (id, 0..0)).chain(encoded);
    let (mut ids, mut tokens) = (Vec::new(), Vec::new());
    for (id, place) in all {
        ids.push(id);
        tokens.push(token(tokenizer, id, place));
    }
    let characters = text.chars().count();
    Ok(Json(json!({ "ids": ids, "tokens": tokens, "characters": characters })))
}

fn token(tokenizer: &Tokenizer, id: u32, place: std::ops::Range<usize>) -> Value {
    let bytes = tokenizer.bytes_of(id);
    let mut token = json!({
        "id": id,
        "piece": tokenizer.piece(id),
        "start": place.start,
        "end": place.end,
        "is_byte": tokenizer.is_byte(id),
    });
    match std::str::from_utf8(bytes) {
        Ok(text) => token["text"] = text.into(),
        Err(_) => token["bytes"] = bytes.into(),
    }
    token
}

/// `POST /detokenize`
pub async fn detokenize(
    State(house): State<Arc<House>>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_body(&body)?;
    let model = fields.text("model")?;
    let ids = fields.list("ids")?.ok_or_else(|| fields.refuse("ids", "must be given"))?;
    let tokenizer = house.tokenizer(model.as_deref())?;
    let ids = token_ids(&ids, tokenizer, MOST_IDS).map_err(|what| fields.refuse("ids", what))?;
    fields.finish()?;
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.bytes_of(id)).copied().collect();
    let text = String::from_utf8_lossy(&bytes);
    let marked = tokenizer.strips_first_blank();
    let text = text.strip_prefix(' ').filter(|_| marked).unwrap_or(&text);
    Ok(Json(json!({ "text": text })))
}

/// Ids of the tokenizer's vocabulary, or what is wrong with the list.
pub fn token_ids(list: &[Value], tokenizer: &Tokenizer, most: usize) -> Result<Vec<u32>, String> {
    if list.len() > most {
        return Err(format!("at most {most} ids, found {}", list.len()));
    }
    let size = tokenizer.vocab_size();
    let id = |value: &Value| {
        let id = value.as_u64().filter(|&id| id < size as u64).map(|id| id as u32);
        id.ok_or_else(|| expected(&format!("ids below {size}"), value))
    };
    list.iter().map(id).collect()
}
