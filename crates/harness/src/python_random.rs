//! Python's `random.Random`, draw for draw: which examples a prompt shows depends on it.
//! Only what evaluation protocols call; no other distribution and no seeding from the clock.
//!
//! The generator is MT19937 (Matsumoto and Nishimura 1998, with their 2002 seeding by array); the
//! way integers, floats, shuffles and samples are made from it is CPython's, stable since 3.2.

use std::collections::HashSet;

const WORDS: usize = 624;
const MIDDLE: usize = 397;

/// A generator in the state that `random.Random(seed)` has.
#[derive(Clone, Debug)]
pub struct PythonRandom {
    state: [u32; WORDS],
    next: usize,
}

impl PythonRandom {
    /// `random.Random(seed)`.
    pub fn new(seed: u64) -> PythonRandom {
        let low = seed as u32;
        let high = (seed >> 32) as u32;
        let key = if high == 0 { vec![low] } else { vec![low, high] };
        PythonRandom { state: state_from_key(&key), next: WORDS }
    }

    /// `getrandbits(bits)`.
    ///
    /// # Panics
    /// Unless `bits` is 1 to 32.
    pub fn bits(&mut self, bits: u32) -> u32 {
        assert!((1..=32).contains(&bits), "{bits} bits asked of a generator of 32-bit words");
        self.word() >> (32 - bits)
    }

    /// `random()`: 53 bits, in [0, 1).
    pub fn unit(&mut self) -> f64 {
        let high = f64::from(self.word() >> 5);
        let low = f64::from(self.word() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// `randrange(bound)`: draws as many bits as `bound` has until they lie below it.
    ///
    /// # Panics
    /// Unless `bound` is 1 to 2³² - 1.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).expect("a bound of one draw fits into 32 bits");
        let bits = u32::BITS - bound.leading_zeros();
        loop {
            let drawn = self.bits(bits);
            if drawn < bound {
                return drawn as usize;
            }
        }
    }

    /// The index that one draw of `choices` takes from `length` items.
    pub fn choice(&mut self, length: usize) -> usize {
        (self.unit() * length as f64) as usize
    }

    /// `choices(range(length), k=count)`, each index handed to `take` as it is drawn. Works through
    /// the words of a block in one go: bootstraps draw hundreds of millions.
    pub fn choices(&mut self, length: usize, count: usize, mut take: impl FnMut(usize)) {
        let scale = length as f64 / 9_007_199_254_740_992.0;
        let mut drawn = [0.0; WORDS / 2];
        let mut left = count;
        while left > 0 {
            if self.next + 1 >= WORDS {
                take(self.choice(length));
                left -= 1;
                continue;
            }
            let pairs = left.min((WORDS - self.next) / 2);
            let words = self.state[self.next..].chunks_exact(2);
            for (index, words) in drawn[..pairs].iter_mut().zip(words) {
                *index = mantissa(words[0], words[1]) * scale;
            }
            drawn[..pairs].iter().for_each(|&index| take(index as i64 as usize));
            self.next += 2 * pairs;
            left -= pairs;
        }
    }

    /// `shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }

    /// `sample(range(length), count)`: distinct indices in the order drawn.
    ///
    /// # Panics
    /// If `count` exceeds `length`.
    pub fn sample(&mut self, length: usize, count: usize) -> Vec<usize> {
        assert!(count <= length, "a sample of {count} from {length} items");
        if length <= largest_pool_that_is_copied(count) {
            self.sample_from_a_copy(length, count)
        } else {
            self.sample_by_redrawing(length, count)
        }
    }

    fn sample_from_a_copy(&mut self, length: usize, count: usize) -> Vec<usize> {
        let mut pool: Vec<usize> = (0..length).collect();
        let mut draw = |_| {
            let taken = self.below(pool.len());
            pool.swap_remove(taken)
        };
        (0..count).map(&mut draw).collect()
    }

    fn sample_by_redrawing(&mut self, length: usize, count: usize) -> Vec<usize> {
        let mut taken = HashSet::with_capacity(count);
        let mut sample = Vec::with_capacity(count);
        while sample.len() < count {
            let index = self.below(length);
            if taken.insert(index) {
                sample.push(index);
            }
        }
        sample
    }

    #[inline]
    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        self.next += 1;
        tempered(self.state[self.next - 1])
    }

    /// The next 624 words. Three runs without a remainder in the index, for speed.
    fn twist(&mut self) {
        for i in 0..WORDS - MIDDLE {
            self.state[i] = twisted(self.state[i], self.state[i + 1], self.state[i + MIDDLE]);
        }
        for i in WORDS - MIDDLE..WORDS - 1 {
            let far = self.state[i + MIDDLE - WORDS];
            self.state[i] = twisted(self.state[i], self.state[i + 1], far);
        }
        let last = WORDS - 1;
        self.state[last] = twisted(self.state[last], self.state[0], self.state[MIDDLE - 1]);
        self.next = 0;
    }
}

fn tempered(mut word: u32) -> u32 {
    word ^= word >> 11;
    word ^= (word << 7) & 0x9D2C_5680;
    word ^= (word << 15) & 0xEFC6_0000;
    word ^ (word >> 18)
}

/// The 53 bits that two words of the state give to a float, as an integer.
fn mantissa(high: u32, low: u32) -> f64 {
    // By way of i32, which these fit into: that conversion has an instruction for several at once.
    let (high, low) = ((tempered(high) >> 5) as i32, (tempered(low) >> 6) as i32);
    f64::from(high) * 67_108_864.0 + f64::from(low)
}

