//! Characters as small numbers: one for each character that has a piece of its own.
//!
//! The numbers are dense, so the tree of pieces can use them as places in an array. Text is taken
//! in blank form, where a blank stands for `▁`.

use rustc_hash::FxHashMap;

use crate::normalizer::{SPACE_MARK, blank_form};
use crate::symbols::Symbols;
use crate::vocabulary::TokenId;

/// The number of a character; 0 for a character without a piece.
pub type Code = u16;

/// The numbers of all characters.
pub struct Alphabet {
    /// By code point, for the first 65,536.
    low: Vec<Code>,
    high: FxHashMap<u32, Code>,
}

/// A character where it stands in a text.
#[derive(Clone, Copy)]
pub struct Letter {
    /// Its number.
    pub code: Code,
    /// Its bytes.
    pub len: usize,
}

impl Alphabet {
    /// Numbers the characters that have a piece; `None` if there are too many.
    pub fn new(symbols: &Symbols) -> Option<Alphabet> {
        // A blank is never looked up among the pieces: it stands for the mark.
        let characters = symbols.characters().filter(|&(character, _)| character != ' ');
        let mut characters: Vec<(TokenId, char)> =
            characters.map(|(character, id)| (id, blank_for_mark(character))).collect();
        // Vocabularies list frequent characters first; near numbers lie near in memory.
        characters.sort_unstable();
        let last = Code::try_from(characters.len()).ok()?;
        let mut alphabet = Alphabet { low: vec![0; 0x10000], high: FxHashMap::default() };
        for ((_, character), code) in characters.into_iter().zip(1..=last) {
            match alphabet.low.get_mut(character as usize) {
                Some(place) => *place = code,
                None => {
                    alphabet.high.insert(character as u32, code);
                }
            }
        }
        Some(alphabet)
    }

    /// The numbers of a piece's characters.
    pub fn codes(&self, piece: &str) -> Vec<Code> {
        let text = blank_form(piece);
        let places = text.char_indices().map(|(at, _)| at);
        let padded = [text.as_bytes(), &[0; 3]].concat();
        places.map(|at| self.letter(&padded, at).code).collect()
    }

    /// The character that begins at `at` in the bytes of a text.
    #[inline]
    pub fn letter(&self, text: &[u8], at: usize) -> Letter {
        let first = u32::from(text[at]);
        let rest = |place: usize| u32::from(text[at + place]) & 0x3f;
        match first {
            0..0x80 => Letter { code: self.low[first as usize & 0x7f], len: 1 },
            0x80..0xe0 => {
                let point = (first & 0x1f) << 6 | rest(1);
                Letter { code: self.low[point as usize & 0x7ff], len: 2 }
            }
            0xe0..0xf0 => {
                let point = (first & 0xf) << 12 | rest(1) << 6 | rest(2);
                Letter { code: self.low[point as usize & 0xffff], len: 3 }
            }
            _ => {
                let point = (first & 7) << 18 | rest(1) << 12 | rest(2) << 6 | rest(3);
                Letter { code: self.high.get(&point).copied().unwrap_or(0), len: 4 }
            }
        }
    }
}

fn blank_for_mark(character: char) -> char {
    if character == SPACE_MARK { ' ' } else { character }
}
