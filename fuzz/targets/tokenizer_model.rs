//! Any bytes as a `tokenizer.model`, as they stand and with the 256 byte pieces added: an error or a
//! tokenizer, never a panic.
#![no_main]

#[path = "checks.rs"]
mod checks;

use kollama_tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&[bytes, &byte_pieces()].concat());
});

fn read(bytes: &[u8]) {
    match Tokenizer::from_model(bytes) {
        Ok(tokenizer) => checks::sound(&tokenizer),
        Err(error) => assert!(error.to_string().contains("tokenizer.model"), "{error}"),
    }
}

/// Without them nothing is a tokenizer, and chance would not find them. A message that is appended to
/// another adds its fields.
fn byte_pieces() -> Vec<u8> {
    let piece = |byte: u8| {
        // ModelProto.pieces (1): piece (1) of six bytes, type (3) BYTE (6).
        [&b"\x0a\x0a\x0a\x06"[..], format!("<0x{byte:02X}>").as_bytes(), b"\x18\x06"].concat()
    };
    (0..=255).flat_map(piece).collect()
}
