//! The numbers behind a comparison of two tokenizers on the same texts.

use crate::tokenizer::Tokenizer;

/// How much two tokenizers make of the same texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Texts encoded.
    pub texts: u64,
    /// Bytes of UTF-8.
    pub bytes: u64,
    /// Characters (Unicode scalar values).
    pub characters: u64,
    /// Ids that each of the two gave.
    pub tokens: [u64; 2],
}

impl Comparison {
    /// Encodes one more text with both.
    pub fn add(&mut self, tokenizers: [&Tokenizer; 2], text: &str) {
        let [first, second] = tokenizers.map(|tokenizer| tokenizer.encode_to_vec(text));
        self.texts += 1;
        self.bytes += text.len() as u64;
        self.characters += text.chars().count() as u64;
        self.tokens[0] += first.len() as u64;
        self.tokens[1] += second.len() as u64;
    }

    /// Ids per character, for each of the two; 0 when no text was given.
    pub fn tokens_per_character(&self) -> [f64; 2] {
        self.tokens.map(|tokens| tokens as f64 / self.characters.max(1) as f64)
    }
}

/// The pieces of a text, as text.
pub fn pieces_of(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let ids = tokenizer.encode_to_vec(text);
    ids.iter().filter_map(|&id| tokenizer.piece(id)).map(str::to_owned).collect()
}
