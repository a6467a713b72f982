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
}

/// Parts of the files that are handed on as they were read.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// `tokenizer.json` without its vocabulary and merges.
    pub json: Option<Value>,
    /// Whether its merges were written `["a", "b"]` rather than `"a b"`.
    pub merges_as_pairs: bool,
    /// `tokenizer.model` without its pieces.
    pub model: Option<ModelParts>,
    /// `tokenizer_config.json`, to the letter.
    pub config: Option<String>,
    /// The chat template in it.
    pub chat_template: Option<String>,
    /// `special_tokens_map.json`, to the letter.
    pub special_tokens_map: Option<String>,
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
