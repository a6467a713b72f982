//! Pieces that are cut out of a text as they stand, before anything is merged.
//!
//! SentencePiece puts the prefix before the text and then cuts, and a blank and a `▁` are one to it.
//! Hugging Face cuts the text as it stands, then makes the space mark in each stretch between, and
//! then cuts out the pieces that are looked for in *normalized* text: before those the prefix is part
//! of what is looked for. At each place the longest piece is taken. Special pieces are found and left
//! in the text, as Hugging Face does with `encode_special_tokens`: they only hide what overlaps them.

use aho_corasick::{AhoCorasick, Input, MatchKind};

use crate::definition::{AddedPiece, Definition};
use crate::normalizer::{Normalizer, Prefix, PrefixPlace, SPACE_MARK, blank_form};
use crate::vocabulary::TokenId;

/// A part of a text.
pub enum Part<'a> {
    /// What is merged, and when a `▁` is put before it.
    Text(&'a str, Prefix),
    /// A piece that was cut out.
    Piece(TokenId),
}

/// The pieces that are cut out of texts.
pub struct CutOut {
    normalizer: Normalizer,
    normalizes: bool,
    in_text: Search,
    in_normalized: Search,
}

impl CutOut {
    /// Derives it from a definition.
    pub fn new(definition: &Definition) -> CutOut {
        let added = definition.added_pieces();
        let cuts_anything = added.iter().any(|piece| !piece.is_special);
        // SentencePiece looks for pieces where every blank is a `▁` already.
        let is_found = |piece: &&AddedPiece| {
            let text = definition.vocabulary.text(piece.id).unwrap_or_default();
            definition.normalizer.place != PrefixPlace::Text || !text.contains(' ')
        };
        let search = |in_normalized: bool| {
            let pieces =
                added.iter().filter(|piece| cuts_anything && piece.in_normalized == in_normalized);
            Search::new(
                pieces
                    .filter(is_found)
                    .map(|&piece| Wanted { text: text_of(&piece, definition), piece }),
            )
        };
        CutOut {
            normalizer: definition.normalizer,
            normalizes: definition.normalizes(),
            in_text: search(false),
            in_normalized: search(true),
        }
    }

    /// Whether no text will ever be cut.
    pub fn is_idle(&self) -> bool {
        self.in_text.is_empty() && self.in_normalized.is_empty()
    }

    /// Hands over the parts of a text, from left to right.
    pub fn cut(&self, text: &str, mut each: impl FnMut(Part<'_>)) {
        if self.normalizer.place == PrefixPlace::Text {
            let text = blank_form(text);
            let blank = if self.normalizer.prefix.applies(&text) { " " } else { "" };
            return self
                .in_text
                .cut(&[blank, &text].concat(), |found| each(found.part(Prefix::Never)));
        }
        self.in_text.cut(text, |found| match found {
            Found::Text(start, text) => self.cut_normalized(start, text, &mut each),
            Found::Piece(id) => each(Part::Piece(id)),
        });
    }

    /// Cuts a stretch that begins at `start` of the text once more.
    fn cut_normalized(&self, start: usize, text: &str, each: &mut impl FnMut(Part<'_>)) {
        let Normalizer { prefix, place } = self.normalizer;
        let prefix_at = |at: usize| match place {
            PrefixPlace::FirstStretch if at > 0 => Prefix::Never,
            _ => prefix,
        };
        if self.in_normalized.is_empty() {
            return each(Part::Text(text, prefix_at(start)));
        }
        if !self.normalizes {
            return self.in_normalized.cut(text, |found| match found {
                Found::Text(at, text) => each(Part::Text(text, prefix_at(start + at))),
                Found::Piece(id) => each(Part::Piece(id)),
            });
        }
        let text = normalized(text, prefix);
        self.in_normalized.cut(&text, |found| each(found.part(Prefix::Never)));
    }
}

/// A text as the normalizers `Prepend` (if there is a prefix) and `Replace` make it.
fn normalized(text: &str, prefix: Prefix) -> String {
    let mark = if prefix == Prefix::Never { "" } else { "▁" };
    [mark, &text.replace(' ', SPACE_MARK.encode_utf8(&mut [0; 4]))].concat()
}

/// What is looked for in a text where a piece is meant, and what decoding gives back.
pub fn text_of(piece: &AddedPiece, definition: &Definition) -> String {
    let text = definition.vocabulary.text(piece.id).unwrap_or_default();
    let Normalizer { prefix, place } = definition.normalizer;
    match place {
        PrefixPlace::Text => blank_form(text).into_owned(),
        _ if definition.finds_normalized(piece) => normalized(text, prefix),
        _ => text.to_owned(),
    }
}

struct Wanted {
    text: String,
    piece: AddedPiece,
}

enum Found<'a> {
    /// What lies between, and where it begins.
    Text(usize, &'a str),
    Piece(TokenId),
}

impl<'a> Found<'a> {
    fn part(self, prefix: Prefix) -> Part<'a> {
        match self {
            Found::Text(_, text) => Part::Text(text, prefix),
            Found::Piece(id) => Part::Piece(id),
        }
    }
}

/// Texts that are looked for, all in one pass (Aho and Corasick 1975).
struct Search {
    all: Vec<Wanted>,
    automaton: AhoCorasick,
}

impl Search {
    fn new(all: impl Iterator<Item = Wanted>) -> Search {
        let all: Vec<Wanted> = all.filter(|wanted| !wanted.text.is_empty()).collect();
        let texts = all.iter().map(|wanted| &wanted.text);
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts);
        let automaton = automaton.expect("a vocabulary is smaller than the limits of an automaton");
        Search { all, automaton }
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The first place at or after `from` where something stands, and the longest that does.
    fn find(&self, text: &str, from: usize) -> Option<(usize, &Wanted)> {
        if self.is_empty() {
            return None;
        }
        let found = self.automaton.find(Input::new(text).range(from..))?;
        Some((found.start(), &self.all[found.pattern().as_usize()]))
    }

    fn cut(&self, text: &str, mut each: impl FnMut(Found<'_>)) {
        let (mut done, mut at) = (0, 0);
        while let Some((mut start, Wanted { text: found, piece })) = self.find(text, at) {
            at = start + found.len();
            if piece.is_special {
                continue;
            }
            if piece.takes_blanks_before {
                let before = text.get(done..start).unwrap_or_default();
                start = done + before.trim_end().len();
            }
            let mut end = at;
            if piece.takes_blanks_after {
                // Not from `at`: blanks that went with the piece before are not looked through again.
                end = text.len() - text[at.max(done)..].trim_start().len();
            }
            // Nothing may be left of a piece that takes blanks, where all went with the one before.
            if start >= end {
                continue;
            }
            if done < start {
                each(Found::Text(done, &text[done..start]));
            }
            each(Found::Piece(piece.id));
            done = end;
        }
        if done < text.len() {
            each(Found::Text(done, &text[done..]));
        }
    }
}
