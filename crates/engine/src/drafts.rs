//! Guesses at the next tokens without a second model: what followed the last few tokens when they
//! stood in the sequence before ("prompt lookup", Saxena 2023). The engine reads guesses in the
//! same pass as the token before them and keeps those that it would have chosen anyway, so a guess
//! can cost time but never change an answer. Chooses no token and knows no model.

use std::collections::HashMap;

/// Lengths of the runs of tokens that are looked up, longest first.
const RUNS: [usize; 2] = [3, 2];
/// Guesses of one sequence in one pass: more seldom all come true.
const MOST_GUESSES: usize = 15;
/// What one more row adds to the time of a pass of one row, which is bound by reading the weights:
/// measured between 0.01 and 0.11, by type of weights, instructions and number of threads.
const COST_OF_A_ROW: f64 = 0.05;
/// Weight of the past in a [`Rate`] after one more guess.
const MEMORY: f64 = 0.9;

/// Rows of a pass over the weights, and tokens that it will likely write.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Rows.
    pub rows: usize,
    /// Tokens expected of them.
    pub tokens: f64,
}

/// The guesses of one sequence.
pub struct Drafts {
    /// Place of the token that followed the latest occurrence of a run; shorter runs are filled up
    /// with an id that no vocabulary has.
    after: HashMap<[u32; RUNS[0]], usize>,
    /// Tokens that are in `after`.
    known: usize,
    /// Which of [`RUNS`] the last look-up found, and the place that it found.
    source: Option<(usize, usize)>,
    rates: [Rate; RUNS.len()],
    guesses: Vec<u32>,
}

/// How often guesses came true lately.
#[derive(Clone, Copy)]
struct Rate {
    right: f64,
    judged: f64,
}

impl Pass {
    /// Whether a row that writes a token with probability `likely` makes a token cheaper:
    /// tokens / time rises.
    fn gains(&self, likely: f64) -> bool {
        let time = 1.0 + COST_OF_A_ROW * (self.rows as f64 - 1.0);
        likely * time > self.tokens * COST_OF_A_ROW
    }
}

impl Drafts {
    /// Nothing known yet; room for a sequence of `length` tokens.
    pub fn new(length: usize) -> Drafts {
        Drafts {
            after: HashMap::with_capacity(RUNS.len() * length),
            known: 0,
            source: None,
            rates: [Rate { right: 1.0, judged: 2.0 }; RUNS.len()],
            guesses: Vec::with_capacity(MOST_GUESSES),
        }
    }

    /// Guesses what follows `tokens`, as far as it pays in `pass`, which grows with it, and at most
    /// `most` tokens. `tokens` must go on from those of the call before.
    pub fn guess(&mut self, tokens: &[u32], most: usize, pass: &mut Pass) {
        self.learn(tokens);
        self.guesses.clear();
        self.source = self.look_up(tokens);
        let Some((run, place)) = self.source else { return };
        let rate = self.rates[run].share();
        let mut likely = rate;
        while self.guesses.len() < most.min(MOST_GUESSES) && pass.gains(likely) {
            let ahead = place + self.guesses.len();
            // Past the end of what is written the guesses repeat themselves.
            let guess = tokens.get(ahead).copied();
            self.guesses.push(guess.unwrap_or_else(|| self.guesses[ahead - tokens.len()]));
            pass.rows += 1;
            pass.tokens += likely;
            likely *= rate;
        }
    }

    /// What was guessed, in order.
    pub fn guesses(&self) -> &[u32] {
        &self.guesses
    }

    /// Whether guess number `index` was made and is the token that was chosen. `tokens` are those
    /// before it. Learns also from the guess that would have been the next.
    pub fn came_true(&mut self, index: usize, token: u32, tokens: &[u32]) -> bool {
        let Some((run, place)) = self.source else { return false };
        let right = tokens[place + index] == token;
        self.rates[run].learn(right);
        right && index < self.guesses.len()
    }

