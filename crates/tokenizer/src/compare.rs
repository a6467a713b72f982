//! What two tokenizers make of the same texts: counts and times, and the parts to show of each.

use std::time::{Duration, Instant};

use crate::tokenizer::Tokenizer;
use crate::vocabulary::{PieceKind, TokenId, byte_of_text};

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
    /// How long each of the two took.
    pub times: [Duration; 2],
}

impl Comparison {
    /// Encodes one more text with both.
    pub fn add(&mut self, tokenizers: [&Tokenizer; 2], text: &str) {
        self.texts += 1;
        self.bytes += text.len() as u64;
        self.characters += text.chars().count() as u64;
        for (side, tokenizer) in tokenizers.into_iter().enumerate() {
            let began = Instant::now();
            let ids = tokenizer.encode_to_vec(text);
            self.times[side] += began.elapsed();
            self.tokens[side] += ids.len() as u64;
        }
    }

    /// Ids per character, for each of the two; 0 when no text was given.
    pub fn tokens_per_character(&self) -> [f64; 2] {
        self.tokens.map(|tokens| tokens as f64 / self.characters.max(1) as f64)
    }

    /// Millions of bytes a second, for each of the two; 0 when no text was given.
    pub fn megabytes_per_second(&self) -> [f64; 2] {
        self.times.map(|time| self.bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9))
    }
}

/// The pieces of a text, as text.
pub fn pieces_of(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let ids = tokenizer.encode_to_vec(text);
    ids.iter().filter_map(|&id| tokenizer.piece(id)).map(str::to_owned).collect()
}

/// A part of an encoded text as it is shown: one piece, or all byte pieces of one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPart {
    /// Its text, with `▁` for blanks where a piece has them.
    pub text: String,
    /// Its ids: one, or one a byte.
    pub ids: Vec<TokenId>,
    /// Whether it is written as bytes.
    pub is_bytes: bool,
}

/// The parts of a text. Their texts together are the text as the tokenizer's pieces say it.
pub fn shown_parts(tokenizer: &Tokenizer, text: &str) -> Vec<ShownPart> {
    let pieces = tokenizer.definition().vocabulary.pieces();
    let mut parts: Vec<ShownPart> = Vec::new();
    // Those of a character that is not whole yet, and stands in the last part.
    let mut bytes = Vec::new();
    for id in tokenizer.encode_to_vec(text) {
        let piece = &pieces[id as usize];
        let byte = byte_of_text(&piece.text).filter(|_| piece.kind == PieceKind::Byte);
        let Some(byte) = byte else {
            bytes.clear();
            let text = piece.text.to_string();
            parts.push(ShownPart { text, ids: vec![id], is_bytes: false });
            continue;
        };
        if bytes.is_empty() {
            parts.push(ShownPart { text: String::new(), ids: Vec::new(), is_bytes: true });
        }
        bytes.push(byte);
        if let Some(part) = parts.last_mut() {
            part.ids.push(id);
            part.text = String::from_utf8_lossy(&bytes).into_owned();
        }
        if std::str::from_utf8(&bytes).is_ok() {
            bytes.clear();
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TokenizerError;
    use crate::trainer::train;

    #[test]
    fn byte_pieces_of_one_character_are_one_part_and_all_parts_are_the_text() {
        let texts = [Ok::<_, TokenizerError>("the cat ".repeat(20))];
        let tokenizer = train(texts.into_iter(), 268, 1.0).unwrap();
        let parts = shown_parts(&tokenizer, "the 뷁\n😀 cat");
        let of_bytes = parts.iter().filter(|part| part.is_bytes);
        let of_bytes: Vec<_> = of_bytes.map(|part| (part.text.as_str(), part.ids.len())).collect();
        assert_eq!(of_bytes, [("뷁", 3), ("\n", 1), ("😀", 4)]);
        let joined: String = parts.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(joined, "▁the▁뷁\n😀▁cat");
    }

    #[test]
    fn no_id_is_lost_where_merges_join_bytes() {
        let texts = [Ok::<_, TokenizerError>("the cat ".repeat(20))];
        let json = train(texts.into_iter(), 268, 1.0).unwrap().to_json().unwrap();
        let mut document: serde_json::Value = serde_json::from_slice(&json).unwrap();
        document["model"]["vocab"]["<0xEB><0xB7>"] = 268.into();
        document["model"]["merges"][0] = "<0xEB> <0xB7>".into();
        let tokenizer = Tokenizer::from_json(document.to_string().as_bytes()).unwrap();
        let ids = tokenizer.encode_to_vec("뷁 cat");
        assert!(ids.contains(&268));
        let parts = shown_parts(&tokenizer, "뷁 cat");
        assert_eq!(parts.iter().flat_map(|part| part.ids.clone()).collect::<Vec<_>>(), ids);
    }
}
