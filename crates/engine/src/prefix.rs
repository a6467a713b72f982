//! What ended sequences have left in the cache, for others that begin alike: their rows stay until
//! somebody needs the room, the longest unused first. Moves no keys or values itself.

use std::ops::Range;

/// Tokens that must be alike for a copy to be worth it.
pub const SHORTEST: usize = 8;
/// Slots that are kept at most: all are looked through for every request.
const MOST: usize = 256;

/// Rows that no running sequence holds, and the tokens that were read into them.
pub struct Kept {
    /// As many as rows.
    pub tokens: Vec<u32>,
    /// Where their keys and values are.
    pub slot: Range<usize>,
    used: u64,
}

/// All that is kept.
#[derive(Default)]
pub struct Prefixes {
    kept: Vec<Kept>,
    clock: u64,
}

impl Prefixes {
    /// Keeps `tokens`, read into all of `slot`, and returns slots that are kept no more: of what has
    /// too little else than a beginning of it, and the oldest where there are too many.
    pub fn keep(&mut self, tokens: Vec<u32>, slot: Range<usize>) -> Vec<Range<usize>> {
        let own = |kept: &Kept| kept.tokens.len() - shared(&kept.tokens, &tokens);
        let needless = self.kept.extract_if(.., |kept| own(kept) < SHORTEST);
        let mut needless: Vec<_> = needless.map(|kept| kept.slot).collect();
        if self.kept.len() >= MOST {
            needless.extend(self.give_up());
        }
        self.clock += 1;
        self.kept.push(Kept { tokens, slot, used: self.clock });
        needless
    }

    /// Which of the kept ones shares most tokens with the beginning of `prompt`, and how many.
    pub fn find(&self, prompt: &[u32]) -> Option<(usize, usize)> {
        let shares = self.kept.iter().map(|kept| shared(&kept.tokens, prompt));
        let best = shares.enumerate().max_by_key(|&(_, shared)| shared);
        best.filter(|&(_, shared)| shared >= SHORTEST)
    }

    /// The slot of number `index`, which is used now.
    pub fn touch(&mut self, index: usize) -> Range<usize> {
        self.clock += 1;
        self.kept[index].used = self.clock;
        self.kept[index].slot.clone()
    }

    /// The slot that was used longest ago, which is kept no more.
    pub fn give_up(&mut self) -> Option<Range<usize>> {
        let oldest = (0..self.kept.len()).min_by_key(|&index| self.kept[index].used)?;
        Some(self.kept.swap_remove(oldest).slot)
    }

    /// All slots.
    pub fn slots(&self) -> impl Iterator<Item = Range<usize>> {
        self.kept.iter().map(|kept| kept.slot.clone())
    }

    /// Rows in them.
    pub fn rows(&self) -> usize {
        self.slots().map(|slot| slot.len()).sum()
    }
}

/// How many tokens two rows begin alike.
pub fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_is_found_and_the_oldest_goes_first() {
        let mut prefixes = Prefixes::default();
        let tokens = |end: u32| (0..end).collect::<Vec<u32>>();
        let forked = |at: u32, end: u32| (0..at).chain(90 + at..90 + end).collect::<Vec<u32>>();
        assert!(prefixes.keep(tokens(20), 0..20).is_empty());
        assert!(prefixes.keep(forked(9, 20), 20..40).is_empty());
        assert_eq!(prefixes.find(&tokens(30)), Some((0, 20)));
        assert_eq!(prefixes.find(&[5, 6, 7, 8, 9, 10, 11, 12]), None);
        prefixes.touch(0);
        let needless = prefixes.keep(tokens(30), 40..70);
        assert_eq!((needless.len(), &needless[0]), (1, &(0..20)), "a beginning of it");
        let needless = prefixes.keep(forked(23, 40), 70..110);
        assert_eq!((needless.len(), &needless[0]), (1, &(40..70)), "its last 7 are not worth it");
        assert_eq!(prefixes.give_up(), Some(20..40));
        assert_eq!(prefixes.rows(), 40);
    }
}
