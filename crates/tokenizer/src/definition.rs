//! Everything that a tokenizer's files say, whichever format they came in.
//!
//! The readers make a [`Definition`], the writers take one, the encoder and the decoder are built
//! from one. What the program does not understand is carried along untouched in [`Carried`].

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::merges::Merges;
use crate::normalizer::{Normalizer, Prefix, PrefixPlace};
use crate::vocabulary::{PieceKind, TokenId, Vocabulary};

/// A tokenizer as data.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The pieces.
    pub vocabulary: Vocabulary,
    /// The pairs that are joined.
    pub merges: Merges,
    /// The space mark.
    pub normalizer: Normalizer,
    /// The pieces that steer a model.
    pub specials: Specials,
    /// What is only kept.
    pub carried: Carried,
}

/// The pieces that steer a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Specials {
    /// Stands for what has no piece.
    pub unknown: Option<TokenId>,
    /// Begins a text.
    pub begin: Option<TokenId>,
    /// Ends a text.
    pub end: Option<TokenId>,
    /// Whether a model expects `begin` before a text.
    pub add_begin: bool,
    /// Whether a model expects `end` after a text.
    pub add_end: bool,
}

/// How a piece is cut out of texts (the attributes of Hugging Face's `AddedToken`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddedPiece {
    /// The piece.
    pub id: TokenId,
    /// Never made from text: where it stands in one, it is text.
    pub is_special: bool,
    /// Blanks before it go with it (`lstrip`).
    pub takes_blanks_before: bool,
    /// Blanks after it go with it (`rstrip`).
    pub takes_blanks_after: bool,
    /// It is looked for after the space mark was made (`normalized`).
    pub in_normalized: bool,
}

impl AddedPiece {
    /// A piece that is looked for as it stands, and takes nothing with it.
    pub fn plain(id: TokenId) -> AddedPiece {
        AddedPiece {
            id,
            is_special: false,
            takes_blanks_before: false,
            takes_blanks_after: false,
            in_normalized: false,
        }
    }

    /// The attributes that decide ids as one number; 0 where a piece has none.
    fn manner(self, normalizes: bool) -> u8 {
        let AddedPiece { takes_blanks_before, takes_blanks_after, in_normalized, .. } = self;
        let flags =
            [in_normalized && normalizes, in_normalized, takes_blanks_before, takes_blanks_after];
        if self.is_special {
            return 0;
        }
        flags.iter().fold(0, |sum, &flag| sum * 2 + u8::from(flag))
    }
}

/// Parts of the files that are handed on as they were read.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// `tokenizer.json` without its vocabulary and merges.
    pub json: Option<Value>,
    /// Its `added_tokens`, in the order of their ids.
    pub added: Vec<AddedPiece>,
    /// Whether its merges were written `["a", "b"]` rather than `"a b"`.
    pub merges_as_pairs: bool,
    /// `tokenizer.model` without its pieces.
    pub model: Option<ModelParts>,
    /// `tokenizer_config.json`, to the letter.
    pub config: Option<String>,
    /// The chat template that stands in one of the files.
    pub chat_template: Option<String>,
    /// `special_tokens_map.json`, to the letter.
    pub special_tokens_map: Option<String>,
    /// Files of chat templates: the path in the folder, and the text.
    pub template_files: Vec<(String, String)>,
}

/// The parts of a `tokenizer.model` besides the pieces.
#[derive(Clone, Debug)]
pub struct ModelParts {
    /// One score per piece.
    pub scores: Vec<f32>,
    /// The trainer's settings, still encoded.
    pub trainer: Vec<u8>,
    /// The normalizer's settings, still encoded.
    pub normalizer: Vec<u8>,
}

impl Definition {
    /// Whether a `tokenizer.json` and a `tokenizer.model` may differ in where the prefix goes: they
    /// do once there are pieces to cut out of a text.
    pub fn place_matters(&self) -> bool {
        self.vocabulary.first_of(PieceKind::UserDefined).is_some()
    }

    /// Whether a `tokenizer.json` makes the space mark in a normalizer, not in a pre-tokenizer.
    pub fn normalizes(&self) -> bool {
        self.carried.json.as_ref().is_some_and(|json| !json["normalizer"].is_null())
    }

    /// Whether a piece is looked for with a normalizer's space mark.
    pub fn finds_normalized(&self, piece: &AddedPiece) -> bool {
        piece.in_normalized && self.normalizes()
    }

    /// The pieces that are cut out of texts, and those that hide them.
    pub fn added_pieces(&self) -> Vec<AddedPiece> {
        if self.carried.json.is_some() {
            return self.carried.added.clone();
        }
        let pieces = self.vocabulary.pieces().iter().zip(0..);
        let user_defined = pieces.filter(|(piece, _)| piece.kind == PieceKind::UserDefined);
        user_defined.map(|(_, id)| AddedPiece::plain(id)).collect()
    }

    /// How a piece is cut out of texts; `None` for a piece that is not.
    pub fn cut_out(&self, id: TokenId) -> Option<AddedPiece> {
        if self.vocabulary.pieces()[id as usize].kind != PieceKind::UserDefined {
            return None;
        }
        let added = &self.carried.added;
        let found = added.binary_search_by_key(&id, |piece| piece.id);
        Some(found.map_or(AddedPiece::plain(id), |at| added[at]))
    }

    /// SHA-256 over what decides the ids: pieces, merges, space mark. In hexadecimal.
    ///
    /// The same for a `tokenizer.json` and a `tokenizer.model` that give the same ids.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update([self.space_mark_number()]);
        for piece in self.vocabulary.pieces() {
            hash.update([kind_number(piece.kind)]);
            hash.update((piece.text.len() as u64).to_le_bytes());
            hash.update(piece.text.as_bytes());
        }
        for id in self.merges.canonical().into_iter().flatten() {
            hash.update(id.to_le_bytes());
        }
        // Nothing where no piece is out of the ordinary, so that both formats say the same.
        for piece in self.added_pieces() {
            let manner = piece.manner(self.normalizes());
            if manner != 0 {
                hash.update(piece.id.to_le_bytes());
                hash.update([manner]);
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn space_mark_number(&self) -> u8 {
        let place = match self.normalizer.place {
            _ if !self.place_matters() => 0,
            PrefixPlace::Text => 0,
            PrefixPlace::FirstStretch => 1,
            PrefixPlace::EachStretch => 2,
        };
        let prefix = match self.normalizer.prefix {
            Prefix::Never => 0,
            Prefix::Always => 1,
            Prefix::UnlessBlank => 2,
        };
        place << 4 | prefix
    }
}

fn kind_number(kind: PieceKind) -> u8 {
    match kind {
        // An unused piece is ordinary in a tokenizer.json, and neither is ever made.
        PieceKind::Normal | PieceKind::Unused => 1,
        PieceKind::Unknown => 2,
        PieceKind::Control => 3,
        PieceKind::UserDefined => 4,
        PieceKind::Byte => 6,
    }
}
