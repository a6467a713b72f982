//! The pieces that encoding starts from: one for each character that has a piece of its own, and
//! the bytes of every other.

use rustc_hash::FxHashMap;

use crate::joining::join;
use crate::merges::Merges;
use crate::vocabulary::{PieceKind, TokenId, Vocabulary};

/// The pieces that single characters start from.
pub struct Symbols {
    of_character: FxHashMap<char, TokenId>,
    of_byte: [TokenId; 256],
}

impl Symbols {
    /// Reads them from a vocabulary.
    pub fn new(vocabulary: &Vocabulary) -> Symbols {
        let pieces = vocabulary.pieces().iter().zip(0..);
        let single = pieces.filter_map(|(piece, id)| {
            let mut characters = piece.text.chars();
            let first = characters.next()?;
            (piece.kind == PieceKind::Normal && characters.next().is_none()).then_some((first, id))
        });
        Symbols { of_character: single.collect(), of_byte: *vocabulary.byte_ids() }
    }

    /// The piece of a character, if it has one of its own.
    pub fn of(&self, character: char) -> Option<TokenId> {
        self.of_character.get(&character).copied()
    }

    /// The piece of a byte.
    pub fn of_byte(&self, byte: u8) -> TokenId {
        self.of_byte[usize::from(byte)]
    }

    /// All characters that have a piece of their own, with it.
    pub fn characters(&self) -> impl Iterator<Item = (char, TokenId)> + '_ {
        self.of_character.iter().map(|(&character, &id)| (character, id))
    }

    /// Appends the character's piece, or the pieces of its bytes.
    pub fn push(&self, character: char, symbols: &mut Vec<TokenId>) {
        match self.of(character) {
            Some(id) => symbols.push(id),
            None => {
                let mut buffer = [0; 4];
                let bytes = character.encode_utf8(&mut buffer).bytes();
                symbols.extend(bytes.map(|byte| self.of_byte(byte)));
            }
        }
    }

    /// The symbols of a text as pieces hold it; `None` if one of its characters has no piece.
    pub fn spell(&self, text: &str) -> Option<Vec<TokenId>> {
        text.chars().map(|character| self.of(character)).collect()
    }
}

/// The ids of a text as pieces hold it, with `▁` for blanks and nothing put before it.
pub fn encode_piece(text: &str, symbols: &Symbols, merges: &Merges) -> Vec<TokenId> {
    let mut ids = Vec::new();
    text.chars().for_each(|character| symbols.push(character, &mut ids));
    join(&mut ids, merges);
    ids
}
