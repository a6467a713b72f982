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
/// The number of no character.
pub const NO_CODE: Code = Code::MAX;

/// The numbers of all characters.
pub struct Alphabet {
    /// By code point, for the first 65,536.
    low: Box<[Code; 0x10000]>,
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
        let last = Code::try_from(characters.len()).ok().filter(|&last| last < NO_CODE)?;
        let mut alphabet = Alphabet { low: Box::new([0; 0x10000]), high: FxHashMap::default() };
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

    /// The character that begins at `at` in the bytes of a text; three bytes must follow it.
    #[inline(always)]
    pub fn letter(&self, text: &[u8], at: usize) -> Letter {
        let four: [u8; 4] = *text[at..].first_chunk().expect("three bytes follow a text");
        let [first, rest @ ..] = four.map(u32::from);
        let [second, third, fourth] = rest.map(|byte| byte & 0x3f);
        let low = |point: u32, len| Letter { code: self.low[point as usize & 0xffff], len };
        match first {
            0..0x80 => low(first, 1),
            0x80..0xe0 => low((first & 0x1f) << 6 | second, 2),
            0xe0..0xf0 => low((first & 0xf) << 12 | second << 6 | third, 3),
            _ => {
                let point = (first & 7) << 18 | second << 12 | third << 6 | fourth;
                Letter { code: self.high.get(&point).copied().unwrap_or(0), len: 4 }
            }
        }
    }
}

fn blank_for_mark(character: char) -> char {
    if character == SPACE_MARK { ' ' } else { character }
}
