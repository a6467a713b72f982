//! Adding pieces one after the other, so that each can be reached and none disturbs those before.
//!
//! A piece that no sequence of merges makes is a row of a model that is never trained. Whether a
//! piece is made depends on the whole table, so each is tried: it gets all its splits as merges,
//! ranked after everything that is there, and its own text is encoded. Because later merges have
//! later ranks, what could be reached before can still be reached. At the end every piece gets the
//! splits that pieces after it have made possible, with its own rank: SentencePiece joins any two
//! neighbours whose text is a piece, and both files must say the same.

use crate::joining::join;
use crate::merges::Merges;
use crate::symbols::{Symbols, encode_piece};
use crate::vocabulary::{TokenId, Vocabulary};

/// A vocabulary that grows.
pub struct Growing {
    /// The pieces so far.
    pub vocabulary: Vocabulary,
    /// The merges so far.
    pub merges: Merges,
    first_id: usize,
    first_merge: usize,
    first_rank: u32,
}

impl Growing {
    /// Begins with what is there.
    pub fn new(vocabulary: Vocabulary, merges: Merges) -> Growing {
        let (first_id, first_merge) = (vocabulary.len(), merges.list().len());
        let first_rank = merges.next_rank();
        Growing { vocabulary, merges, first_id, first_merge, first_rank }
    }

    fn rank_of(&self, id: TokenId) -> u32 {
        self.first_rank + id - self.first_id as u32
    }

    /// Gives each new piece all splits that there are now, and hands everything over.
    pub fn finish(mut self) -> (Vocabulary, Merges) {
        self.merges.truncate(self.first_merge);
        let new = self.first_id as TokenId..self.vocabulary.len() as TokenId;
        for id in new.clone() {
            self.merges.add_splits(&self.vocabulary, id, self.rank_of(id));
        }
        debug_assert!(all_reachable(&self.vocabulary, &self.merges, new));
        (self.vocabulary, self.merges)
    }

    /// Adds a piece unless it is there already or cannot be reached; whether it was added.
    pub fn try_add(&mut self, text: &str) -> bool {
        if self.vocabulary.id(text).is_some() {
            return false;
        }
        let merges_before = self.merges.list().len();
        let id = self.vocabulary.push(text);
        self.merges.add_splits(&self.vocabulary, id, self.rank_of(id));
        if self.reaches(text, id) {
            return true;
        }
        self.merges.truncate(merges_before);
        self.vocabulary.pop();
        false
    }

    fn reaches(&self, text: &str, id: TokenId) -> bool {
        let symbol =
            |character: char| self.vocabulary.normal_id(character.encode_utf8(&mut [0; 4]));
        let symbols: Option<Vec<TokenId>> = text.chars().map(symbol).collect();
        let Some(mut symbols) = symbols else {
            return false;
        };
        join(&mut symbols, &self.merges);
        symbols == [id]
    }
}

/// Whether each of these pieces is what its own text is encoded as.
pub fn all_reachable(
    vocabulary: &Vocabulary,
    merges: &Merges,
    mut ids: impl Iterator<Item = TokenId>,
) -> bool {
    let symbols = Symbols::new(vocabulary);
    ids.all(|id| {
        let text = &vocabulary.pieces()[id as usize].text;
        encode_piece(text, &symbols, merges) == [id]
    })
}
