//! Text to ids: exactly what the tokenizer's file means, for every text.
//!
//! ```text
//! text ── added pieces cut out, blank form ── stretches ── memory? ── ids
//!                                                       └── characters ── join ── ids
//! ```
//! Literal `<s>`, `</s>` or `<unk>` in a text are text, as in SentencePiece; Hugging Face would
//! turn them into the pieces that steer a model.

use std::sync::{Mutex, PoisonError};

use crate::chain::{ChainSpace, Chains};
use crate::cut_out::{CutOut, Part};
use crate::definition::Definition;
use crate::joining::join;
use crate::junctions::Junctions;
use crate::memory::{Key, LONGEST_KEPT, Memory};
use crate::merges::Merges;
use crate::normalizer::{Prefix, marked};
use crate::page::Page;
use crate::symbols::Symbols;
use crate::vocabulary::TokenId;

/// What is derived from a definition once, so that encoding is fast.
pub struct Encoder {
    junctions: Junctions,
    joining: Joining,
    cut_out: CutOut,
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
    page: Page,
    memory: Memory,
    chain: ChainSpace,
    /// How many ids there were when each text of the page began.
    begins: Vec<usize>,
}

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
            cut_out: CutOut::new(definition),
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
        space.page.shrink();
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).push(space);
        done
    }

    /// Appends the ids of a text, with the given space.
    fn encode_in(
        &self,
        space: &mut Space,
        definition: &Definition,
        text: &str,
        ids: &mut Vec<TokenId>,
    ) {
        let mut pass = Pass { encoder: self, merges: &definition.merges, space, ids };
        if !self.cuts_out() {
            return pass.text(text, definition.normalizer.prefix);
        }
        self.cut_out.cut(text, |part| match part {
            Part::Text(text, prefix) => pass.text(text, prefix),
            Part::Piece(id) => pass.ids.push(id),
        });
    }

    /// Appends the ids of texts one after the other, and where those of each end.
    pub fn encode_whole<'a>(
        &self,
        space: &mut Space,
        definition: &Definition,
        texts: impl Iterator<Item = &'a str>,
        (ids, ends): (&mut Vec<TokenId>, &mut Vec<usize>),
    ) {
        for text in texts {
            self.encode_in(space, definition, text, ids);
            ends.push(ids.len());
        }
    }

    /// The same of texts or of parts of texts, each begun with its prefix. Nothing is cut out.
    pub fn encode_parts<'a>(
        &self,
        space: &mut Space,
        definition: &Definition,
        parts: impl Iterator<Item = (&'a str, Prefix)> + Clone,
        (ids, ends): (&mut Vec<TokenId>, &mut Vec<usize>),
    ) {
        Pass { encoder: self, merges: &definition.merges, space, ids }.texts(parts);
        if let Some((_, later)) = space.begins.split_first() {
            ends.extend_from_slice(later);
            ends.push(ids.len());
        }
    }

    /// Whether pieces are cut out of texts before they are encoded.
    pub fn cuts_out(&self) -> bool {
        !self.cut_out.is_idle()
    }

    /// The first place after `from` where a text may be divided, each half to be encoded by itself
    /// with the same ids; `None` if there is none, or if there are pieces to cut out.
    pub fn next_division(&self, text: &str, from: usize) -> Option<usize> {
        if self.cuts_out() {
            return None;
        }
        self.junctions.next_cut(text.as_bytes(), from)
    }
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
    /// Encodes a text that holds nothing to cut out.
    fn text(&mut self, text: &str, prefix: Prefix) {
        self.texts(std::iter::once((text, prefix)));
    }

    /// Encodes texts one after the other.
    fn texts<'a>(&mut self, texts: impl Iterator<Item = (&'a str, Prefix)> + Clone) {
        let mut page = std::mem::take(&mut self.space.page);
        page.lay_out(texts);
        self.space.begins.clear();
        let mut queue = [Waiting::default(); TOGETHER];
        let (mut start, mut waiting) = (0, 0);
        page.for_each_cut(&self.encoder.junctions, |end| {
            queue[waiting] = Waiting::new(&page, start, end);
            (start, waiting) = (end, waiting + 1);
            if waiting == TOGETHER {
                self.stretches(&page, &queue);
                waiting = 0;
            }
        });
        self.stretches(&page, &queue[..waiting]);
        if start < page.len() {
            self.stretches(&page, &[Waiting::new(&page, start, page.len())]);
        }
        self.space.begins.resize(page.starts().len(), self.ids.len());
        self.space.page = page;
    }

    fn stretches(&mut self, page: &Page, waiting: &[Waiting]) {
        self.space.memory.approach(waiting.iter().map(|waiting| &waiting.key));
        for stretch in waiting {
            while page.starts().get(self.space.begins.len()) == Some(&stretch.start) {
                self.space.begins.push(self.ids.len());
            }
            self.stretch(page, stretch);
        }
    }

    #[inline]
    fn stretch(&mut self, page: &Page, &Waiting { start, end, ref key }: &Waiting) {
        if end - start > LONGEST_KEPT {
            return self.join(page, start, end);
        }
        if !self.space.memory.recall(key, self.ids) {
            let before = self.ids.len();
            self.join(page, start, end);
            self.space.memory.keep(key, &self.ids[before..]);
        }
    }

    fn join(&mut self, page: &Page, start: usize, end: usize) {
        let (text, len) = (page.from(start), end - start);
        match &self.encoder.joining {
            Joining::Chains(chains) => {
                chains.encode(text, len, self.merges, &mut self.space.chain, self.ids);
            }
            Joining::Loop(symbols) => {
                let text = String::from_utf8_lossy(&text[..len]);
                let mut joined = Vec::new();
                text.chars().for_each(|c| symbols.push(marked(c), &mut joined));
                join(&mut joined, self.merges);
                self.ids.append(&mut joined);
            }
        }
    }
}

impl Waiting {
    #[inline]
    fn new(page: &Page, start: usize, end: usize) -> Waiting {
        let bytes = page.from(start).first_chunk().expect("zeros follow the texts");
        Waiting { start, end, key: Key::new(bytes, end - start) }
    }
}

impl Space {
    fn new() -> Space {
        Space {
            page: Page::default(),
            memory: Memory::new(),
            chain: ChainSpace::default(),
            begins: Vec::new(),
        }
    }
}
