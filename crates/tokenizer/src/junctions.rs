//! Where a text may be cut so that no merge is lost.
//!
//! A merge of a left and a right piece joins the last character of the one to the first of the
//! other. If no merge of the table joins `a` to `b`, then nothing will ever cross a place in a text
//! where `b` follows `a`, and what lies on both sides can be encoded by itself. Nothing is assumed
//! about languages or blanks: the places follow from the merges. Pairs of *bytes* are kept (the last
//! of `a`, the first of `b`): a superset that fits into 8 KiB and is asked for 64 places at a time.

use crate::merges::Merges;
use crate::normalizer::{MARK, blank_form};
use crate::vocabulary::Vocabulary;

/// Places that are looked at together: the bits of a word.
pub const BLOCK: usize = 64;

/// The pairs of neighbouring bytes that some merge may join, in the blank form of texts.
pub struct Junctions {
    /// 256 bits for each left byte.
    pairs: Box<[u32; 256 * 8]>,
}

impl Junctions {
    /// Derives the pairs from a table of merges.
    pub fn new(vocabulary: &Vocabulary, merges: &Merges) -> Junctions {
        // A byte inside a character always follows: a cut falls only before a character.
        let mut pairs = Box::new([0u32; 256 * 8]);
        pairs.chunks_exact_mut(8).for_each(|row| row[4..6].fill(u32::MAX));
        for merge in merges.list() {
            let left = blank_form(&vocabulary.pieces()[merge.left as usize].text);
            let right = blank_form(&vocabulary.pieces()[merge.right as usize].text);
            if let (Some(&a), Some(&b)) = (left.as_bytes().last(), right.as_bytes().first()) {
                pairs[usize::from(a) * 8 + usize::from(b >> 5)] |= 1 << (b & 31);
            }
        }
        Junctions { pairs }
    }

    /// A bit for each byte but the first: whether the text may be cut before it.
    #[inline]
    pub fn cuts(&self, bytes: &[u8; BLOCK + 1]) -> u64 {
        let mut cuts = 0;
        for at in 0..BLOCK {
            cuts |= u64::from(self.may_cut(bytes[at], bytes[at + 1])) << at;
        }
        cuts
    }

    /// The first place after `from` where a text that is not in blank form may be cut.
    pub fn next_cut(&self, text: &[u8], from: usize) -> Option<usize> {
        let [.., mark_end] = MARK;
        let mut places = from + 1..text.len();
        // Beside a mark, which stands for a blank, the bytes mean something else.
        places.find(|&at| {
            let (a, b) = (text[at - 1], text[at]);
            self.may_cut(a, b) && a != mark_end && b != MARK[0]
        })
    }

    /// Whether no merge joins a character that ends in byte `a` to one that begins with byte `b`.
    #[inline]
    pub fn may_cut(&self, a: u8, b: u8) -> bool {
        self.pairs[usize::from(a) * 8 + usize::from(b >> 5)] >> (b & 31) & 1 == 0
    }
}
