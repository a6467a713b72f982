//! The rules that learning a vocabulary follows, whichever way it is begun.
//!
//! They say which neighbours may become a piece and how much memory counting may take; which
//! characters and how many pieces are wanted stands with [`train`](crate::train) and
//! [`LearnOptions`](crate::LearnOptions).

use crate::error::TokenizerError;

/// How pieces are learned from counted words.
#[derive(Clone, Debug)]
pub struct LearnRules {
    /// A pair of neighbours seen less often, by the weight of the texts, becomes no piece; 0 is as 1.
    pub min_frequency: u64,
    /// No piece is longer, in characters with its `▁`: from 2 to 64.
    pub max_piece_length: usize,
    /// Whether a piece may go on over a single blank between two words.
    pub cross_space: bool,
    /// When more distinct words than this have been counted, the rarest are dropped.
    pub most_words: usize,
    /// Threads that count; what is learned does not depend on it.
    pub threads: usize,
}

/// The longest pieces that may be asked for.
const LONGEST_PIECE: usize = 64;
/// The longest words where they may hold blanks; learning writes a length in one byte.
const LONGEST_PHRASE: usize = 128;

impl Default for LearnRules {
    fn default() -> LearnRules {
        LearnRules {
            min_frequency: 2,
            max_piece_length: 16,
            cross_space: false,
            most_words: 8_000_000,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl LearnRules {
    /// The most characters that a word may have: longer ones are cut.
    pub(crate) fn longest_word(&self) -> usize {
        // A phrase has to be longer than the pieces that are found in it.
        let phrase = (4 * self.max_piece_length).min(LONGEST_PHRASE);
        if self.cross_space { phrase } else { self.max_piece_length }
    }

    /// Refuses rules that nothing can be learned by.
    ///
    /// # Errors
    /// A piece length outside its range.
    pub fn check(&self) -> Result<(), TokenizerError> {
        if !(2..=LONGEST_PIECE).contains(&self.max_piece_length) {
            let length = self.max_piece_length;
            return Err(TokenizerError::PieceLength { length, longest: LONGEST_PIECE });
        }
        Ok(())
    }
}
