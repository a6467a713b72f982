//! Which bytes of a text each of its ids stands for.
//!
//! Nothing is recorded while encoding: what an id is written as tells how much of the text it
//! takes, so a walk along both finds the places afterwards.

use std::ops::Range;

use crate::cut_out::text_of;
use crate::definition::{AddedPiece, Definition};
use crate::normalizer::{MARK, PrefixPlace, marked};
use crate::vocabulary::{PieceKind, TokenId, byte_of_text};

/// Bytes of the text of a byte's piece, `<0xEB>`.
const BYTE_LEN: usize = 6;

/// The range of bytes of `text` that each of `ids`, its own, stands for.
///
/// A mark that was put before the text takes no bytes; a byte piece takes one. Blanks that go with two
/// pieces are in the ranges of both.
pub fn offsets(definition: &Definition, text: &str, ids: &[TokenId]) -> Vec<Range<usize>> {
    let mut walk = Walk { text, ..Walk::default() };
    let mut after_piece = false;
    let mut ranges = Vec::with_capacity(ids.len());
    for (place, &id) in ids.iter().enumerate() {
        let piece = &definition.vocabulary.pieces()[id as usize];
        let cut_out = definition.cut_out(id);
        // What is cut out of normalized text stands among what the prefix was put before.
        let ends_stretch = cut_out.is_some_and(|added| !definition.finds_normalized(&added));
        if place == 0 || after_piece {
            walk.is_prefixed = has_prefix(definition, walk.rest(), place == 0, ends_stretch);
        }
        ranges.push(match cut_out {
            Some(added) => walk.take_cut_out(&added, definition),
            None if piece.kind == PieceKind::Byte => walk.take_byte(),
            None => walk.take(&piece.text),
        });
        after_piece = ends_stretch;
    }
    ranges
}

/// Whether a mark was put before what begins here: at the start of the text, or after a piece that
/// was cut out.
fn has_prefix(definition: &Definition, rest: &str, is_start: bool, is_cut_out: bool) -> bool {
    let may_stand = match definition.normalizer.place {
        PrefixPlace::Text => is_start,
        PrefixPlace::FirstStretch => is_start && !is_cut_out,
        PrefixPlace::EachStretch => !is_cut_out,
    };
    may_stand && definition.normalizer.prefix.applies(rest)
}

/// A place in a text on the way along its ids.
#[derive(Default)]
struct Walk<'a> {
    text: &'a str,
    at: usize,
    /// A mark that is not in the text comes next.
    is_prefixed: bool,
    /// How many bytes of a mark have been taken; only where the mark has no piece of its own.
    mark_bytes: usize,
    /// How many bytes of blanks went with the piece before, after it.
    blanks: usize,
}

impl<'a> Walk<'a> {
    /// A piece that was cut out, with the blanks that went with it. In normalized text a blank is a
    /// mark, and goes with nothing.
    fn take_cut_out(&mut self, piece: &AddedPiece, definition: &Definition) -> Range<usize> {
        let goes = |character: char| {
            character.is_whitespace() && !(character == ' ' && definition.finds_normalized(piece))
        };
        let (text, end) = (text_of(piece, definition), self.at);
        let own = self.find(&text, |blank| piece.takes_blanks_before && goes(blank));
        let start = own.min(end);
        self.at = own;
        self.take(&text);
        if piece.takes_blanks_after {
            let own_end = self.at;
            self.at = end.max(own_end);
            self.at = self.text.len() - self.rest().trim_start_matches(goes).len();
            self.blanks = self.at - own_end;
        }
        start..self.at
    }

    /// Where a piece that was cut out begins: among the blanks that went with the piece before, here,
    /// or after blanks that go with it.
    fn find(&self, piece: &str, goes: impl Fn(char) -> bool) -> usize {
        let mut place = self.at - self.blanks;
        while let Some(next) = self.text.get(place..).and_then(|rest| rest.chars().next())
            && !self.holds(piece, place)
            && (place < self.at || goes(next))
        {
            place += next.len_utf8();
        }
        place
    }

    /// Whether a piece stands at a place, with `▁` for blanks and after the prefix.
    fn holds(&self, piece: &str, place: usize) -> bool {
        let mut text = self.text[place..].chars().map(marked);
        piece
            .chars()
            .map(marked)
            .skip(usize::from(self.is_prefixed))
            .all(|c| text.next() == Some(c))
    }

    fn take(&mut self, piece: &str) -> Range<usize> {
        let start = self.at;
        self.blanks = 0;
        let mut left = piece;
        while let Some(character) = left.chars().next() {
            // Merges may join bytes.
            if is_byte(left) && !self.rest().starts_with(character) {
                self.take_byte();
                left = &left[BYTE_LEN..];
                continue;
            }
            if !std::mem::take(&mut self.is_prefixed) {
                self.at += self.next_len();
            }
            left = &left[character.len_utf8()..];
        }
        start..self.at
    }

    fn take_byte(&mut self) -> Range<usize> {
        self.blanks = 0;
        let rest = &self.text.as_bytes()[self.at..];
        if !self.is_prefixed && !rest.starts_with(b" ") && !rest.starts_with(&MARK) {
            let start = self.at;
            self.at += usize::from(!rest.is_empty());
            return start..self.at;
        }
        let len = if self.is_prefixed { 0 } else { self.next_len() };
        let range = self.at..self.at + len;
        self.mark_bytes += 1;
        if self.mark_bytes == MARK.len() {
            *self = Walk { at: range.end, is_prefixed: false, mark_bytes: 0, ..*self };
        }
        range
    }

    /// What begins with the next whole character.
    fn rest(&self) -> &'a str {
        &self.text[self.text.ceil_char_boundary(self.at)..]
    }

    fn next_len(&self) -> usize {
        self.text.ceil_char_boundary(self.at + 1) - self.at
    }
}

/// Whether a text begins with the text of a byte's piece.
fn is_byte(text: &str) -> bool {
    text.get(..BYTE_LEN).is_some_and(|text| byte_of_text(text).is_some())
}
