//! A memory for stretches of text that were encoded before: two tables of bounded size.
//!
//! Most stretches are short and become few ids; a table for those has two entries in one line of
//! the processor's cache. Longer ones, and those of more ids, have a table of their own. A stretch
//! has two places in its table: what comes takes the first, what stood there moves to the second,
//! and what is asked for moves up. So words that come back stay, and words that came once go.

use std::hint::black_box;

use crate::vocabulary::TokenId;

/// Longer stretches are rare, and are not kept.
pub const LONGEST_KEPT: usize = LONG_WORDS * 8 - 1;
const SHORT_WORDS: usize = 2;
const LONG_WORDS: usize = 4;
/// Sets of two entries at the most: 4 MiB and 512 KiB.
const SHORT_SETS: usize = 1 << 16;
const LONG_SETS: usize = 1 << 12;
/// A table begins small, so that little text costs little, and grows by this factor.
const GROWTH: usize = 8;

/// A stretch of text as words: its bytes, then zeros; in the last byte its length, times eight.
#[derive(Clone, Copy, Default)]
pub struct Key {
    words: [u64; LONG_WORDS],
    hash: u64,
    len: usize,
}

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
        let words = [word(0), word(1), word(2), word(3)];
        let [a, b, c, d] = words;
        let fold = |x: u64, y: u64| {
            let wide = u128::from(x) * u128::from(y);
            wide as u64 ^ (wide >> 64) as u64
        };
        let first = fold(a ^ 0x9e37_79b9_7f4a_7c15, b ^ 0xe703_7ed1_a0b4_28db);
        let hash = match len {
            0..16 => first,
            _ => fold(first ^ c, d ^ 0x8ebc_6af0_9c88_c6e3),
        };
        Key { words, hash, len }
    }

    /// The words as an entry of a table holds them.
    #[inline]
    fn tagged<const WORDS: usize>(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        words.copy_from_slice(&self.words[..WORDS]);
        words[WORDS - 1] |= (self.len as u64) << LEN_SHIFT;
        words
    }

    fn is_short(&self) -> bool {
        self.len < SHORT_WORDS * 8
    }
}

/// The bits of the first so many bytes.
const MASKS: [[u64; LONG_WORDS]; 32] = {
    let mut masks = [[0; LONG_WORDS]; 32];
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

/// Where the length stands in the last word of a key; below it, in an entry, the number of ids
/// less one.
const LEN_SHIFT: u32 = 59;
const COUNT_SHIFT: u32 = 56;
const COUNT: u64 = 7 << COUNT_SHIFT;

#[derive(Clone, Copy)]
struct Entry<const WORDS: usize, const IDS: usize> {
    key: [u64; WORDS],
    ids: [TokenId; IDS],
}

/// Two entries, the one asked for last first.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set<const WORDS: usize, const IDS: usize>([Entry<WORDS, IDS>; 2]);

struct Table<const WORDS: usize, const IDS: usize> {
    sets: Vec<Set<WORDS, IDS>>,
    shift: u32,
    /// Stretches that came since the table has this size.
    came: usize,
    most_sets: usize,
}

impl<const WORDS: usize, const IDS: usize> Table<WORDS, IDS> {
    fn new(sets: usize, most_sets: usize) -> Self {
        let empty = Entry { key: [0; WORDS], ids: [0; IDS] };
        Table { sets: vec![Set([empty; 2]); sets], shift: 64 - sets.ilog2(), came: 0, most_sets }
    }

    #[inline]
    fn place(&self, key: &Key) -> usize {
        (key.hash >> self.shift) as usize
    }

    #[inline]
    fn first_word(&self, key: &Key) -> u64 {
        self.sets[self.place(key)].0[0].key[0]
    }

    #[inline]
    fn recall(&mut self, key: &Key, ids: &mut Vec<TokenId>) -> bool {
        let wanted = key.tagged::<WORDS>();
        let place = self.place(key);
        let Set(ways) = &mut self.sets[place];
        if !ways[0].is_for(&wanted) {
            if !ways[1].is_for(&wanted) {
                return false;
            }
            ways.swap(0, 1);
        }
        ways[0].append(ids);
        true
    }

    fn keep(&mut self, key: &Key, ids: &[TokenId]) {
        if self.came > self.sets.len() && self.sets.len() < self.most_sets {
            // What it held is met again soon enough.
            *self = Table::new(self.sets.len() * GROWTH, self.most_sets);
        }
        self.came += 1;
        let place = self.place(key);
        let Set(ways) = &mut self.sets[place];
        ways[1] = ways[0];
        let mut words = key.tagged::<WORDS>();
        words[WORDS - 1] |= (ids.len() as u64 - 1) << COUNT_SHIFT;
        ways[0].key = words;
        ways[0].ids[..ids.len()].copy_from_slice(ids);
    }
}

impl<const WORDS: usize, const IDS: usize> Entry<WORDS, IDS> {
    #[inline]
    fn is_for(&self, key: &[u64; WORDS]) -> bool {
        let differs = |at: usize| self.key[at] ^ key[at];
        let last = differs(WORDS - 1) & !COUNT;
        (0..WORDS - 1).map(differs).fold(last, |all, word| all | word) == 0
    }

    /// Appends the ids; always copies all places, because a copy of fixed size needs no loop.
    #[inline]
    fn append(&self, ids: &mut Vec<TokenId>) {
        let count = 1 + (self.key[WORDS - 1] >> COUNT_SHIFT & 7) as usize;
        ids.extend_from_slice(&self.ids);
        ids.truncate(ids.len() - IDS + count);
    }
}

/// The memory.
pub struct Memory {
    short: Table<SHORT_WORDS, 4>,
    long: Table<LONG_WORDS, 8>,
}

impl Memory {
    /// A memory that knows nothing.
    pub fn new() -> Memory {
        let short = Table::new(SHORT_SETS / GROWTH / GROWTH, SHORT_SETS);
        Memory { short, long: Table::new(LONG_SETS / GROWTH, LONG_SETS) }
    }

    /// Brings the places of these stretches near, all at once, so that each [`recall`](Memory::recall)
    /// need not wait for its own.
    #[inline]
    pub fn approach<'a>(&self, keys: impl Iterator<Item = &'a Key>) {
        black_box(keys.fold(0, |all, key| all ^ self.short.first_word(key)));
    }

    /// Appends the ids of a stretch, if it is known.
    #[inline]
    pub fn recall(&mut self, key: &Key, ids: &mut Vec<TokenId>) -> bool {
        key.is_short() && self.short.recall(key, ids) || self.long.recall(key, ids)
    }

    /// Keeps the ids of a stretch that was not known.
    pub fn keep(&mut self, key: &Key, ids: &[TokenId]) {
        match ids.len() {
            1..=4 if key.is_short() => self.short.keep(key, ids),
            1..=8 => self.long.keep(key, ids),
            _ => {}
        }
    }
}
