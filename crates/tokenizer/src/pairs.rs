//! The pairs of neighbours that learning chooses from: how often each occurs, where, and which is
//! the most frequent.
//!
//! It knows numbers of symbols and places, no texts and no words.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

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

const NOWHERE: u32 = u32::MAX;

struct Pair {
    count: u64,
    /// The place written down last, in `places`.
    last: u32,
    /// Whether it stands in `grown`.
    has_grown: bool,
}

/// A link of a chain of places: they are many and short, and a list of its own for each pair would
/// spend more time asking for memory than on counting.
struct Link {
    place: u32,
    before: u32,
}

/// All pairs that occur.
#[derive(Default)]
pub struct Pairs {
    table: FxHashMap<PairKey, Pair>,
    places: Vec<Link>,
    /// The first of the links that are free again.
    free: Option<u32>,
    heap: BinaryHeap<(u64, Reverse<PairKey>)>,
    /// Pairs whose count has grown since they were put into the heap.
    grown: Vec<PairKey>,
}

impl Pairs {
    /// Counts an occurrence; whether the pair is new.
    #[inline]
    pub fn add(&mut self, key: PairKey, place: u32, count: u64) -> bool {
        let pair =
            self.table.entry(key).or_insert(Pair { count: 0, last: NOWHERE, has_grown: false });
        let is_new = pair.count == 0;
        pair.count += count;
        if !pair.has_grown {
            pair.has_grown = true;
            self.grown.push(key);
        }
        let link = Link { place, before: pair.last };
        match self.free {
            Some(free) => {
                pair.last = free;
                let old = std::mem::replace(&mut self.places[free as usize], link);
                self.free = (old.before != NOWHERE).then_some(old.before);
            }
            None => {
                pair.last = self.places.len() as u32;
                self.places.push(link);
            }
        }
        is_new
    }

    /// Takes an occurrence away; its place stays written down.
    #[inline]
    pub fn remove(&mut self, key: PairKey, count: u64) {
        if let Some(pair) = self.table.get_mut(&key) {
            pair.count -= count;
            if pair.count == 0 {
                self.table.remove(&key);
            }
        }
    }

    /// Forgets a pair and returns, from left to right, all places where it was ever seen.
    pub fn take(&mut self, key: PairKey, places: &mut Vec<u32>) {
        places.clear();
        let mut at = self.table.remove(&key).map_or(NOWHERE, |pair| pair.last);
        while at != NOWHERE {
            let link = &mut self.places[at as usize];
            places.push(link.place);
            let before = link.before;
            link.before = self.free.unwrap_or(NOWHERE);
            self.free = Some(at);
            at = before;
        }
        places.sort_unstable();
    }

    /// Puts pairs that have grown into the heap, but for those seen less than `least` times.
    pub fn offer(&mut self, least: u64) {
        for key in self.grown.drain(..) {
            if let Some(pair) = self.table.get_mut(&key) {
                pair.has_grown = false;
                if pair.count >= least {
                    self.heap.push((pair.count, Reverse(key)));
                }
            }
        }
    }

    /// The most frequent pair with its count, the one of lower key among equals; `None` when all
    /// are seen less than `least` times.
    pub fn pop_most_frequent(&mut self, least: u64) -> Option<(PairKey, u64)> {
        while let Some((count, Reverse(key))) = self.heap.pop() {
            let now = self.table.get(&key).map_or(0, |pair| pair.count);
            if now == count {
                return Some((key, count));
            }
            // If it has grown there is a newer entry for it.
            if now < count && now >= least {
                self.heap.push((now, Reverse(key)));
            }
        }
        None
    }
}
