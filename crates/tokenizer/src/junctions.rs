//! Where a text may be cut so that no merge is lost.
//!
//! A merge of a left and a right piece joins the last character of the one to the first of the
//! other. If no merge of the table joins `a` to `b`, then nothing will ever cross a place in a text
//! where `b` follows `a`, and what lies on both sides can be encoded by itself. Nothing is assumed
//! about languages or blanks: the places follow from the merges. Pairs of *bytes* are kept (the last
//! of `a`, the first of `b`): a superset that fits into 8 KiB and is asked for 64 places at a time.
//! Where both characters have three bytes, `wide_pairs.rs` knows more.

use crate::merges::{Merge, Merges};
use crate::normalizer::{MARK, blank_form};
use crate::vocabulary::{PieceKind, TokenId, Vocabulary};
use crate::wide_pairs::{WIDE, WidePairs};

/// Places that are looked at together: the bits of a word.
pub const BLOCK: usize = 64;
/// The bytes of a block, those of a wide character before it, and enough of what follows.
pub const WINDOW: usize = BLOCK + 8;

/// The pairs of neighbouring bytes that some merge may join, in the blank form of texts.
pub struct Junctions {
    /// 256 bits for each left byte.
    pairs: Box<[u32; 256 * 8]>,
    wide: WidePairs,
}

impl Junctions {
    /// Derives the pairs from a table of merges.
    pub fn new(vocabulary: &Vocabulary, merges: &Merges) -> Junctions {
        let is_byte = |id: TokenId| vocabulary.pieces()[id as usize].kind == PieceKind::Byte;
        if merges.list().iter().any(|merge| is_byte(merge.left) || is_byte(merge.right)) {
            // Bytes may be joined across any border, whatever the characters.
            return Junctions { pairs: Box::new([u32::MAX; 256 * 8]), wide: WidePairs::all() };
        }
        // A byte inside a character always follows: a cut falls only before a character.
        let mut pairs = Box::new([0u32; 256 * 8]);
        pairs.chunks_exact_mut(8).for_each(|row| row[4..6].fill(u32::MAX));
        let mut wide = Vec::new();
        for &Merge { left, right, .. } in merges.list() {
            let [left, right] =
                [left, right].map(|id| blank_form(&vocabulary.pieces()[id as usize].text));
            if let (Some(&a), Some(&b)) = (left.as_bytes().last(), right.as_bytes().first()) {
                pairs[usize::from(a) * 8 + usize::from(b >> 5)] |= 1 << (b & 31);
            }
            if let (Some(a), Some(b)) = (left.chars().next_back(), right.chars().next()) {
                wide.push((a, b));
            }
        }
        Junctions { pairs, wide: WidePairs::new(wide) }
    }

    /// A bit for each place of a block: whether the text is to be cut before it. The window begins
    /// [`WIDE`] bytes before the block.
    #[inline]
    pub fn cuts(&self, window: &[u8; WINDOW]) -> u64 {
        let (mut open, mut wide) = places_to_look_at(window);
        let mut cuts = 0;
        while open != 0 {
            let at = open.trailing_zeros() as usize;
            cuts |= u64::from(self.may_cut(window[WIDE - 1 + at], window[WIDE + at])) << at;
            open &= open - 1;
        }
        while wide != 0 {
            let at = wide.trailing_zeros() as usize;
            let pair = window[at..].first_chunk().expect("a window is longer than a block");
            cuts |= u64::from(self.wide.may_cut(pair)) << at;
            wide &= wide - 1;
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

/// Where to look for cuts: a bit for each place between two characters of three bytes, and one for
/// each other place, unless it follows a blank, or the bytes on both sides are both small letters or
/// both beyond ASCII.
///
/// There a cut would nearly always be refused, and a text need not be cut wherever it may be.
#[inline]
fn places_to_look_at(window: &[u8; WINDOW]) -> (u64, u64) {
    let small = |byte: u8| byte.wrapping_sub(b'a') < 26;
    let begins_wide = |byte: u8| byte & 0xf0 == 0xe0;
    let (mut places, mut wide) = ([0; BLOCK], [0; BLOCK]);
    // Plain enough for the compiler to look at sixteen bytes together.
    for at in 0..BLOCK {
        let (left, before, after) = (window[at], window[at + WIDE - 1], window[at + WIDE]);
        let alike = (before & after >= 0x80) | (small(before) & small(after)) | (before == b' ');
        places[at] = u8::from(!alike);
        wide[at] = u8::from(begins_wide(left) & begins_wide(after));
    }
    (gather(&places), gather(&wide))
}

/// The lowest bits of all bytes.
#[inline]
fn gather(bytes: &[u8; BLOCK]) -> u64 {
    let eights = bytes.as_chunks::<8>().0.iter().enumerate();
    // The product has the bits of eight bytes in its highest byte.
    let gathered = eights.map(|(at, &eight)| {
        u64::from_le_bytes(eight).wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * at)
    });
    gathered.fold(0, |all, bits| all | bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_between_letters_alike_are_passed_over() {
        let text =
            "ab가나 cD.e힣é만 12z\u{7f}{`a~é–😀아 the end of a line that is longer than a block";
        let window: &[u8; WINDOW] = text.as_bytes().first_chunk().expect("long enough");
        let (places, wide) = places_to_look_at(window);
        for (at, two) in window[WIDE - 1..].windows(2).take(BLOCK).enumerate() {
            let alike = two.iter().all(u8::is_ascii_lowercase) || two.iter().all(|b| !b.is_ascii());
            assert_eq!(places >> at & 1 == 1, !alike && two[0] != b' ', "{at}");
        }
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for at in 0..BLOCK {
            let is_wide = |from: usize| ends.contains(&from) && ends.contains(&(from + WIDE));
            let width = |from: usize| text[from..].chars().next().map(char::len_utf8);
            let both =
                is_wide(at) && is_wide(at + WIDE) && [at, at + WIDE].map(width) == [Some(WIDE); 2];
            assert_eq!(wide >> at & 1 == 1, both, "{at}");
        }
    }
}
