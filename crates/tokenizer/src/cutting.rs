//! Cutting user-defined pieces out of a text before anything is encoded.
//!
//! All pieces are looked for in one pass (Aho and Corasick 1975), at each place the longest. Texts
//! and pieces must be in the same form; this file asks nothing about blanks.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::vocabulary::TokenId;

/// The pieces to cut out.
pub struct Cutter {
    automaton: AhoCorasick,
    ids: Vec<TokenId>,
}

/// A part of a text.
pub enum Part<'a> {
    /// To be encoded; it may be empty, and begins at this byte.
    Text(&'a str, usize),
    /// One of the pieces.
    Piece(TokenId),
}

impl Cutter {
    /// Prepares to look for these pieces; `None` if there are none.
    pub fn new(pieces: &[(String, TokenId)]) -> Option<Cutter> {
        if pieces.is_empty() {
            return None;
        }
        let texts = pieces.iter().map(|(text, _)| text);
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts);
        let automaton = automaton.expect("a vocabulary is smaller than the limits of an automaton");
        Some(Cutter { automaton, ids: pieces.iter().map(|&(_, id)| id).collect() })
    }

    /// Hands over the parts of a text from left to right.
    pub fn cut<'a>(&self, text: &'a str, mut part: impl FnMut(Part<'a>)) {
        let mut start = 0;
        for found in self.automaton.find_iter(text) {
            part(Part::Text(&text[start..found.start()], start));
            part(Part::Piece(self.ids[found.pattern().as_usize()]));
            start = found.end();
        }
        part(Part::Text(&text[start..], start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_each_place_the_longest_piece_is_cut_out() {
        let pieces = [("<a>", 1), ("<a><b>", 2), ("b>", 3)];
        let cutter = Cutter::new(&pieces.map(|(text, id)| (text.to_owned(), id)));
        let mut parts = Vec::new();
        cutter.expect("pieces").cut("x<a><a><b>b>", |part| match part {
            Part::Text("", _) => {}
            Part::Text(text, start) => parts.push(format!("{text} at {start}")),
            Part::Piece(id) => parts.push(id.to_string()),
        });
        assert_eq!(parts, ["x at 0", "1", "2", "3"]);
    }
}
