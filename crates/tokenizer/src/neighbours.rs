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
use crate::vocabulary::TokenId;

/// What is needed to ask.
pub struct Neighbours {
    made: Vec<Made>,
    pairs: PairTimes,
}

/// A derivation, without what is not asked for in the loop.
#[derive(Clone, Copy)]
struct Made {
    left: TokenId,
    right: TokenId,
    time: u32,
}

/// The time of a piece whose joins are not made in the order of their ranks.
const OUT_OF_ORDER: u32 = u32::MAX;

impl Neighbours {
    /// Derives it; pieces without a derivation must not be asked about.
    pub fn new(derivations: &[Option<Derivation>], merges: &Merges) -> Neighbours {
        let made = |derivation: &Option<Derivation>| match *derivation {
            None => Made { left: 0, right: 0, time: 0 },
            Some(Derivation { left, right, time, in_order }) => {
                Made { left, right, time: if in_order { time } else { OUT_OF_ORDER } }
            }
        };
        let made = derivations.iter().map(made).collect();
        Neighbours { made, pairs: PairTimes::new(merges) }
    }

    /// Whether nothing is joined across the border of these two.
    #[inline]
    pub fn fit(&self, left: TokenId, right: TokenId, merges: &Merges) -> bool {
        let (mut a, mut b) = (left, right);
        let [mut a_made, mut b_made] = [a, b].map(|id| self.made[id as usize]);
        if a_made.time == OUT_OF_ORDER || b_made.time == OUT_OF_ORDER {
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
            if a_made.time > b_made.time {
                (a, a_goes) = (a_made.right, a_made.time);
                a_made = self.made[a as usize];
            } else if b_made.time > 0 {
                (b, b_goes) = (b_made.left, b_made.time);
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
            match made.time {
                0 => symbols.push(piece),
                _ => open.extend([made.right, made.left]),
            }
        }
    }
}

/// When each pair is joined: the rank and one. A table with open places, and before it a sieve,
/// because most pairs that are asked for are never joined.
struct PairTimes {
    sieve: Vec<u64>,
    sieve_shift: u32,
    slots: Vec<Slot>,
    shift: u32,
}

/// A pair and when it is joined; 0 marks an open place.
#[derive(Clone, Copy)]
struct Slot {
    left: TokenId,
    right: TokenId,
    time: u32,
}

const OPEN: Slot = Slot { left: 0, right: 0, time: 0 };

impl PairTimes {
    fn new(merges: &Merges) -> PairTimes {
        let size = (merges.list().len() * 3 / 2).next_power_of_two().max(64);
        let shift = 64 - size.ilog2();
        let (sieve, slots) = (vec![0; size / 8], vec![OPEN; size]);
        let mut pairs = PairTimes { sieve, sieve_shift: shift - 3, slots, shift };
        merges.list().iter().for_each(|merge| pairs.insert(merge));
        pairs
    }

    fn insert(&mut self, &Merge { left, right, rank, .. }: &Merge) {
        let hash = hash(left, right);
        let bit = (hash >> self.sieve_shift) as usize;
        self.sieve[bit / 64] |= 1 << (bit % 64);
        let place = self.place(left, right, hash);
        self.slots[place] = Slot { left, right, time: rank + 1 };
    }

    #[inline]
    fn time(&self, left: TokenId, right: TokenId) -> Option<u32> {
        let hash = hash(left, right);
        let bit = (hash >> self.sieve_shift) as usize;
        if self.sieve[bit / 64] >> (bit % 64) & 1 == 0 {
            return None;
        }
        let time = self.slots[self.place(left, right, hash)].time;
        (time > 0).then_some(time)
    }

    /// Where a pair stands, or the open place where it would.
    #[inline]
    fn place(&self, left: TokenId, right: TokenId, hash: u64) -> usize {
        let mut place = (hash >> self.shift) as usize;
        loop {
            let slot = &self.slots[place];
            if slot.time == 0 || (slot.left, slot.right) == (left, right) {
                return place;
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }
}

/// Fibonacci hashing, with the halves mixed first.
#[inline]
fn hash(left: TokenId, right: TokenId) -> u64 {
    let key = u64::from(left) << 32 | u64::from(right);
    (key ^ key >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
