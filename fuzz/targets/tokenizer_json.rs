//! Any bytes as a `tokenizer.json`, as they stand and with the 256 byte pieces added: an error or a
//! tokenizer, never a panic.
#![no_main]

#[path = "checks.rs"]
mod checks;
#[path = "mutate_json.rs"]
mod mutate_json;

use kollama_tokenizer::Tokenizer;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    if let Some(with_bytes) = with_byte_pieces(bytes) {
        read(&with_bytes);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let structured = if seed % 4 > 0 { mutate_json::mutate(data, size, max_size, seed) } else { None };
    structured.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

fn read(bytes: &[u8]) {
    match Tokenizer::from_json(bytes) {
        Ok(tokenizer) => checks::sound(&tokenizer),
        Err(error) => assert!(error.to_string().contains("tokenizer.json"), "{error}"),
    }
}

/// Without them nothing is a tokenizer, and chance would not find them.
fn with_byte_pieces(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(bytes).ok()?;
    let vocabulary = document.get_mut("model")?.get_mut("vocab")?.as_object_mut()?;
    let first = vocabulary.len();
    for byte in 0..=255u8 {
        vocabulary.insert(format!("<0x{byte:02X}>"), Value::from(first + usize::from(byte)));
    }
    // Added pieces with ids at the end stay there.
    if let Some(added) = document.get_mut("added_tokens").and_then(Value::as_array_mut) {
        for token in added.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(id) = token.get("id").and_then(Value::as_u64).filter(|&id| id >= first as u64)
            {
                token.insert("id".into(), Value::from(id.saturating_add(256)));
            }
        }
    }
    serde_json::to_vec(&document).ok()
}
