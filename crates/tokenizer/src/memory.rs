//! A memory for stretches of text that were encoded before: a table of fixed size, an entry a line
//! of the processor's cache.
//!
//! Each stretch has two places. A new one takes the place of what has not been asked for since it
//! came, so words that come back stay and words that came once make room.

use crate::vocabulary::TokenId;

/// Longer stretches are rare, and are not kept.
pub const LONGEST_KEPT: usize = 31;
/// Nor are stretches of more ids.
const MOST_IDS: usize = 7;
/// Entries of a memory: 4 MiB.
const ENTRIES: usize = 1 << 16;

/// A stretch as four words: its bytes, zeros, and its length in the last byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u64; 4]);

impl Key {
    /// The first `len` of these bytes, at most [`LONGEST_KEPT`].
    #[inline]
    pub fn new(bytes: &[u8; 32], len: usize) -> Key {
        let mask = &MASKS[len % 32];
        let word = |at: usize| {
            let word =
                bytes[at * 8..at * 8 + 8].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
            word & mask[at]
        };
        Key([word(0), word(1), word(2), word(3) | (len as u64) << 56])
    }

    #[inline]
    fn place(&self) -> usize {
        let [a, b, c, d] = self.0;
        let fold = |x: u64, y: u64| {
            let wide =
                u128::from(x ^ 0x9e37_79b9_7f4a_7c15) * u128::from(y ^ 0xe703_7ed1_a0b4_28db);
            wide as u64 ^ (wide >> 64) as u64
        };
        (fold(a ^ c.rotate_left(32), b ^ d) >> (64 - ENTRIES.ilog2())) as usize
    }
}

/// The bits of the first so many bytes.
const MASKS: [[u64; 4]; 32] = {
    let mut masks = [[0; 4]; 32];
    let mut len = 0;
    while len < 32 {
        let mut byte = 0;
        while byte < len {
            masks[len][byte / 8] |= 0xff << (byte % 8 * 8);
            byte += 1;
        }
        len += 1;
    }
    masks
};

/// A stretch and its ids.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Entry {
    key: Key,
    /// At most [`MOST_IDS`] ids, and in the last place how many.
    ids: [TokenId; MOST_IDS + 1],
}

const EMPTY: Entry = Entry { key: Key([0; 4]), ids: [0; MOST_IDS + 1] };
/// Beside the number of ids: the entry was asked for since it came.
const ASKED_FOR: u32 = 1 << 8;

/// The memory.
pub struct Memory {
    entries: Vec<Entry>,
}

impl Memory {
    /// A memory that knows nothing.
    pub fn new() -> Memory {
        Memory { entries: vec![EMPTY; ENTRIES] }
    }

    /// Appends the ids of a stretch, if it is known.
    #[inline]
    pub fn recall(&mut self, key: &Key, ids: &mut Vec<TokenId>) -> bool {
        let place = key.place();
        for place in [place, place ^ 1] {
            let entry = &mut self.entries[place];
            if entry.key == *key {
                // Always all of them: a copy of fixed size needs no loop.
                ids.extend_from_slice(&entry.ids);
                ids.truncate(ids.len() - (MOST_IDS + 1) + (entry.ids[MOST_IDS] as usize & 0xff));
                entry.ids[MOST_IDS] |= ASKED_FOR;
                return true;
            }
        }
        false
    }

    /// Keeps the ids of a stretch that was not known.
    pub fn keep(&mut self, key: &Key, ids: &[TokenId]) {
        if ids.len() > MOST_IDS {
            return;
        }
        let place = key.place();
        let is_asked_for = |place: usize| self.entries[place].ids[MOST_IDS] & ASKED_FOR != 0;
        let place = if is_asked_for(place) && !is_asked_for(place ^ 1) { place ^ 1 } else { place };
        for place in [place, place ^ 1] {
            self.entries[place].ids[MOST_IDS] &= !ASKED_FOR;
        }
        let entry = &mut self.entries[place];
        entry.key = *key;
        entry.ids[..ids.len()].copy_from_slice(ids);
        entry.ids[MOST_IDS] = ids.len() as u32;
    }
}
