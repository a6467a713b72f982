//! The tokenizer that callers hold: opens files, encodes, decodes, saves.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::batch::encode_batch;
use crate::decoder::{DecodeStream, Decoder};
use crate::definition::Definition;
use crate::encoder::Encoder;
use crate::error::TokenizerError;
use crate::normalizer::{Normalizer, Prefix};
use crate::offsets::offsets;
use crate::vocabulary::TokenId;
use crate::{added_tokens, files, hugging_face, llama_files, sentence_piece};

const JSON: &str = "tokenizer.json";
const MODEL: &str = "tokenizer.model";
const CONFIG: &str = "tokenizer_config.json";
const ADDED_TOKENS: &str = "added_tokens.json";
const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";

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
    /// Opens a folder, a `tokenizer.json`, or a `tokenizer.model`.
    ///
    /// In a folder `tokenizer.json` goes before `tokenizer.model`. A `tokenizer_config.json` and a
    /// `special_tokens_map.json` in the folder (or beside the file) are read as well, and pieces
    /// that they or an `added_tokens.json` add must be in the tokenizer.
    ///
    /// # Errors
    /// Files that are missing, cut off or malformed, and tokenizers of another kind than Llama's;
    /// each error says which file, where, and what was expected.
    pub fn open(path: &Path) -> Result<Tokenizer, TokenizerError> {
        let (folder, file) = locate(path)?;
        let bytes = files::read(&file)?;
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        let read = if is_json { hugging_face::read } else { sentence_piece::read };
        let mut definition = read(&bytes, &file)?;
        definition.carried.config = files::read_text_if_there(&folder.join(CONFIG))?;
        definition.carried.special_tokens_map =
            files::read_text_if_there(&folder.join(SPECIAL_TOKENS_MAP))?;
        if let Some(text) = &definition.carried.config {
            let path = folder.join(CONFIG);
            let config = hugging_face::parse(text.as_bytes(), &path)?;
            added_tokens::check_config(&config, &definition.vocabulary, &path)?;
            if !is_json {
                check_prefix(&config, definition.normalizer, &path)?;
            }
            apply_config(&config, &mut definition);
        }
        added_tokens::check_file(&folder.join(ADDED_TOKENS), &definition.vocabulary)?;
        Ok(Tokenizer::from_definition(definition))
    }

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
    /// keeps a memory of about 5 MB for stretches that come again, which later calls find.
    pub fn encode_batch(&self, texts: &[impl AsRef<str>], threads: usize) -> Vec<Vec<TokenId>> {
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

    /// The piece with this id, with `▁` for blanks.
    pub fn piece(&self, id: TokenId) -> Option<&str> {
        self.inner.definition.vocabulary.text(id)
    }

    /// The id of a piece, written as [`piece`](Tokenizer::piece) returns it.
    pub fn id_of(&self, piece: &str) -> Option<TokenId> {
        self.inner.definition.vocabulary.id(piece)
    }

    /// The chat template of `tokenizer_config.json`, as it stands there.
    pub fn chat_template(&self) -> Option<&str> {
        self.inner.definition.carried.chat_template.as_deref()
    }

    /// SHA-256, in hexadecimal, over all that decides ids: pieces, merges, space mark.
    ///
    /// The same for a `tokenizer.json` and a `tokenizer.model` that give the same ids.
    pub fn fingerprint(&self) -> String {
        self.inner.definition.fingerprint()
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and
    /// `tokenizer.model` into a folder, which is made if need be.
    ///
    /// Each file is written beside its place and renamed. A file that would give other ids is not
    /// written, and one of another tokenizer that stood there is removed. There is no
    /// `tokenizer.model` for a `tokenizer.json` that lists only some splits of its pieces, that puts
    /// no `▁` before a blank (`Metaspace`), or that adds pieces which are not special; and no
    /// `tokenizer.json` for a `tokenizer.model` with user-defined pieces.
    ///
    /// # Errors
    /// The folder or a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), TokenizerError> {
        let definition = &self.inner.definition;
        files::make_folder(folder)?;
        let tokenizers =
            [(MODEL, sentence_piece::write(definition)), (JSON, hugging_face::write(definition))];
        for (name, bytes) in tokenizers {
            match bytes {
                Some(bytes) => files::write(&folder.join(name), &bytes)?,
                None => files::remove_if_there(&folder.join(name))?,
            }
        }
        let config = llama_files::config_text(definition);
        files::write(&folder.join(CONFIG), config.as_bytes())?;
        let map = llama_files::special_tokens_map_text(definition);
        files::write(&folder.join(SPECIAL_TOKENS_MAP), map.as_bytes())
    }
}

/// The folder of a tokenizer and the file to read.
fn locate(path: &Path) -> Result<(&Path, std::path::PathBuf), TokenizerError> {
    if !path.is_dir() {
        return Ok((path.parent().unwrap_or(Path::new("")), path.into()));
    }
    let found = [JSON, MODEL].map(|name| path.join(name)).into_iter().find(|file| file.exists());
    Ok((path, found.ok_or_else(|| TokenizerError::NoTokenizer { path: path.into() })?))
}

/// Refuses a `tokenizer_config.json` that takes away the prefix that a `tokenizer.model` puts.
fn check_prefix(config: &Value, normalizer: Normalizer, path: &Path) -> Result<(), TokenizerError> {
    if config["add_prefix_space"] != Value::Bool(false) || normalizer.prefix == Prefix::Never {
        return Ok(());
    }
    Err(TokenizerError::Unsupported {
        path: path.into(),
        what: "add_prefix_space = false beside a tokenizer.model that adds a prefix".into(),
        cure: "give the tokenizer.json of the same tokenizer, which says it itself, or remove the \
               field",
    })
}

/// Lets `tokenizer_config.json` say which pieces begin and end a text.
fn apply_config(config: &Value, definition: &mut Definition) {
    definition.carried.chat_template = config["chat_template"].as_str().map(str::to_owned);
    let vocabulary = &definition.vocabulary;
    let named = |field: &str| {
        let token = &config[field];
        vocabulary.id(token.as_str().or_else(|| token["content"].as_str())?)
    };
    let specials = &mut definition.specials;
    specials.begin = named("bos_token").or(specials.begin);
    specials.end = named("eos_token").or(specials.end);
    if let Some(add) = config["add_bos_token"].as_bool() {
        specials.add_begin = add;
    }
}
