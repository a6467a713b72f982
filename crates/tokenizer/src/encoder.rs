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
use crate::cutting::{Cutter, Part};
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
    junctions: Junctions,
    joining: Joining,
    cutter: Option<Cutter>,
    /// One space per thread that is encoding right now; taken out and put back.
    spaces: Mutex<Vec<Space>>,
}

/// How a stretch that is not remembered becomes ids.
enum Joining {
    Chains(Chains),
    /// By definition, for merges that [`Chains`] does not cover.
    Loop(Symbols),
}

/// What one thread needs while it encodes.
pub struct Space {
    /// The text in blank form between [`BEFORE`] and [`AFTER`] zeros.
    text: Vec<u8>,
    memory: Memory,
    chain: ChainSpace,
}

/// The room for a longer text is given back after it.
const LARGEST_KEPT_TEXT: usize = 1 << 20;
/// Zeros before a text, so that there is a byte before each.
const BEFORE: usize = 1;
/// Zeros after a text, so that a whole block may be read from any place of it.
const AFTER: usize = BLOCK;

impl Encoder {
    /// Derives what encoding needs.
    pub fn new(definition: &Definition) -> Encoder {
        let Definition { vocabulary, merges, .. } = definition;
        let joining = match Chains::new(vocabulary, merges) {
            Some(chains) => Joining::Chains(chains),
            None => Joining::Loop(Symbols::new(vocabulary)),
        };
        Encoder {
            junctions: Junctions::new(vocabulary, merges),
            joining,
            cutter: Cutter::new(&user_defined(definition)),
            spaces: Mutex::default(),
        }
    }

    /// Appends the ids of a text.
    pub fn encode(&self, definition: &Definition, text: &str, ids: &mut Vec<TokenId>) {
        self.with_space(|space| self.encode_in(space, definition, text, ids));
    }

    /// Does some work with a space that remembers what was encoded before.
    pub fn with_space<T>(&self, work: impl FnOnce(&mut Space) -> T) -> T {
        let known = self.spaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut space = known.unwrap_or_else(Space::new);
        let done = work(&mut space);
        space.text.shrink_to(LARGEST_KEPT_TEXT);
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).push(space);
        done
    }

    /// Appends the ids of a text, with the given space.
    pub fn encode_in(
        &self,
        space: &mut Space,
        definition: &Definition,
        text: &str,
        ids: &mut Vec<TokenId>,
    ) {
        let mut pass = Pass { encoder: self, merges: &definition.merges, space, ids };
        let Normalizer { prefix, place } = definition.normalizer;
        let Some(cutter) = &self.cutter else {
            return pass.text(text, prefix);
        };
        match place {
            PrefixPlace::Text => {
                let text = blank_form(text);
                let blank = if prefix.applies(&text) { " " } else { "" };
                pass.cut_text(cutter, &[blank, &text].concat(), [Prefix::Never; 2]);
            }
            PrefixPlace::FirstStretch => pass.cut_text(cutter, text, [prefix, Prefix::Never]),
            PrefixPlace::EachStretch => pass.cut_text(cutter, text, [prefix; 2]),
        }
    }

    /// Appends the ids of a part of a text, begun with the prefix. Pieces are not cut out of it.
    pub fn encode_part(
        &self,
        space: &mut Space,
        definition: &Definition,
        (text, prefix): (&str, Prefix),
        ids: &mut Vec<TokenId>,
    ) {
        Pass { encoder: self, merges: &definition.merges, space, ids }.text(text, prefix);
    }

    /// The first place after `from` where a text may be divided, each half to be encoded by itself
    /// with the same ids; `None` if there is none, or if there are pieces to cut out.
    pub fn next_division(&self, text: &str, from: usize) -> Option<usize> {
        if self.cutter.is_some() {
            return None;
        }
        self.junctions.next_cut(text.as_bytes(), from)
    }
}

