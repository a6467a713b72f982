//! Any text through tokenizers made of any pieces, and any ids back: compared with a plain merge loop
//! and with what went in.
//!
//! The input is pieces, one after each `\x01`, then the text after a `\x02`, then ids after a `\x03`, two
//! bytes each. A piece that begins with `\x04` is user-defined; `\x05` gives a piece the score of the
//! one before.
#![no_main]

#[path = "checks.rs"]
mod checks;

use kollama_tokenizer::{TokenId, Tokenizer};
use libfuzzer_sys::fuzz_target;

/// Longer texts would only make the plain loop slow.
const LONGEST_JUDGED: usize = 300;

struct Piece<'a> {
    text: &'a str,
    score: f32,
    is_user_defined: bool,
}

fuzz_target!(|bytes: &[u8]| {
    let (bytes, ids) = cut(bytes, 3);
    let (pieces, text) = cut(bytes, 2);
    let Ok(pieces) = std::str::from_utf8(pieces) else { return };
    let text = String::from_utf8_lossy(text);
    let pieces = pieces_of(pieces);
    let add_prefix = ids.first().is_none_or(|byte| byte % 2 == 0);
    let Ok(tokenizer) = Tokenizer::from_model(&model_of(&pieces, add_prefix)) else { return };
    check_text(&tokenizer, &text);
    if !pieces.iter().any(|piece| piece.is_user_defined) {
        judge(&tokenizer, &pieces, &text, add_prefix);
    }
    checks::other_files(&tokenizer, &[&text]);
    let id = |two: &[u8]| TokenId::from(u16::from_le_bytes([two[0], two[1]]) % 600);
    let ids: Vec<TokenId> = ids.chunks_exact(2).map(id).collect();
    checks::decodes(&tokenizer, &ids);
});

fn cut(bytes: &[u8], mark: u8) -> (&[u8], &[u8]) {
    let at = bytes.iter().rposition(|&byte| byte == mark).unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + 1..).unwrap_or_default())
}

fn pieces_of(text: &str) -> Vec<Piece<'_>> {
    // Without it a blank is written as the bytes of `▁`, and comes back as that.
    let mut pieces = vec![Piece { text: "▁", score: 0.0, is_user_defined: false }];
    let mut score = 0.0;
    for text in text.split('\x01').filter(|text| !text.is_empty()) {
        let (text, is_tied) = text.strip_prefix('\x05').map_or((text, false), |text| (text, true));
        let user_defined = text.strip_prefix('\x04');
        score -= if is_tied { 0.0 } else { 1.0 };
        let text = user_defined.unwrap_or(text);
        let is_new = pieces.iter().all(|piece| piece.text != text);
        if is_new && !text.is_empty() && text.len() < 100 && pieces.len() < 300 {
            pieces.push(Piece { text, score, is_user_defined: user_defined.is_some() });
        }
    }
    pieces
}

/// A `tokenizer.model`: the pieces, the bytes, and settings as Llama's are.
fn model_of(pieces: &[Piece], add_prefix: bool) -> Vec<u8> {
    let mut model = Vec::new();
    let mut put = |text: &str, score: f32, kind: u8| {
        let length = text.len() as u8;
        model.extend([0x0a, length + 9, 0x0a, length]);
        model.extend(text.as_bytes());
        model.push(0x15);
        model.extend(score.to_le_bytes());
        model.extend([0x18, kind]);
    };
    put("<unk>", 0.0, 2);
    put("<s>", 0.0, 3);
    put("</s>", 0.0, 3);
    (0..=255u8).for_each(|byte| put(&format!("<0x{byte:02X}>"), 0.0, 6));
    for piece in pieces {
        put(piece.text, piece.score, if piece.is_user_defined { 4 } else { 1 });
    }
    // TrainerSpec: BPE, byte fallback. NormalizerSpec: prefix, extra blanks kept.
    model.extend(b"\x12\x05\x18\x02\x98\x02\x01");
    model.extend([0x1a, 4, 0x18, u8::from(add_prefix), 0x20, 0]);
    model
}

fn check_text(tokenizer: &Tokenizer, text: &str) {
    let ids = tokenizer.encode_to_vec(text);
    assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
    assert_eq!(tokenizer.encode_to_vec(text), ids, "the same text a second time");
    assert_eq!(tokenizer.decode(&ids), text.replace('▁', " "));
    checks::decodes(tokenizer, &ids);
}

/// Compares with the plain loop: join the two neighbours whose text has the highest score, the
/// leftmost of them, until none is left; then write what is no piece as bytes.
fn judge(tokenizer: &Tokenizer, pieces: &[Piece], text: &str, add_prefix: bool) {
    if text.len() > LONGEST_JUDGED {
        return;
    }
    let prefix = if add_prefix && !text.is_empty() { "▁" } else { "" };
    let text = [prefix, &text.replace(' ', "▁")].concat();
    let mut parts: Vec<String> = text.chars().map(String::from).collect();
    let score =
        |text: &str| pieces.iter().find(|piece| piece.text == text).map(|piece| piece.score);
    loop {
        let mut best: Option<(f32, usize)> = None;
        for (at, two) in parts.windows(2).enumerate() {
            if let Some(score) = score(&two.concat())
                && best.is_none_or(|(best, _)| score > best)
            {
                best = Some((score, at));
            }
        }
        let Some((_, at)) = best else { break };
        let right = parts.remove(at + 1);
        parts[at].push_str(&right);
    }
    let ids: Vec<TokenId> = parts
        .iter()
        .flat_map(|part| match pieces.iter().position(|piece| piece.text == *part) {
            Some(at) => vec![259 + at as TokenId],
            None => part.bytes().map(|byte| 3 + TokenId::from(byte)).collect(),
        })
        .collect();
    assert_eq!(tokenizer.encode_to_vec(&text[prefix.len()..]), ids, "{text:?}");
}
