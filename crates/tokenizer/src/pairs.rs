//! The pairs of neighbours that learning chooses from: how often each occurs, where, and which is
//! the most frequent.
//!
//! It knows numbers of symbols and of places, no texts and no words. A pair that is too rare when
//! it first comes up is not kept: hardly any becomes frequent later, and most pairs are of this
//! kind.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::beside::{Beside, Sum};

/// Two symbols side by side, the left one in the upper half.
pub type PairKey = u64;

/// The key of a pair.
pub fn key(left: u32, right: u32) -> PairKey {
    u64::from(left) << 32 | u64::from(right)
}

/// The symbols of a key.
pub fn parts(key: PairKey) -> (u32, u32) {
    ((key >> 32) as u32, key as u32)
}

/// A pair that is kept.
struct Pair {
    count: u64,
    /// Where its places begin in the list of all, and how many they are.
    start: u32,
    len: u32,
}

/// All pairs that occur often enough.
pub struct Pairs {
    table: FxHashMap<PairKey, Pair>,
    /// The places of all pairs, those of a pair side by side, from left to right.
    places: Vec<u32>,
    heap: BinaryHeap<(u64, Reverse<PairKey>)>,
    least: u64,
}

impl Pairs {
    /// Begins without any; a pair seen less than `least` times is not kept.
    pub fn new(least: u64) -> Pairs {
        let (table, places, heap) = Default::default();
        Pairs { table, places, heap, least }
    }

    /// Adds all pairs of words that nothing was learned from yet; `pairs` gives key, place and
    /// count of each, and the same when called again.
    pub fn add_all<I: Iterator<Item = (PairKey, u32, u64)>>(&mut self, pairs: impl Fn() -> I) {
        let mut sums: FxHashMap<PairKey, Sum> = FxHashMap::default();
        for (key, _, count) in pairs() {
            let sum = sums.entry(key).or_default();
            sum.count += count;
            sum.len += 1;
        }
        sums.retain(|_, sum| sum.count >= self.least);
        let mut end = 0;
        for sum in sums.values_mut() {
            sum.cursor = end;
            end += sum.len;
        }
        self.places.resize(end as usize, 0);
        for (key, place, _) in pairs() {
            if let Some(sum) = sums.get_mut(&key) {
                self.places[sum.cursor as usize] = place;
                sum.cursor += 1;
            }
        }
        for (key, Sum { count, len, cursor }) in sums {
            self.table.insert(key, Pair { count, start: cursor - len, len });
            self.heap.push((count, Reverse(key)));
        }
    }

    /// Adds the pairs that the neighbours of a piece make with it, each under the key that
    /// `key_with` gives, and tells `is_new` which were not there before.
    pub fn add(
        &mut self,
        neighbours: &mut Beside,
        key_with: impl Fn(u32) -> PairKey,
        mut is_new: impl FnMut(PairKey),
    ) {
        neighbours.sort_places(self.least, &mut self.places);
        neighbours.drain(|symbol, sum| {
            if sum.count >= self.least {
                let (key, end) = (key_with(symbol), sum.cursor as usize);
                if self.insert(key, sum.count, end - sum.len as usize..end) {
                    is_new(key);
                }
            }
        });
    }

    /// Adds a pair with its places, or to its places; whether it is new.
    fn insert(&mut self, key: PairKey, mut count: u64, mut range: Range<usize>) -> bool {
        let known = self.table.get(&key);
        let is_new = known.is_none();
        if let Some(pair) = known {
            count += pair.count;
            let (before, start) = (pair.start as usize, self.places.len());
            self.places.extend_from_within(before..before + pair.len as usize);
            self.places.extend_from_within(range);
            range = start..self.places.len();
        }
        self.places[range.clone()].sort_unstable();
        let (start, len) = (range.start as u32, range.len() as u32);
        self.table.insert(key, Pair { count, start, len });
        self.heap.push((count, Reverse(key)));
        is_new
    }

    /// Takes occurrences away; their places stay written down.
    pub fn remove(&mut self, key: PairKey, count: u64) {
        if let Some(pair) = self.table.get_mut(&key) {
            pair.count = pair.count.saturating_sub(count);
            if pair.count == 0 {
                self.table.remove(&key);
            }
        }
    }

    /// Forgets a pair and hands out, from left to right, all places where it was ever seen.
    pub fn take(&mut self, key: PairKey, places: &mut Vec<u32>) {
        places.clear();
        if let Some(pair) = self.table.remove(&key) {
            let start = pair.start as usize;
            places.extend_from_slice(&self.places[start..start + pair.len as usize]);
        }
    }

    /// The most frequent pair with its count, the one of lower key among equals; `None` when all
    /// have become too rare.
    pub fn pop_most_frequent(&mut self) -> Option<(PairKey, u64)> {
        while let Some((count, Reverse(key))) = self.heap.pop() {
            let now = self.table.get(&key).map_or(0, |pair| pair.count);
            if now == count {
                return Some((key, count));
            }
            // If it has grown there is a newer entry for it.
            if now < count && now >= self.least {
                self.heap.push((now, Reverse(key)));
            }
        }
        None
    }
}