fn twisted(this: u32, next: u32, far: u32) -> u32 {
    let joined = (this & 0x8000_0000) | (next & 0x7FFF_FFFF);
    far ^ (joined >> 1) ^ ((joined & 1) * 0x9908_B0DF)
}

/// `init_genrand(19650218)` followed by `init_by_array(key)` of the authors' paper code.
fn state_from_key(key: &[u32]) -> [u32; WORDS] {
    let mut state = state_from_word(19_650_218);
    let mut i = 1;
    for step in 0..WORDS {
        let j = step % key.len();
        state[i] = (state[i] ^ mixed(state[i - 1], 1_664_525)).wrapping_add(key[j]);
        state[i] = state[i].wrapping_add(j as u32);
        i = following(i, &mut state);
    }
    for _ in 1..WORDS {
        state[i] = (state[i] ^ mixed(state[i - 1], 1_566_083_941)).wrapping_sub(i as u32);
        i = following(i, &mut state);
    }
    state[0] = 0x8000_0000;
    state
}

fn state_from_word(seed: u32) -> [u32; WORDS] {
    let mut state = [seed; WORDS];
    for i in 1..WORDS {
        let before = state[i - 1];
        state[i] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
    }
    state
}

fn mixed(before: u32, factor: u32) -> u32 {
    (before ^ (before >> 30)).wrapping_mul(factor)
}

/// Word 0 stands for the last one whenever the walk wraps.
fn following(i: usize, state: &mut [u32; WORDS]) -> usize {
    if i + 1 < WORDS {
        return i + 1;
    }
    state[0] = state[WORDS - 1];
    1
}

/// CPython copies the pool as long as the copy is smaller than the set of what was taken.
fn largest_pool_that_is_copied(count: usize) -> usize {
    let mut table = 1;
    while table < 3 * count {
        table *= 4;
    }
    if count > 5 { 21 + table } else { 21 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_cpython() {
        let mut random = PythonRandom::new(1234);
        let words: Vec<u32> = (0..4).map(|_| random.bits(32)).collect();
        assert_eq!(words, [4150886329, 3342196574, 1892932127, 501869158]);
        assert_eq!(PythonRandom::new((1 << 40) + 5).bits(32), 2166296868);
        assert_eq!(PythonRandom::new(u64::MAX).bits(32), 93740670);
    }

    #[test]
    fn floats_and_choices_are_those_of_cpython() {
        let mut random = PythonRandom::new(0);
        let floats: Vec<f64> = (0..3).map(|_| random.unit()).collect();
        assert_eq!(floats, [0.8444218515250481, 0.7579544029403025, 0.420571580830845]);
        let mut random = PythonRandom::new(0);
        let chosen: Vec<usize> = (0..6).map(|_| random.choice(1000)).collect();
        assert_eq!(chosen, [844, 757, 420, 258, 511, 404]);
    }

    #[test]
    fn many_choices_are_those_drawn_one_by_one() {
        for skipped in [0, 1, 623] {
            let mut one_by_one = PythonRandom::new(7);
            let mut together = PythonRandom::new(7);
            for _ in 0..skipped {
                assert_eq!(one_by_one.bits(8), together.bits(8));
            }
            for (length, count) in [(10, 3), (2808, 1000), (50_000, 311), (3, 2000)] {
                let expected: Vec<usize> = (0..count).map(|_| one_by_one.choice(length)).collect();
                let mut drawn = Vec::new();
                together.choices(length, count, |index| drawn.push(index));
                assert_eq!(drawn, expected, "{count} of {length} after {skipped} words");
            }
        }
    }

    #[test]
    fn one_generator_shuffles_and_goes_on_sampling() {
        let mut random = PythonRandom::new(42);
        let mut order: Vec<usize> = (0..10).collect();
        random.shuffle(&mut order);
        assert_eq!(order, [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]);
        assert_eq!(random.sample(100, 5), [75, 54, 4, 3, 11]);
        assert_eq!(random.sample(3000, 5), [895, 952, 2069, 2465, 108]);
    }

    #[test]
    fn samples_of_one_stream_follow_each_other() {
        let mut random = PythonRandom::new(1234);
        assert_eq!(random.sample(3076, 5), [1805, 478, 30, 371, 2384]);
        assert_eq!(random.sample(3076, 5), [143, 2750, 2838, 343, 403]);
        assert_eq!(random.sample(3076, 5), [1452, 969, 71, 126, 64]);
    }

    #[test]
    fn large_samples_take_the_same_road_as_in_cpython() {
        let large = PythonRandom::new(1234).sample(3665, 50);
        assert_eq!(large[..8], [3187, 1805, 478, 30, 371, 3305, 2384, 143]);
        let copied = PythonRandom::new(1234).sample(60, 25);
        assert_eq!(copied[..8], [49, 28, 7, 0, 5, 51, 37, 2]);
        let eleven = PythonRandom::new(1234).sample(39905, 11);
        let expected = [28883, 7657, 490, 5940, 38156, 2288, 5500, 6450, 23241, 15519, 1142];
        assert_eq!(eleven, expected);
    }

    #[test]
    fn pools_are_copied_up_to_the_sizes_of_cpython() {
        let sizes = [1, 5, 6, 10, 25, 50].map(largest_pool_that_is_copied);
        assert_eq!(sizes, [21, 21, 85, 85, 277, 277]);
    }

    #[test]
    fn the_order_of_a_thousand_documents_is_that_of_the_card() {
        let mut random = PythonRandom::new(42);
        let mut order: Vec<usize> = (0..1000).collect();
        random.shuffle(&mut order);
        assert_eq!(order[..5], [776, 507, 895, 922, 33]);
        assert_eq!(random.sample(3076, 5), [1673, 1845, 2823, 2432, 1924]);
    }
}
