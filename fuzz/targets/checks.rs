//! What must hold for every file, and for every tokenizer that could be read, however strange.
#![allow(dead_code, reason = "each target uses its own part")]

use kollama_tokenizer::{TokenId, Tokenizer, TokenizerError};
use serde_json::Value;

const TEXTS: [&str; 9] = [
    "",
    " ",
    "abc",
    "  a▁b \n",
    "<s>[tool]</s> <0x41>",
    "안녕하세요 세계",
    "뷁\u{1f600}\0\u{ffff}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "[tool] [tool]  abab\n\n \n",
];

/// Any bytes as a `tokenizer.json`, as they stand and with the 256 byte pieces: an error or a sound
/// tokenizer. Without byte pieces nothing is a tokenizer, and chance would not find them.
pub fn json(bytes: &[u8]) {
    outcome(Tokenizer::from_json(bytes), "tokenizer.json");
    if let Some(with_bytes) = with_byte_pieces(bytes) {
        outcome(Tokenizer::from_json(&with_bytes), "tokenizer.json");
    }
}

/// Any bytes as a `tokenizer.model`, in the same way. A message that is appended to another adds its
/// fields.
pub fn model(bytes: &[u8]) {
    outcome(Tokenizer::from_model(bytes), "tokenizer.model");
    // ModelProto.pieces (1): piece (1) of six bytes, type (3) BYTE (6).
    let piece = |byte: u8| {
        [&b"\x0a\x0a\x0a\x06"[..], format!("<0x{byte:02X}>").as_bytes(), b"\x18\x06"].concat()
    };
    let byte_pieces: Vec<u8> = (0..=255).flat_map(piece).collect();
    outcome(Tokenizer::from_model(&[bytes, &byte_pieces].concat()), "tokenizer.model");
}

fn outcome(read: Result<Tokenizer, TokenizerError>, file: &str) {
    match read {
        Ok(tokenizer) => sound(&tokenizer),
        Err(error) => assert!(error.to_string().contains(file), "{error}"),
    }
}

fn with_byte_pieces(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(bytes).ok()?;
    let vocabulary = document.get_mut("model")?.get_mut("vocab")?.as_object_mut()?;
    let first = vocabulary.len();
    for byte in 0..=255u8 {
        vocabulary.insert(format!("<0x{byte:02X}>"), Value::from(first + usize::from(byte)));
    }
    // Added pieces with ids at the end stay there.
    let added = document.get_mut("added_tokens").and_then(Value::as_array_mut);
    for token in added.into_iter().flatten().filter_map(Value::as_object_mut) {
        let id = token.get("id").and_then(Value::as_u64).filter(|&id| id >= first as u64);
        if let Some(id) = id {
            token.insert("id".into(), Value::from(id.saturating_add(256)));
        }
    }
    serde_json::to_vec(&document).ok()
}

/// Written and read again it is the same; it encodes and decodes without a panic, and its ids stand for
/// bytes of the text.
fn sound(tokenizer: &Tokenizer) {
    other_files(tokenizer, &TEXTS);
    for text in TEXTS {
        decodes(tokenizer, &tokenizer.encode_to_vec(text));
        for (_, range) in tokenizer.encode_with_offsets(text) {
            assert!(range.start <= range.end && range.end <= text.len(), "{text:?}: {range:?}");
        }
    }
    let all: Vec<TokenId> = (0..tokenizer.vocab_size().min(1000) as TokenId + 2).rev().collect();
    decodes(tokenizer, &all);
}

/// Each file that can be written is read as the same tokenizer.
pub fn other_files(tokenizer: &Tokenizer, texts: &[&str]) {
    let json = tokenizer.to_json().map(|bytes| Tokenizer::from_json(&bytes));
    let model = tokenizer.to_model().map(|bytes| Tokenizer::from_model(&bytes));
    for again in [json, model].into_iter().flatten() {
        let again = again.expect("what was written can be read");
        assert_eq!(again.fingerprint(), tokenizer.fingerprint());
        for text in texts {
            assert_eq!(again.encode_to_vec(text), tokenizer.encode_to_vec(text), "{text:?}");
        }
    }
}

/// A stream gives what decoding at once gives, and takes nothing back.
pub fn decodes(tokenizer: &Tokenizer, ids: &[TokenId]) {
    let whole = tokenizer.decode(ids);
    let mut stream = tokenizer.decode_stream();
    let mut streamed = String::new();
    for &id in ids {
        streamed.push_str(stream.push(id));
        assert!(whole.starts_with(&streamed), "{ids:?}: {streamed:?} is taken back");
    }
    streamed.push_str(&stream.finish());
    assert_eq!(streamed, whole, "{ids:?}");
}