    /// Takes up what was written since: every run, and the place after it.
    fn learn(&mut self, tokens: &[u32]) {
        for end in self.known..tokens.len() {
            for run in RUNS.into_iter().filter(|&run| run <= end) {
                self.after.insert(key(&tokens[end - run..end]), end);
            }
        }
        self.known = tokens.len();
    }

    fn look_up(&self, tokens: &[u32]) -> Option<(usize, usize)> {
        RUNS.into_iter().enumerate().find_map(|(index, run)| {
            let last = &tokens[tokens.len().checked_sub(run)?..];
            Some((index, *self.after.get(&key(last))?))
        })
    }
}

impl Rate {
    fn share(self) -> f64 {
        self.right / self.judged
    }

    fn learn(&mut self, right: bool) {
        self.right = self.right * MEMORY + f64::from(u8::from(right));
        self.judged = self.judged * MEMORY + 1.0;
    }
}

fn key(run: &[u32]) -> [u32; RUNS[0]] {
    let mut key = [u32::MAX; RUNS[0]];
    key[..run.len()].copy_from_slice(run);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Pass = Pass { rows: 1, tokens: 1.0 };

    fn guesses(tokens: &[u32], most: usize) -> Vec<u32> {
        let mut drafts = Drafts::new(tokens.len());
        drafts.rates = [Rate { right: 1.0, judged: 1.0 }; RUNS.len()];
        drafts.guess(tokens, most, &mut ALONE.clone());
        drafts.guesses().to_vec()
    }

    #[test]
    fn the_longest_run_wins_then_the_latest() {
        assert_eq!(guesses(&[1, 2, 3, 8, 5, 2, 3, 9, 1, 2, 3], 2), [8, 5], "three before two");
        assert_eq!(guesses(&[1, 2, 8, 1, 2, 9, 1, 2], 1), [9]);
        assert_eq!(guesses(&[1, 2, 3, 4], 5), [0; 0], "nothing stood there before");
        assert_eq!(guesses(&[7], 5), [0; 0]);
    }

    #[test]
    fn guesses_go_on_in_circles_where_the_text_does() {
        assert_eq!(guesses(&[1, 2, 3, 1, 2, 3], 7), [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!(guesses(&[4, 4, 4], 3), [4; 3]);
    }

    #[test]
    fn a_sequence_learnt_in_parts_is_known_as_a_whole() {
        let tokens = [1, 2, 3, 8, 5, 2, 3, 9, 1, 2, 3];
        let mut drafts = Drafts::new(11);
        for end in 1..=tokens.len() {
            drafts.guess(&tokens[..end], 1, &mut ALONE.clone());
        }
        assert_eq!(drafts.guesses(), [8]);
    }

    #[test]
    fn wrong_guesses_end_guessing_and_right_ones_bring_it_back() {
        let mut drafts = Drafts::new(1);
        let tokens = [1, 2, 3, 1, 2, 3];
        let made = |drafts: &mut Drafts| {
            drafts.guess(&tokens, 100, &mut ALONE.clone());
            drafts.guesses().len()
        };
        let judge = |drafts: &mut Drafts, token| {
            (0..40).filter(|_| drafts.came_true(0, token, &tokens)).count()
        };
        assert!((1..5).contains(&made(&mut drafts)));
        assert_eq!(judge(&mut drafts, 7), 0);
        assert_eq!(made(&mut drafts), 0);
        assert_eq!(judge(&mut drafts, 1), 0, "right, but they were not made");
        assert_eq!(made(&mut drafts), MOST_GUESSES);
    }

    #[test]
    fn a_full_pass_has_no_room_for_doubtful_guesses() {
        let doubtful = |rows: usize| Pass { rows, tokens: rows as f64 }.gains(0.4);
        assert!(doubtful(1));
        assert!(!doubtful(20));
        assert!(Pass { rows: 300, tokens: 2.0 }.gains(0.1), "a long prompt hides a row");
    }
}