/// User-defined pieces in the form in which they are looked for.
fn user_defined(definition: &Definition) -> Vec<(String, TokenId)> {
    let pieces = definition.vocabulary.pieces().iter().zip(0..);
    let pieces = pieces.filter(|(piece, _)| piece.kind == PieceKind::UserDefined);
    let pieces = pieces.map(|(piece, id)| match definition.normalizer.place {
        PrefixPlace::Text => (blank_form(&piece.text).into_owned(), id),
        PrefixPlace::FirstStretch | PrefixPlace::EachStretch => (piece.text.to_string(), id),
    });
    pieces.collect()
}

/// Stretches that are looked up together.
const TOGETHER: usize = 32;

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
    /// Cuts out user-defined pieces and encodes what lies between: what begins the text with the
    /// first prefix, all later stretches with the second.
    fn cut_text(&mut self, cutter: &Cutter, text: &str, [first, later]: [Prefix; 2]) {
        cutter.cut(text, |part| match part {
            Part::Text(text, 0) => self.text(text, first),
            Part::Text(text, _) => self.text(text, later),
            Part::Piece(id) => self.ids.push(id),
        });
    }

    /// Encodes a text that holds nothing to cut out.
    fn text(&mut self, text: &str, prefix: Prefix) {
        self.space.lay_out(text, prefix);
        let len = self.space.text.len() - BEFORE - AFTER;
        let mut queue = [Waiting::default(); TOGETHER];
        let (mut start, mut waiting) = (0, 0);
        for block in (0..len).step_by(BLOCK) {
            let mut cuts = self.cuts(block, len);
            while cuts != 0 {
                let end = block + cuts.trailing_zeros() as usize;
                queue[waiting] = self.wait(start, end);
                (start, waiting) = (end, waiting + 1);
                cuts &= cuts - 1;
                if waiting == TOGETHER {
                    self.stretches(&queue);
                    waiting = 0;
                }
            }
        }
        self.stretches(&queue[..waiting]);
        if start < len {
            self.stretches(&[self.wait(start, len)]);
        }
    }

    /// Where the text may be cut in a block, but for its very beginning and end.
    #[inline]
    fn cuts(&self, block: usize, len: usize) -> u64 {
        let bytes = self.space.text[block..].first_chunk().expect("zeros follow the text");
        let cuts = self.encoder.junctions.cuts(bytes);
        let cuts = if block == 0 { cuts & !1 } else { cuts };
        if len - block < BLOCK { cuts & ((1 << (len - block)) - 1) } else { cuts }
    }

    #[inline]
    fn wait(&self, start: usize, end: usize) -> Waiting {
        let bytes = self.space.text[start + BEFORE..].first_chunk().expect("zeros follow the text");
        Waiting { start, end, key: Key::new(bytes, end - start) }
    }

    fn stretches(&mut self, waiting: &[Waiting]) {
        self.space.memory.approach(waiting.iter().map(|waiting| &waiting.key));
        waiting.iter().for_each(|waiting| self.stretch(waiting));
    }

    #[inline]
    fn stretch(&mut self, &Waiting { start, end, ref key }: &Waiting) {
        if end - start > LONGEST_KEPT {
            return self.join([start, end]);
        }
        if !self.space.memory.recall(key, self.ids) {
            let before = self.ids.len();
            self.join([start, end]);
            self.space.memory.keep(key, &self.ids[before..]);
        }
    }

    fn join(&mut self, range: [usize; 2]) {
        let Space { text, chain, .. } = &mut *self.space;
        let range = range.map(|place| place + BEFORE);
        match &self.encoder.joining {
            Joining::Chains(chains) => chains.encode(text, range, self.merges, chain, self.ids),
            Joining::Loop(symbols) => {
                let text = String::from_utf8_lossy(&text[range[0]..range[1]]);
                let mut joined = Vec::new();
                text.chars().for_each(|c| symbols.push(marked(c), &mut joined));
                join(&mut joined, self.merges);
                self.ids.append(&mut joined);
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
