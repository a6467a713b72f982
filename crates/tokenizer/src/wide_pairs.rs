//! Which two neighbouring characters of three bytes each (Hangul, Han, kana, Thai, the scripts of
//! India) some merge may join.
//!
//! Bytes tell little about such a pair: thousands of characters share their first byte, and as many
//! their last. So the pairs themselves are kept, all six bytes, as bits of a sieve. Two pairs may
//! share a bit; then a border counts as one that merges may cross, which is always safe.

/// Bytes of a character.
pub const WIDE: usize = 3;
/// Bits of the sieve for each pair, at least: at most one cut in sixteen is refused for nothing.
const BITS_A_PAIR: usize = 16;

/// The sieve.
pub struct WidePairs {
    bits: Vec<u64>,
    shift: u32,
}

impl WidePairs {
    /// A sieve that holds those of these pairs in which both have three bytes.
    pub fn new(mut pairs: Vec<(char, char)>) -> WidePairs {
        pairs.retain(|&(left, right)| left.len_utf8() == WIDE && right.len_utf8() == WIDE);
        pairs.sort_unstable();
        pairs.dedup();
        let size = (pairs.len() * BITS_A_PAIR).next_power_of_two().max(64);
        let mut sieve = WidePairs { bits: vec![0; size / 64], shift: 64 - size.ilog2() };
        for (left, right) in pairs {
            let mut bytes = [0; 8];
            left.encode_utf8(&mut bytes);
            right.encode_utf8(&mut bytes[WIDE..]);
            let place = sieve.place(&bytes);
            sieve.bits[place / 64] |= 1 << (place % 64);
        }
        sieve
    }

    /// A sieve that holds all pairs.
    pub fn all() -> WidePairs {
        WidePairs { bits: vec![u64::MAX], shift: 58 }
    }

    /// Whether no merge joins the two characters of three bytes that stand first here.
    #[inline]
    pub fn may_cut(&self, pair: &[u8; 8]) -> bool {
        let place = self.place(pair);
        self.bits[place / 64] >> (place % 64) & 1 == 0
    }

    /// Fibonacci hashing of the six bytes.
    #[inline]
    fn place(&self, pair: &[u8; 8]) -> usize {
        let six = u64::from_le_bytes(*pair) << 16;
        (six.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_is_joined_is_never_cut_and_few_others_are_kept() {
        let syllables: Vec<char> = ('가'..='깋').collect();
        let pairs = |left: char| syllables.iter().map(move |&right| (left, right));
        let (joined, others): (Vec<_>, Vec<_>) = syllables
            .iter()
            .flat_map(|&left| pairs(left))
            .partition(|&(a, b)| (a as u32 * 7 + b as u32).is_multiple_of(50));
        let narrow = [('가', 'a'), ('é', '가'), ('😀', '각')];
        let sieve = WidePairs::new(joined.iter().chain(&narrow).copied().collect());
        let may_cut = |&(a, b): &(char, char)| {
            let text = format!("{a}{b}..");
            sieve.may_cut(text.as_bytes().first_chunk().expect("eight bytes"))
        };
        assert!(!joined.iter().any(may_cut));
        assert!(others.iter().filter(|pair| !may_cut(pair)).count() < others.len() / 12);
        assert!(!WidePairs::all().may_cut("가각..".as_bytes().first_chunk().expect("eight bytes")));
    }
}
