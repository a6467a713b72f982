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

use rustc_hash::FxHashMap;

use crate::definition::Definition;
use crate::joining::join;
use crate::merges::Merges;
use crate::normalizer::{Normalizer, Prefix, PrefixPlace, blank_form, marked};
use crate::stretches::{Junctions, LONGEST_KEPT, StretchMemory};
use crate::vocabulary::{PieceKind, TokenId, Vocabulary};

/// What is derived from a definition once, so that encoding is fast.
pub struct Encoder {
    symbols: Symbols,
    junctions: Junctions,
    /// User-defined pieces as they are looked for, the longest first.
    user_defined: Vec<(String, TokenId)>,
    /// One memory per thread that is encoding right now; taken out and put back.
    memories: Mutex<Vec<StretchMemory>>,
}

/// The pieces that single characters start from.
pub struct Symbols {
    of_character: FxHashMap<char, TokenId>,
    of_byte: [TokenId; 256],
}

impl Symbols {
    /// Reads them from a vocabulary.
    pub fn new(vocabulary: &Vocabulary) -> Symbols {
        let pieces = vocabulary.pieces().iter().zip(0..);
        let single = pieces.filter_map(|(piece, id)| {
            let mut characters = piece.text.chars();
            let first = characters.next()?;
            (piece.kind == PieceKind::Normal && characters.next().is_none()).then_some((first, id))
        });
        Symbols { of_character: single.collect(), of_byte: *vocabulary.byte_ids() }
    }

    /// The piece of a character, if it has one of its own.
    pub fn of(&self, character: char) -> Option<TokenId> {
        self.of_character.get(&character).copied()
    }

    /// Appends the character's piece, or the pieces of its bytes.
    pub fn push(&self, character: char, symbols: &mut Vec<TokenId>) {
        match self.of(character) {
            Some(id) => symbols.push(id),
            None => {
                let mut buffer = [0; 4];
                let bytes = character.encode_utf8(&mut buffer).bytes();
                symbols.extend(bytes.map(|byte| self.of_byte[usize::from(byte)]));
            }
        }
    }
}

/// The ids of a text as pieces hold it, with `▁` for blanks and nothing put before it.
pub fn encode_piece(text: &str, symbols: &Symbols, merges: &Merges) -> Vec<TokenId> {
    let mut ids = Vec::new();
    text.chars().for_each(|character| symbols.push(character, &mut ids));
    join(&mut ids, merges);
    ids
}

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
            user_defined,
            memories: Mutex::default(),
        }
    }

    /// Appends the ids of a text.
    pub fn encode(&self, definition: &Definition, text: &str, ids: &mut Vec<TokenId>) {
        if text.is_empty() {
            return;
        }
        let mut pass = Pass { encoder: self, merges: &definition.merges, memory: self.take(), ids };
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
        let memory = pass.memory;
        self.put_back(memory);
    }

    fn take(&self) -> StretchMemory {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put_back(&self, memory: StretchMemory) {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }

    fn user_defined_at(&self, text: &str) -> Option<&(String, TokenId)> {
        self.user_defined.iter().find(|(piece, _)| text.starts_with(piece.as_str()))
    }
}

/// One text on its way through the encoder.
struct Pass<'a> {
    encoder: &'a Encoder,
    merges: &'a Merges,
    memory: StretchMemory,
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
        let text = blank_form(text);
        let mut start = 0;
        if prefix.applies(&text) {
            start = self.encoder.junctions.next_cut(text.as_bytes(), 0, b' ');
            self.stretch(&[" ", &text[..start]].concat());
        }
        let bytes = text.as_bytes();
        while start < bytes.len() {
            let end = self.encoder.junctions.next_cut(bytes, start + 1, bytes[start]);
            self.stretch(&text[start..end]);
            start = end;
        }
    }

    fn stretch(&mut self, stretch: &str) {
        if stretch.len() > LONGEST_KEPT {
            return self.join_apart(stretch);
        }
        if let Some(known) = self.memory.get(stretch.as_bytes()) {
            return self.ids.extend_from_slice(known);
        }
        let before = self.ids.len();
        self.join_apart(stretch);
        self.memory.keep(stretch.as_bytes(), &self.ids[before..]);
    }

    /// Cuts once more, between characters that no merge joins, and joins each part.
    fn join_apart(&mut self, stretch: &str) {
        let mut symbols = Vec::new();
        let mut before = None;
        for character in stretch.chars() {
            if before.is_some_and(|before| !self.encoder.junctions.joins(before, character)) {
                self.join(&mut symbols);
            }
            self.encoder.symbols.push(marked(character), &mut symbols);
            before = Some(character);
        }
        self.join(&mut symbols);
    }

    fn join(&mut self, symbols: &mut Vec<TokenId>) {
        join(symbols, self.merges);
        self.ids.append(symbols);
    }
}
