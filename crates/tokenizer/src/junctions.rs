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

    /// A bit for each byte but the first: whether the text is to be cut before it.
    #[inline]
    pub fn cuts(&self, bytes: &[u8; BLOCK + 1]) -> u64 {
        let mut open = places_to_look_at(bytes);
        let mut cuts = 0;
        while open != 0 {
            let at = open.trailing_zeros() as usize;
            cuts |= u64::from(self.may_cut(bytes[at], bytes[at + 1])) << at;
            open &= open - 1;
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

/// The highest bit of each of eight bytes.
const HIGH: u64 = 0x8080_8080_8080_8080;
const ONES: u64 = 0x0101_0101_0101_0101;

/// Where to look for cuts: a bit for each byte but the first, unless it follows a blank, or it and
/// the byte before are both small letters or both beyond ASCII.
///
/// There a cut would nearly always be refused, and a text need not be cut wherever it may be. Eight
/// bytes are looked at together, as one number.
#[inline]
fn places_to_look_at(bytes: &[u8; BLOCK + 1]) -> u64 {
    let eight = |at: usize| bytes[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
    let small = |eight: u64| {
        let low = eight & !HIGH;
        let from = |first: u8| low + ONES * u64::from(0x80 - first);
        from(b'a') & !from(b'z' + 1) & !eight & HIGH
    };
    let blank = |eight: u64| {
        let others = eight ^ (ONES * u64::from(b' '));
        !(((others & !HIGH) + !HIGH) | others) & HIGH
    };
    let mut places = 0;
    for at in (0..BLOCK).step_by(8) {
        let (before, after) = (eight(at), eight(at + 1));
        let alike = before & after & HIGH | small(before) & small(after) | blank(before);
        // Gathers the lowest bits of eight bytes in the highest byte.
        let gathered = (!alike & HIGH) >> 7;
        places |= (gathered.wrapping_mul(0x0102_0408_1020_4080) >> 56) << at;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_between_letters_alike_are_passed_over() {
        let text = "ab가나 cD.e힣 12z\u{7f}{`a~é–😀 the end of a line that is longer than a block";
        let bytes: &[u8; BLOCK + 1] = text.as_bytes().first_chunk().expect("long enough");
        let places = places_to_look_at(bytes);
        for (at, two) in bytes.windows(2).enumerate() {
            let alike = two.iter().all(u8::is_ascii_lowercase) || two.iter().all(|b| !b.is_ascii());
            assert_eq!(places >> at & 1 == 1, !alike && two[0] != b' ', "{at}");
        }
    }
}
