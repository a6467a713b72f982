//! A memory for which piece fits after which: a table of bounded size.
//!
//! A run that never came before is still made of neighbours that did. What is asked is the left
//! piece and the longest one that begins after it; the answer is the longest of that one and those
//! it begins with that fits. What comes later takes the place of what was kept before.

use crate::trie::PIECE_BITS;
use crate::vocabulary::TokenId;

const PLACE_BITS: u32 = 16;
const PIECE: u64 = (1 << PIECE_BITS) - 1;
/// Set where something is kept.
const KEPT: u64 = 1 << 63;

/// The table: a question, and below it its answer.
pub struct Answers {
    places: Vec<u64>,
}

impl Default for Answers {
    /// A table that knows nothing.
    fn default() -> Answers {
        Answers { places: vec![0; 1 << PLACE_BITS] }
    }
}

/// A left piece and the longest one that begins after it.
#[derive(Clone, Copy)]
pub struct Question(u64);

impl Question {
    /// Asks about two pieces, each of at most [`PIECE_BITS`].
    #[inline]
    pub fn new(left: TokenId, longest: TokenId) -> Question {
        let asked = u64::from(left) << PIECE_BITS | u64::from(longest);
        Question(KEPT | asked << PIECE_BITS)
    }

    #[inline]
    fn place(self) -> usize {
        (self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACE_BITS)) as usize
    }
}

impl Answers {
    /// The answer to a question, if it is kept.
    #[inline]
    pub fn recall(&self, question: Question) -> Option<TokenId> {
        let kept = self.places[question.place()];
        (kept & !PIECE == question.0).then_some((kept & PIECE) as TokenId)
    }

    /// Keeps an answer.
    #[inline]
    pub fn keep(&mut self, question: Question, answer: TokenId) {
        self.places[question.place()] = question.0 | u64::from(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_gets_the_answer_to_another() {
        let mut answers = Answers::default();
        let pieces = [0, 1, 2, 31_999, 46_335, PIECE as TokenId];
        let questions = (0..40_000).flat_map(|left| pieces.map(|longest| (left, longest)));
        let answer = |left: TokenId, longest: TokenId| (left ^ longest.rotate_left(7)) & 0xfffff;
        assert_eq!(answers.recall(Question::new(0, 0)), None);
        for (left, longest) in questions.clone() {
            answers.keep(Question::new(left, longest), answer(left, longest));
        }
        let recalled = questions.filter_map(|(left, longest)| {
            let kept = answers.recall(Question::new(left, longest))?;
            assert_eq!(kept, answer(left, longest), "{left} {longest}");
            Some(kept)
        });
        // Most places hold something, and nothing holds more than its place.
        assert!((1 << (PLACE_BITS - 1)..=1 << PLACE_BITS).contains(&recalled.count()));
    }
}
