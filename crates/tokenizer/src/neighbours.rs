//! Whether two pieces may stand side by side in the ids of a text.
//!
//! A row of pieces is what byte-pair encoding makes of a text exactly when each two neighbours are
//! what it makes of theirs: whatever first crossed a border would do so with only the two pieces of
//! that border present, because joins inside a piece do not see what is beyond its ends. (The
//! observation behind the linear-time encoder of the `bpe` crate; van Antwerpen and Neubeck 2024,
//! "So many tokens, so little time".) Whether something crosses the border of two pieces is found by
//! undoing their joins from the last to the first and asking at each step whether the two pieces
//! that stood at the border then would have been joined before one of them went on.

use crate::derivations::Derivation;
use crate::joining::join;
use crate::merges::{Merge, Merges};
use crate::trie::PIECE_BITS;
use crate::vocabulary::TokenId;

/// What is needed to ask.
pub struct Neighbours {
    made: Vec<Made>,
    pairs: PairTimes,
}

/// Bits of a time, so that two pieces and a time are eight bytes.
const TIME_BITS: u32 = 64 - 2 * PIECE_BITS;
const PIECE: u64 = (1 << PIECE_BITS) - 1;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// Two pieces and a time: how a piece is made, or when a pair is joined. From the highest bit: the
/// left one, the right one, the time.
#[derive(Clone, Copy)]
struct Made(u64);

impl Made {
    fn new(left: TokenId, right: TokenId, time: u32) -> Made {
        Made(pair(left, right) << TIME_BITS | u64::from(time))
    }

    #[inline]
    fn left(self) -> TokenId {
        (self.0 >> (TIME_BITS + PIECE_BITS)) as TokenId
    }

    #[inline]
    fn right(self) -> TokenId {
        (self.0 >> TIME_BITS & PIECE) as TokenId
    }

    #[inline]
    fn time(self) -> u32 {
        (self.0 & TIME) as u32
    }
}

#[inline]
fn pair(left: TokenId, right: TokenId) -> u64 {
    u64::from(left) << PIECE_BITS | u64::from(right)
}

/// The time of a piece whose joins are not made in the order of their ranks.
const OUT_OF_ORDER: u32 = TIME as u32;

impl Neighbours {
    /// Derives it; pieces without a derivation must not be asked about. `None` if there are more
    /// merges than can be told apart here.
    pub fn new(derivations: &[Option<Derivation>], merges: &Merges) -> Option<Neighbours> {
        if merges.list().len() + 1 >= OUT_OF_ORDER as usize {
            return None;
        }
        let made = |derivation: &Option<Derivation>| match *derivation {
            None => Made::new(0, 0, 0),
            Some(Derivation { left, right, time, in_order }) => {
                Made::new(left, right, if in_order { time } else { OUT_OF_ORDER })
            }
        };
        let made = derivations.iter().map(made).collect();
        Some(Neighbours { made, pairs: PairTimes::new(merges) })
    }

    /// Whether nothing is joined across the border of these two.
    #[inline]
    pub fn fit(&self, left: TokenId, right: TokenId, merges: &Merges) -> bool {
        let (mut a, mut b) = (left, right);
        let [mut a_made, mut b_made] = [a, b].map(|id| self.made[id as usize]);
        if a_made.time() == OUT_OF_ORDER || b_made.time() == OUT_OF_ORDER {
            return self.fit_by_joining(left, right, merges);
        }
        // When `a` and `b` go on to be part of something larger, away from the border.
        let (mut a_goes, mut b_goes) = (u32::MAX, u32::MAX);
        loop {
            // Among joins of equal rank the leftmost is first.
            if let Some(time) = self.pairs.time(a, b)
                && time < a_goes
                && time <= b_goes
            {
                return false;
            }
            if a_made.time() > b_made.time() {
                (a, a_goes) = (a_made.right(), a_made.time());
                a_made = self.made[a as usize];
            } else if b_made.time() > 0 {
                (b, b_goes) = (b_made.left(), b_made.time());
                b_made = self.made[b as usize];
            } else {
                return true;
            }
        }
    }

    /// The same by definition, for pieces whose joins are not made in the order of their ranks.
    #[cold]
    fn fit_by_joining(&self, left: TokenId, right: TokenId, merges: &Merges) -> bool {
        let mut symbols = Vec::new();
        self.spell(left, &mut symbols);
        self.spell(right, &mut symbols);
        join(&mut symbols, merges);
        symbols == [left, right]
    }

    fn spell(&self, piece: TokenId, symbols: &mut Vec<TokenId>) {
        let mut open = vec![piece];
        while let Some(piece) = open.pop() {
            let made = self.made[piece as usize];
            match made.time() {
                0 => symbols.push(piece),
                _ => open.extend([made.right(), made.left()]),
            }
        }
    }
}

/// When each pair is joined: the rank and one. A table with open places, and before it a sieve,
/// because most pairs that are asked for are never joined.
struct PairTimes {
    sieve: Vec<u64>,
    slots: Vec<Made>,
    shift: u32,
}

/// The time of no pair.
const OPEN: Made = Made(0);
/// The sieve has eight bits for each slot.
const SIEVE_BITS: u32 = 3;

impl PairTimes {
    fn new(merges: &Merges) -> PairTimes {
        let size = (merges.list().len() * 4 / 3).next_power_of_two().max(64);
        let shift = 64 - size.ilog2();
        let (sieve, slots) = (vec![0; size >> (6 - SIEVE_BITS)], vec![OPEN; size]);
        let mut pairs = PairTimes { sieve, slots, shift };
        merges.list().iter().for_each(|merge| pairs.insert(merge));
        pairs
    }

    fn insert(&mut self, &Merge { left, right, rank, .. }: &Merge) {
        let hash = hash(pair(left, right));
        let bit = (hash >> (self.shift - SIEVE_BITS)) as usize;
        self.sieve[bit / 64] |= 1 << (bit % 64);
        let place = self.place(pair(left, right), hash);
        self.slots[place] = Made::new(left, right, rank + 1);
    }

    #[inline]
    fn time(&self, left: TokenId, right: TokenId) -> Option<u32> {
        let pair = pair(left, right);
        let hash = hash(pair);
        let bit = (hash >> (self.shift - SIEVE_BITS)) as usize;
        if self.sieve[bit / 64] >> (bit % 64) & 1 == 0 {
            return None;
        }
        let time = self.slots[self.place(pair, hash)].time();
        (time > 0).then_some(time)
    }

    /// Where a pair stands, or the open place where it would.
    #[inline]
    fn place(&self, pair: u64, hash: u64) -> usize {
        let mut place = (hash >> self.shift) as usize;
        loop {
            let slot = self.slots[place];
            if slot.time() == 0 || slot.0 >> TIME_BITS == pair {
                return place;
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }
}

/// Fibonacci hashing, with the halves mixed first.
#[inline]
fn hash(pair: u64) -> u64 {
    (pair ^ pair >> 17).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
