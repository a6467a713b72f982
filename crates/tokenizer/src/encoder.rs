//! Text to ids: exactly what the tokenizer's file means, for every text.
//!
//! ```text
//! text ── added pieces cut out, blank form ── stretches ── memory? ── ids
//!                                                       └── characters ── join ── ids
//! ```
//! SentencePiece puts the prefix before the text and then cuts out added pieces, in which a blank
//! and a `▁` are one; Hugging Face cuts the text as it stands and puts the prefix before stretches.
//! Literal `<s>`, `</s>` or `<unk>` in a text are text, as in SentencePiece; Hugging Face would
//! turn them into the pieces that steer a model.

use std::sync::{Mutex, PoisonError};

use crate::chain::{ChainSpace, Chains};
use crate::definition::Definition;
use crate::joining::join;
use crate::junctions::{BLOCK, Junctions};
use crate::memory::{Key, LONGEST_KEPT, Memory};
use crate::merges::Merges;
use crate::normalizer::{Normalizer, Prefix, PrefixPlace, blank_form, marked};
pub use crate::symbols::{Symbols, encode_piece};
use crate::vocabulary::{PieceKind, TokenId};

/// What is derived from a definition once, so that encoding is fast.
pub struct Encoder {
    symbols: Symbols,
    junctions: Junctions,
    chains: Option<Chains>,
    /// User-defined pieces as they are looked for, the longest first.
    user_defined: Vec<(String, TokenId)>,
    /// One space per thread that is encoding right now; taken out and put back.
    spaces: Mutex<Vec<Space>>,
}

/// What one thread needs while it encodes.
struct Space {
    /// The text in blank form between [`BEFORE`] and [`AFTER`] zeros.
    text: Vec<u8>,
    memory: Memory,
    chain: ChainSpace,
}

/// Zeros before a text, so that there is a byte before each.
const BEFORE: usize = 1;
/// Zeros after a text, so that a whole block may be read from any place of it.
const AFTER: usize = BLOCK;

impl Encoder {
    /// Derives what encoding needs.
    pub fn new(definition: &Definition) -> Encoder {
        let vocabulary = &definition.vocabulary;
        let pieces = vocabulary.pieces().iter().zip(0..);
        let mut user_defined: Vec<(String, TokenId)> = pieces
            .filter(|(piece, _)| piece.kind == PieceKind::UserDefined)
            .map(|(piece, id)| match definition.normalizer.place {
                PrefixPlace::Text => (blank_form(&piece.text).into_owned(), id),
                PrefixPlace::FirstStretch | PrefixPlace::EachStretch => {
                    (piece.text.to_string(), id)
                }
            })
            .collect();
        user_defined.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Encoder {
            symbols: Symbols::new(vocabulary),
            junctions: Junctions::new(vocabulary, &definition.merges),
            chains: Chains::new(vocabulary, &definition.merges),
            user_defined,
            spaces: Mutex::default(),
        }
    }

    /// Appends the ids of a text.
    pub fn encode(&self, definition: &Definition, text: &str, ids: &mut Vec<TokenId>) {
        if text.is_empty() {
            return;
        }
        let mut space = self.take();
        let mut pass = Pass { encoder: self, merges: &definition.merges, space: &mut space, ids };
        let Normalizer { prefix, place } = definition.normalizer;
        match place {
            _ if self.user_defined.is_empty() => pass.text(text, prefix),
            PrefixPlace::Text => {
                let text = blank_form(text);
                let blank = if prefix.applies(&text) { " " } else { "" };
                pass.text_with_user_defined(&[blank, &text].concat(), [Prefix::Never; 2]);
            }
            PrefixPlace::FirstStretch => pass.text_with_user_defined(text, [prefix, Prefix::Never]),
            PrefixPlace::EachStretch => pass.text_with_user_defined(text, [prefix; 2]),
        }
        self.put_back(space);
    }

    fn take(&self) -> Space {
        let known = self.spaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        known.unwrap_or_else(Space::new)
    }

    fn put_back(&self, space: Space) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).push(space);
    }

    fn user_defined_at(&self, text: &str) -> Option<&(String, TokenId)> {
        self.user_defined.iter().find(|(piece, _)| text.starts_with(piece.as_str()))
    }
}

/// Stretches that wait for their place of the memory to come near.
const AHEAD: usize = 8;

