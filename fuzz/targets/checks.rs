//! What must hold for every tokenizer that could be read, however strange its file.

use kollama_tokenizer::{TokenId, Tokenizer};

#[allow(dead_code, reason = "each target uses its own part")]
const TEXTS: [&str; 9] = [
    "",
    " ",
    "abc",
    "  a▁b \n",
    "<s>[tool]</s> <0x41>",
    "안녕하세요 세계",
    "뷁\u{1f600}\0\u{ffff}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "[tool] [tool]  abab",
];

/// Written and read again it is the same; it encodes and decodes without a panic.
#[allow(dead_code, reason = "each target uses its own part")]
pub fn sound(tokenizer: &Tokenizer) {
    other_files(tokenizer, &TEXTS);
    for text in TEXTS {
        decodes(tokenizer, &tokenizer.encode_to_vec(text));
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
