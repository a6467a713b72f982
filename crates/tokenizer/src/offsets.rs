//! Which bytes of a text each of its ids stands for.
//!
//! Nothing is recorded while encoding: what an id is written as tells how much of the text it
//! takes, so a walk along both finds the places afterwards.

use std::ops::Range;

use crate::cut_out::text_of;
use crate::definition::{AddedPiece, Definition};
use crate::normalizer::{MARK, PrefixPlace, blank_form};
use crate::vocabulary::{PieceKind, TokenId};

/// The range of bytes of `text` that each of `ids`, its own, stands for.
///
/// A mark that was put before the text takes no bytes; a byte piece takes one.
pub fn offsets(definition: &Definition, text: &str, ids: &[TokenId]) -> Vec<Range<usize>> {
    let mut walk = Walk { text, at: 0, is_prefixed: false, mark_bytes: 0 };
    let added = definition.added_pieces();
    let mut after_piece = false;
    let mut ranges = Vec::with_capacity(ids.len());
    for (place, &id) in ids.iter().enumerate() {
        let piece = &definition.vocabulary.pieces()[id as usize];
        let cut_out = added.iter().find(|added| added.id == id && !added.is_special);
        // What is cut out of normalized text stands among what the prefix was put before.
        let ends_stretch = cut_out.is_some_and(|added| !definition.finds_normalized(added));
        if place == 0 || after_piece {
            walk.is_prefixed = has_prefix(definition, &text[walk.at..], place == 0, ends_stretch);
        }
        ranges.push(match (piece.kind, cut_out) {
            (PieceKind::Byte, _) => walk.take_byte(),
            (_, Some(added)) => walk.take_cut_out(added, definition),
            _ => walk.take(&piece.text),
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
    may_stand && definition.normalizer.prefix.applies(&blank_form(rest))
}

/// A place in a text on the way along its ids.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    /// A mark that is not in the text comes next.
    is_prefixed: bool,
    /// How many bytes of a mark have been taken; only where the mark has no piece of its own.
    mark_bytes: usize,
}

impl Walk<'_> {
    /// A piece that was cut out, with the blanks that went with it. In normalized text a blank is a
    /// mark, and goes with nothing.
    fn take_cut_out(&mut self, piece: &AddedPiece, definition: &Definition) -> Range<usize> {
        let start = self.at;
        let goes = |character: char| {
            character.is_whitespace() && !(character == ' ' && definition.finds_normalized(piece))
        };
        if piece.takes_blanks_before {
            self.skip(goes);
        }
        self.take(&text_of(piece, definition));
        if piece.takes_blanks_after {
            self.skip(goes);
        }
        start..self.at
    }

    fn skip(&mut self, goes: impl Fn(char) -> bool) {
        self.at = self.text.len() - self.text[self.at..].trim_start_matches(goes).len();
    }

    fn take(&mut self, piece: &str) -> Range<usize> {
        let start = self.at;
        for _ in piece.chars() {
            if !std::mem::take(&mut self.is_prefixed) {
                self.at += self.next_len();
            }
        }
        start..self.at
    }

    fn take_byte(&mut self) -> Range<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        if !self.is_prefixed && !rest.starts_with(b" ") && !rest.starts_with(&MARK) {
            self.at += 1;
            return self.at - 1..self.at;
        }
        let len = if self.is_prefixed { 0 } else { self.next_len() };
        let range = self.at..self.at + len;
        self.mark_bytes += 1;
        if self.mark_bytes == MARK.len() {
            *self = Walk { at: range.end, is_prefixed: false, mark_bytes: 0, ..*self };
        }
        range
    }

    fn next_len(&self) -> usize {
        self.text[self.at..].chars().next().map_or(0, char::len_utf8)
    }
}
