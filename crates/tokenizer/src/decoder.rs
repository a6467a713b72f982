//! Ids to text, one id at a time, never cutting a character.
//!
//! The rules are those of Hugging Face's decoder for Llama (`Replace`, `ByteFallback`, `Fuse`,
//! `Strip`) with special pieces skipped: `▁` is a blank; a run of byte pieces is a text if *all* of
//! it is valid UTF-8, and otherwise one `U+FFFD` per byte; one blank is taken from the very start.
//! Since a later byte can make a whole run invalid, a stream holds a run back until it has ended or
//! is certainly broken.

use crate::cut_out::text_of;
use crate::definition::Definition;
use crate::normalizer::{Prefix, SPACE_MARK};
use crate::vocabulary::{PieceKind, TokenId, byte_of_text};

const BROKEN: char = char::REPLACEMENT_CHARACTER;

/// What an id adds to a text.
enum Part {
    Text(Box<str>),
    Byte(u8),
    Nothing,
}

/// The parts of all ids.
pub struct Decoder {
    parts: Vec<Part>,
    strip_first_blank: bool,
}

impl Decoder {
    /// Derives what decoding needs.
    pub fn new(definition: &Definition) -> Decoder {
        let part = |piece: &crate::vocabulary::Piece| match piece.kind {
            PieceKind::Unknown | PieceKind::Control => Part::Nothing,
            PieceKind::Byte => byte_of_text(&piece.text).map_or(Part::Nothing, Part::Byte),
            _ => Part::Text(piece.text.replace(SPACE_MARK, " ").into()),
        };
        let mut parts: Vec<Part> = definition.vocabulary.pieces().iter().map(part).collect();
        for piece in definition.added_pieces().iter().filter(|piece| !piece.is_special) {
            let text = text_of(piece, definition).replace(SPACE_MARK, " ");
            parts[piece.id as usize] = Part::Text(text.into());
        }
        Decoder { parts, strip_first_blank: definition.normalizer.prefix != Prefix::Never }
    }

    /// What an id adds to a text: bytes, perhaps part of a character; nothing for a special piece.
    pub fn bytes_of(&self, id: TokenId) -> &[u8] {
        match self.parts.get(id as usize) {
            Some(Part::Text(text)) => text.as_bytes(),
            Some(Part::Byte(byte)) => std::slice::from_ref(byte),
            Some(Part::Nothing) | None => &[],
        }
    }

    /// Whether an id stands for one byte that may be no character.
    pub fn is_byte(&self, id: TokenId) -> bool {
        matches!(self.parts.get(id as usize), Some(Part::Byte(_)))
    }

    /// Whether a blank at the very start of a text is the mark before it.
    pub fn strips_first_blank(&self) -> bool {
        self.strip_first_blank
    }

    /// The text of a row of ids; ids outside the vocabulary add nothing.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        let mut stream = DecodeStream::new(self);
        let mut text = String::new();
        for &id in ids {
            stream.take(id, &mut text);
        }
        stream.end_run(&mut text);
        text
    }
}

/// Text that arrives id by id.
///
/// What [`push`](DecodeStream::push) and [`finish`](DecodeStream::finish) return, one after the
/// other, is what [`Tokenizer::decode`](crate::Tokenizer::decode) returns for all ids at once.
pub struct DecodeStream<'a> {
    decoder: &'a Decoder,
    /// Bytes whose fate is open: valid so far, perhaps with a character begun at the end.
    run: Vec<u8>,
    /// How many bytes of `run` are whole characters.
    whole: usize,
    run_is_broken: bool,
    strip_blank: bool,
    out: String,
}

impl<'a> DecodeStream<'a> {
    pub(crate) fn new(decoder: &'a Decoder) -> DecodeStream<'a> {
        DecodeStream {
            decoder,
            run: Vec::new(),
            whole: 0,
            run_is_broken: false,
            strip_blank: decoder.strip_first_blank,
            out: String::new(),
        }
    }

    /// Takes the next id and returns the text that has become certain, which may be empty.
    pub fn push(&mut self, id: TokenId) -> &str {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        self.take(id, &mut out);
        self.out = out;
        &self.out
    }

    /// Returns the text that was held back. The stream is then as new.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.end_run(&mut out);
        self.strip_blank = self.decoder.strip_first_blank;
        out
    }

    fn take(&mut self, id: TokenId, out: &mut String) {
        let decoder = self.decoder;
        match decoder.parts.get(id as usize) {
            Some(Part::Text(text)) => {
                self.end_run(out);
                self.emit(text, out);
            }
            Some(&Part::Byte(byte)) => self.take_byte(byte, out),
            Some(Part::Nothing) | None => {}
        }
    }

    fn take_byte(&mut self, byte: u8, out: &mut String) {
        self.run.push(byte);
        if !self.run_is_broken {
            match std::str::from_utf8(&self.run[self.whole..]) {
                Ok(_) => self.whole = self.run.len(),
                Err(error) if error.error_len().is_none() => self.whole += error.valid_up_to(),
                Err(_) => self.run_is_broken = true,
            }
        }
        if self.run_is_broken {
            self.emit_broken(out);
        }
    }

    fn end_run(&mut self, out: &mut String) {
        if self.whole == self.run.len() {
            let run = std::mem::take(&mut self.run);
            self.emit(std::str::from_utf8(&run).expect("whole characters were counted"), out);
        }
        self.emit_broken(out);
        self.whole = 0;
        self.run_is_broken = false;
    }

    fn emit_broken(&mut self, out: &mut String) {
        for _ in self.run.drain(..) {
            self.strip_blank = false;
            out.push(BROKEN);
        }
        self.whole = 0;
    }

    fn emit(&mut self, text: &str, out: &mut String) {
        if text.is_empty() {
            return;
        }
        let stripped = if self.strip_blank { text.strip_prefix(' ') } else { None };
        self.strip_blank = false;
        out.push_str(stripped.unwrap_or(text));
    }
}
