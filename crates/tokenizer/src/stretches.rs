//! Where a text may be cut so that no merge is lost, and a memory for what has been cut before.
//!
//! A merge of a left and a right piece joins the last character of the one to the first of the
//! other. If no merge of the table joins `a` to `b`, then nothing will ever cross a place in a text
//! where `b` follows `a`, and what lies on both sides can be encoded by itself. Nothing is assumed
//! about languages or blanks: the places follow from the merges. Two tables are kept: pairs of
//! *bytes* (last of `a`, first of `b`), a superset that is 8 KiB and costs nothing to ask, and pairs
//! of characters for stretches that the first leaves long.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::merges::Merges;
use crate::normalizer::blank_form;
use crate::vocabulary::{TokenId, Vocabulary};

/// The pairs of neighbours that some merge joins, in the blank form of texts.
pub struct Junctions {
    bytes: Box<[u32; 256 * 8]>,
    characters: FxHashSet<(char, char)>,
}

impl Junctions {
    /// Derives the pairs from a table of merges.
    pub fn new(vocabulary: &Vocabulary, merges: &Merges) -> Junctions {
        // A byte inside a character always follows: a cut falls only before a character.
        let mut bytes = Box::new([0u32; 256 * 8]);
        bytes.chunks_exact_mut(8).for_each(|row| row[4..6].fill(u32::MAX));
        let mut characters = FxHashSet::default();
        for merge in merges.list() {
            let left = blank_form(&vocabulary.pieces()[merge.left as usize].text);
            let right = blank_form(&vocabulary.pieces()[merge.right as usize].text);
            if let (Some(a), Some(b)) = (left.chars().next_back(), right.chars().next()) {
                characters.insert((a, b));
                let (a, b) = (left.as_bytes()[left.len() - 1], right.as_bytes()[0]);
                bytes[usize::from(a) * 8 + usize::from(b >> 5)] |= 1 << (b & 31);
            }
        }
        Junctions { bytes, characters }
    }

    /// Whether some merge may cross from a character that ends in byte `a` to one that begins
    /// with byte `b`.
    #[inline]
    fn may_cross(&self, a: u8, b: u8) -> bool {
        self.bytes[usize::from(a) * 8 + usize::from(b >> 5)] >> (b & 31) & 1 == 1
    }

    /// The first place at or after `from` where `text` may be cut; its end if nowhere.
    /// `before` is the byte that stands before `from`.
    #[inline]
    pub fn next_cut(&self, text: &[u8], from: usize, before: u8) -> usize {
        let mut before = before;
        for (at, &byte) in text[from..].iter().enumerate() {
            if !self.may_cross(before, byte) {
                return from + at;
            }
            before = byte;
        }
        text.len()
    }

    /// Whether some merge joins the character `a` to `b`; exact, where bytes are not.
    pub fn joins(&self, a: char, b: char) -> bool {
        self.characters.contains(&(a, b))
    }
}

/// Longer stretches are rare and would fill the memory.
pub const LONGEST_KEPT: usize = 48;
const MOST_STRETCHES: usize = 1 << 17;

/// Stretches that were encoded before. When it is full it starts again from nothing: words of one
/// text come back soon, and nothing needs to be counted on the way.
#[derive(Default)]
pub struct StretchMemory {
    places: FxHashMap<Box<[u8]>, (u32, u32)>,
    ids: Vec<TokenId>,
}

impl StretchMemory {
    /// The ids of a stretch that was kept.
    #[inline]
    pub fn get(&self, stretch: &[u8]) -> Option<&[TokenId]> {
        let &(start, end) = self.places.get(stretch)?;
        Some(&self.ids[start as usize..end as usize])
    }

    /// Keeps the ids of a stretch.
    pub fn keep(&mut self, stretch: &[u8], ids: &[TokenId]) {
        if self.places.len() == MOST_STRETCHES {
            self.places.clear();
            self.ids.clear();
        }
        let start = self.ids.len() as u32;
        self.ids.extend_from_slice(ids);
        self.places.insert(stretch.into(), (start, self.ids.len() as u32));
    }
}