#[derive(Clone, Copy, Default)]
struct Waiting {
    start: usize,
    end: usize,
    key: Key,
}

/// One text on its way through the encoder.
struct Pass<'a> {
    encoder: &'a Encoder,
    merges: &'a Merges,
    space: &'a mut Space,
    ids: &'a mut Vec<TokenId>,
}

impl Pass<'_> {
    /// Cuts out user-defined pieces, at each place the longest, and encodes what lies between:
    /// what begins the text with the first prefix, all later stretches with the second.
    fn text_with_user_defined(&mut self, text: &str, [first, later]: [Prefix; 2]) {
        let prefix = |start: usize| if start == 0 { first } else { later };
        let (mut start, mut at) = (0, 0);
        while let Some(character) = text[at..].chars().next() {
            match self.encoder.user_defined_at(&text[at..]) {
                Some((piece, id)) => {
                    self.text(&text[start..at], prefix(start));
                    self.ids.push(*id);
                    at += piece.len();
                    start = at;
                }
                None => at += character.len_utf8(),
            }
        }
        self.text(&text[start..], prefix(start));
    }

    /// Encodes a text that holds nothing to cut out.
    fn text(&mut self, text: &str, prefix: Prefix) {
        self.space.lay_out(text, prefix);
        let len = self.space.text.len() - BEFORE - AFTER;
        let mut queue = [Waiting::default(); AHEAD];
        let (mut start, mut waiting) = (0, 0);
        for block in (0..len).step_by(BLOCK) {
            let bytes = self.space.text[block..].first_chunk().expect("zeros follow");
            let mut cuts = self.encoder.junctions.cuts(bytes);
            if block == 0 {
                cuts &= !1;
            }
            if len - block < BLOCK {
                cuts &= (1 << (len - block)) - 1;
            }
            while cuts != 0 {
                let end = block + cuts.trailing_zeros() as usize;
                let place = waiting % AHEAD;
                if waiting >= AHEAD {
                    self.stretch(&queue[place]);
                }
                queue[place] = self.wait(start, end);
                waiting += 1;
                start = end;
                cuts &= cuts - 1;
            }
        }
        for turn in waiting.saturating_sub(AHEAD)..waiting {
            self.stretch(&queue[turn % AHEAD]);
        }
        let last = self.wait(start, len);
        self.stretch(&last);
    }

    #[inline]
    fn wait(&self, start: usize, end: usize) -> Waiting {
        let len = end - start;
        let bytes = self.space.text[start + BEFORE..].first_chunk().expect("zeros follow");
        let key = Key::new(bytes, len);
        self.space.memory.approach(&key);
        Waiting { start, end, key }
    }

    #[inline]
    fn stretch(&mut self, waiting: &Waiting) {
        let &Waiting { start, end, ref key } = waiting;
        if end - start > LONGEST_KEPT {
            return self.join(start, end);
        }
        if self.space.memory.recall(key, self.ids) {
            return;
        }
        let before = self.ids.len();
        self.join(start, end);
        self.space.memory.keep(key, &self.ids[before..]);
    }

    fn join(&mut self, start: usize, end: usize) {
        let Space { text, chain, .. } = &mut *self.space;
        match &self.encoder.chains {
            Some(chains) => {
                chains.encode(text, [start + BEFORE, end + BEFORE], self.merges, chain, self.ids)
            }
            None => {
                let text = std::str::from_utf8(&text[start + BEFORE..end + BEFORE])
                    .expect("cut between characters");
                let mut symbols = Vec::new();
                text.chars().for_each(|c| self.encoder.symbols.push(marked(c), &mut symbols));
                join(&mut symbols, self.merges);
                self.ids.append(&mut symbols);
            }
        }
    }
}

impl Space {
    fn new() -> Space {
        Space { text: Vec::new(), memory: Memory::new(), chain: ChainSpace::default() }
    }

    /// Writes down a text in blank form, with its prefix.
    fn lay_out(&mut self, text: &str, prefix: Prefix) {
        let text = blank_form(text);
        self.text.clear();
        self.text.resize(BEFORE, 0);
        if prefix.applies(&text) {
            self.text.push(b' ');
        }
        self.text.extend_from_slice(text.as_bytes());
        self.text.resize(self.text.len() + AFTER, 0);
    }
}
