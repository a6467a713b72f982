//! The table of pieces: text to id and back, and what each piece is for.
//!
//! Ids run from 0 without holes and no text occurs twice; whoever holds a [`Vocabulary`] may rely
//! on that. It knows nothing of merges, and keeps no scores: see `merges.rs` for the order.

use std::path::Path;

use rustc_hash::FxHashMap;

use crate::error::TokenizerError;

/// The number of a piece.
pub type TokenId = u32;

/// What a piece is for; the six kinds of SentencePiece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Ordinary text.
    Normal,
    /// Stands for text that has no piece (`<unk>`); never made by byte-fallback tokenizers.
    Unknown,
    /// Steers a model (`<s>`); never made from text, never shown when decoding.
    Control,
    /// Cut out of a text as it stands, before anything is merged.
    UserDefined,
    /// Has an id, and no use.
    Unused,
    /// One byte of a character that has no piece (`<0xEB>`).
    Byte,
}

/// One piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text, with `▁` for a blank.
    pub text: Box<str>,
    /// What it is for.
    pub kind: PieceKind,
}

impl Piece {
    /// A piece of ordinary text.
    pub fn normal(text: &str) -> Piece {
        Piece { text: text.into(), kind: PieceKind::Normal }
    }
}

/// All pieces in the order of their ids.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    pieces: Vec<Piece>,
    ids: FxHashMap<Box<str>, TokenId>,
    byte_ids: [TokenId; 256],
}

impl Vocabulary {
    /// Checks and indexes the pieces; `path` is named in errors.
    ///
    /// # Errors
    /// A text that occurs twice, or a byte that has no piece and may be needed.
    pub fn new(pieces: Vec<Piece>, path: &Path) -> Result<Vocabulary, TokenizerError> {
        let mut ids = FxHashMap::default();
        ids.reserve(pieces.len());
        for (id, piece) in pieces.iter().enumerate() {
            if let Some(first) = ids.insert(piece.text.clone(), id as TokenId) {
                return Err(TokenizerError::DuplicatePiece {
                    path: path.into(),
                    piece: piece.text.to_string(),
                    first,
                    second: id as TokenId,
                });
            }
        }
        let byte_ids = byte_ids(&pieces, &ids, path)?;
        Ok(Vocabulary { pieces, ids, byte_ids })
    }

    /// Number of pieces.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The pieces, by id.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The text of a piece.
    pub fn text(&self, id: TokenId) -> Option<&str> {
        Some(&self.pieces.get(id as usize)?.text)
    }

    /// The id of a text, whatever its kind.
    pub fn id(&self, text: &str) -> Option<TokenId> {
        self.ids.get(text).copied()
    }

    /// The id of a text that merging may make: an ordinary piece.
    pub fn normal_id(&self, text: &str) -> Option<TokenId> {
        self.id(text).filter(|&id| self.pieces[id as usize].kind == PieceKind::Normal)
    }

    /// The ids that the 256 bytes are written with: of their byte pieces, or where one is missing, of
    /// the ordinary piece of the ASCII character that this byte is.
    pub fn byte_ids(&self) -> &[TokenId; 256] {
        &self.byte_ids
    }

    /// The first piece of a kind.
    pub fn first_of(&self, kind: PieceKind) -> Option<TokenId> {
        self.pieces.iter().position(|piece| piece.kind == kind).map(|id| id as TokenId)
    }

    /// Appends an ordinary piece and returns its id.
    ///
    /// # Panics
    /// When the text is there already: a caller must have looked.
    pub fn push(&mut self, text: &str) -> TokenId {
        let id = self.pieces.len() as TokenId;
        let before = self.ids.insert(text.into(), id);
        assert!(before.is_none(), "piece {text:?} is in the vocabulary already");
        self.pieces.push(Piece::normal(text));
        id
    }

    /// Takes the piece added last away again.
    pub fn pop(&mut self) {
        if let Some(piece) = self.pieces.pop() {
            self.ids.remove(&piece.text);
        }
    }

    /// Every way to cut `text` into two ordinary pieces, from left to right.
    pub fn splits<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (TokenId, TokenId)> + 'a {
        text.char_indices().skip(1).filter_map(|(at, _)| {
            let left = self.normal_id(&text[..at])?;
            Some((left, self.normal_id(&text[at..])?))
        })
    }
}

/// The text of a byte's piece.
pub fn byte_text(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

/// The byte that a text of the form `<0xEB>` stands for.
pub fn byte_of_text(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

fn byte_ids(
    pieces: &[Piece],
    ids: &FxHashMap<Box<str>, TokenId>,
    path: &Path,
) -> Result<[TokenId; 256], TokenizerError> {
    let id = |text: &str, kind| {
        let id = ids.get(text).copied();
        id.filter(|&id| pieces[id as usize].kind == kind)
    };
    let mut byte_ids = [0; 256];
    for (byte, place) in (0..=255u8).zip(&mut byte_ids) {
        // A character with a piece of its own is never written as bytes; Gemma's tab is one.
        let own = || id(std::str::from_utf8(&[byte]).ok()?, PieceKind::Normal);
        let found = id(&byte_text(byte), PieceKind::Byte).or_else(own);
        *place = found.ok_or_else(|| TokenizerError::MissingByte { path: path.into(), byte })?;
    }
    Ok(byte_ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_bytes(texts: &[&str]) -> Vec<Piece> {
        let bytes =
            (0..=255).map(|byte| Piece { text: byte_text(byte).into(), kind: PieceKind::Byte });
        bytes.chain(texts.iter().map(|text| Piece::normal(text))).collect()
    }

    #[test]
    fn a_piece_listed_twice_is_named_with_both_ids() {
        let error = Vocabulary::new(with_bytes(&["a", "b", "a"]), Path::new("x.model"));
        let words = error.expect_err("a twice").to_string();
        assert!(words.contains("x.model") && words.contains("256") && words.contains("258"));
    }

    #[test]
    fn a_missing_byte_is_named() {
        let mut pieces = with_bytes(&["a"]);
        pieces.remove(0x41);
        let error = Vocabulary::new(pieces, Path::new("x.json")).expect_err("a byte is missing");
        assert!(error.to_string().contains("<0x41>"), "{error}");
    }

    #[test]
    fn splits_cut_between_characters_and_need_both_halves() {
        let pieces = with_bytes(&["가", "나", "가나", "나다", "가나다"]);
        let vocabulary = Vocabulary::new(pieces, Path::new("-")).expect("sound");
        let cuts: Vec<_> = vocabulary.splits("가나다").collect();
        assert_eq!(cuts, [(256, 259)]);
    }

    #[test]
    fn only_the_exact_form_of_a_byte_is_a_byte() {
        assert_eq!(byte_of_text("<0xeB>"), Some(0xEB));
        for text in ["<0xEB", "<0x+1>", "<0x123>", "0x12", "<0x>"] {
            assert_eq!(byte_of_text(text), None, "{text}");
        }
    }
}
