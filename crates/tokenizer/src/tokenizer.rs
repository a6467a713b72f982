//! The tokenizer that callers hold: encodes, decodes, knows its pieces. `folder.rs` opens and saves it.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::{EncodedBatch, encode_batch};
use crate::decoder::{DecodeStream, Decoder};
use crate::definition::Definition;
use crate::encoder::Encoder;
use crate::normalizer::{Prefix, PrefixPlace};
use crate::offsets::offsets;
use crate::vocabulary::TokenId;

/// A byte-pair tokenizer of Llama's kind. Cheap to clone; may be used by many threads at once.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    definition: Definition,
    encoder: Encoder,
    decoder: Decoder,
}

impl Tokenizer {
    pub(crate) fn from_definition(definition: Definition) -> Tokenizer {
        let encoder = Encoder::new(&definition);
        let decoder = Decoder::new(&definition);
        Tokenizer { inner: Arc::new(Inner { definition, encoder, decoder }) }
    }

    pub(crate) fn definition(&self) -> &Definition {
        &self.inner.definition
    }

    /// Appends the ids of a text, without `<s>` or `</s>`.
    ///
    /// As in SentencePiece, literal `<s>`, `</s>` and `<unk>` in a text are ordinary characters:
    /// no text of a user can turn into a piece that steers the model. (Hugging Face's tokenizers
    /// do turn them; ask [`id_of`](Tokenizer::id_of) for such an id where one is meant.) Pieces
    /// that were added without being special are cut out, the longest at each place: from a
    /// `tokenizer.json` as Hugging Face does, from a `tokenizer.model` as SentencePiece does.
    pub fn encode(&self, text: &str, ids: &mut Vec<TokenId>) {
        self.inner.encoder.encode(&self.inner.definition, text, ids);
    }

    /// The same for a text that stands behind a special piece: no mark is put before it where only
    /// the beginning of a whole text has one.
    pub fn encode_after_piece(&self, text: &str, ids: &mut Vec<TokenId>) {
        let Inner { definition, encoder, .. } = &*self.inner;
        if definition.normalizer.place == PrefixPlace::EachStretch || encoder.cuts_out() {
            return self.encode(text, ids);
        }
        let part = std::iter::once((text, Prefix::Never));
        let mut ends = Vec::new();
        encoder.with_space(|space| encoder.encode_parts(space, definition, part, (ids, &mut ends)));
    }

    /// The ids of a text, as [`encode`](Tokenizer::encode) gives them.
    pub fn encode_to_vec(&self, text: &str) -> Vec<TokenId> {
        let mut ids = Vec::new();
        self.encode(text, &mut ids);
        ids
    }

    /// The ids of a text with the range of its bytes that each stands for.
    ///
    /// A mark that was put before the text takes no bytes; a byte piece takes one.
    pub fn encode_with_offsets(&self, text: &str) -> Vec<(TokenId, Range<usize>)> {
        let ids = self.encode_to_vec(text);
        let offsets = offsets(&self.inner.definition, text, &ids);
        ids.into_iter().zip(offsets).collect()
    }

    /// The ids of each text, by up to `threads` threads; long texts are divided among them.
    ///
    /// The same ids as [`encode`](Tokenizer::encode) gives, for any number of threads. Each thread
    /// keeps a memory of about 9 MB for stretches that come again, which later calls find.
    pub fn encode_batch(&self, texts: &[impl AsRef<str> + Sync], threads: usize) -> EncodedBatch {
        encode_batch(&self.inner.encoder, &self.inner.definition, texts, threads)
    }

    /// The text of a row of ids, special pieces skipped, as Hugging Face's decoder gives it.
    ///
    /// Bytes that are not UTF-8 become `U+FFFD`; ids outside the vocabulary add nothing. Whatever
    /// was encoded comes back unchanged, but that a `▁` comes back as a blank, and that some forms
    /// of `tokenizer.json` cannot tell whether a blank stood at the beginning (`Metaspace`) or
    /// after an added piece.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        self.inner.decoder.decode(ids)
    }

    /// A decoder that takes one id at a time and never returns half a character.
    pub fn decode_stream(&self) -> DecodeStream<'_> {
        DecodeStream::new(&self.inner.decoder)
    }

    /// What an id adds to a text: its bytes, perhaps part of a character, with a blank for `▁`;
    /// nothing for a special piece.
    pub fn bytes_of(&self, id: TokenId) -> &[u8] {
        self.inner.decoder.bytes_of(id)
    }

    /// Whether an id is a byte piece.
    pub fn is_byte(&self, id: TokenId) -> bool {
        self.inner.decoder.is_byte(id)
    }

    /// Whether a blank at the very start of what [`bytes_of`](Tokenizer::bytes_of) gives is the mark
    /// before a text, which [`decode`](Tokenizer::decode) takes away.
    pub fn strips_first_blank(&self) -> bool {
        self.inner.decoder.strips_first_blank()
    }

    /// Number of pieces; ids run from 0 to one less.
    pub fn vocab_size(&self) -> usize {
        self.inner.definition.vocabulary.len()
    }

    /// The id that begins a text, `<s>`.
    pub fn bos_id(&self) -> Option<TokenId> {
        self.inner.definition.specials.begin
    }

    /// The id that ends a text, `</s>`.
    pub fn eos_id(&self) -> Option<TokenId> {
        self.inner.definition.specials.end
    }

    /// Whether a model with this tokenizer expects `<s>` before a text.
    pub fn add_bos(&self) -> bool {
        self.inner.definition.specials.add_begin
    }

    /// Whether a model with this tokenizer expects `</s>` after a text.
    pub fn add_eos(&self) -> bool {
        self.inner.definition.specials.add_end
    }

    /// The piece with this id, with `▁` for blanks.
    pub fn piece(&self, id: TokenId) -> Option<&str> {
        self.inner.definition.vocabulary.text(id)
    }

    /// The id of a piece, written as [`piece`](Tokenizer::piece) returns it.
    pub fn id_of(&self, piece: &str) -> Option<TokenId> {
        self.inner.definition.vocabulary.id(piece)
    }

    /// The chat template, as it stands in `chat_template.jinja` or in `tokenizer_config.json`; where
    /// that has several, the one named `default`.
    pub fn chat_template(&self) -> Option<&str> {
        self.inner.definition.carried.chat_template.as_deref()
    }

    /// SHA-256, in hexadecimal, over all that decides ids: pieces, merges, space mark.
    ///
    /// The same for a `tokenizer.json` and a `tokenizer.model` that give the same ids.
    pub fn fingerprint(&self) -> String {
        self.inner.definition.fingerprint()
    }
}
