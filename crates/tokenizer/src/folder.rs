//! A tokenizer's files in and out: a folder in Hugging Face's form, or the bytes of one file.
//!
//! Nothing here understands a format; see `hugging_face.rs` and `sentence_piece.rs`.

use std::path::Path;

use serde_json::Value;

use crate::definition::Definition;
use crate::error::TokenizerError;
use crate::normalizer::{Normalizer, Prefix};
use crate::tokenizer::Tokenizer;
use crate::{added_tokens, chat_templates, files, hugging_face, llama_files, sentence_piece};

const JSON: &str = "tokenizer.json";
const MODEL: &str = "tokenizer.model";
const CONFIG: &str = "tokenizer_config.json";
const ADDED_TOKENS: &str = "added_tokens.json";
const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";

impl Tokenizer {
    /// Opens a folder, a `tokenizer.json`, or a `tokenizer.model`.
    ///
    /// In a folder `tokenizer.json` goes before `tokenizer.model`. A `tokenizer_config.json` and a
    /// `special_tokens_map.json` in the folder (or beside the file) are read as well, and pieces
    /// that they or an `added_tokens.json` add must be in the tokenizer. Chat templates are kept.
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
        definition.carried.template_files = chat_templates::read(folder)?;
        let config = match &definition.carried.config {
            Some(text) => hugging_face::parse(text.as_bytes(), &folder.join(CONFIG))?,
            None => Value::Null,
        };
        added_tokens::check_config(&config, &definition.vocabulary, &folder.join(CONFIG))?;
        check_prefix(&config, definition.normalizer, &folder.join(CONFIG))?;
        apply_config(&config, &mut definition);
        added_tokens::check_file(&folder.join(ADDED_TOKENS), &definition.vocabulary)?;
        Ok(Tokenizer::from_definition(definition))
    }

    /// The tokenizer that the bytes of a `tokenizer.json` describe.
    ///
    /// # Errors
    /// As [`open`](Tokenizer::open); errors call the file `tokenizer.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Tokenizer, TokenizerError> {
        hugging_face::read(bytes, Path::new(JSON)).map(Tokenizer::from_definition)
    }

    /// The tokenizer that the bytes of a `tokenizer.model` describe.
    ///
    /// # Errors
    /// As [`open`](Tokenizer::open); errors call the file `tokenizer.model`.
    pub fn from_model(bytes: &[u8]) -> Result<Tokenizer, TokenizerError> {
        sentence_piece::read(bytes, Path::new(MODEL)).map(Tokenizer::from_definition)
    }

    /// The bytes of a `tokenizer.json` that gives the same ids; `None` where none does, see
    /// [`save`](Tokenizer::save).
    pub fn to_json(&self) -> Option<Vec<u8>> {
        hugging_face::write(self.definition())
    }

    /// The bytes of a `tokenizer.model` that gives the same ids; `None` where none does, see
    /// [`save`](Tokenizer::save).
    pub fn to_model(&self) -> Option<Vec<u8>> {
        sentence_piece::write(self.definition())
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`,
    /// `tokenizer.model` and chat templates into a folder, which is made if need be.
    ///
    /// Each file is written beside its place and renamed. A file that would give other ids is not
    /// written, and one of another tokenizer that stood there is removed. There is no
    /// `tokenizer.model` for a `tokenizer.json` that lists only some splits of its pieces, that puts
    /// no `▁` before a blank (`Metaspace`), that adds pieces which are not special, or that has no
    /// unknown piece or not all byte pieces; and no `tokenizer.json` for a `tokenizer.model` with
    /// user-defined pieces, with ordinary pieces that look like a byte's, or with equal scores where
    /// the leftmost pair must win.
    ///
    /// # Errors
    /// The folder or a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), TokenizerError> {
        let definition = self.definition();
        files::make_folder(folder)?;
        for (name, bytes) in [(MODEL, self.to_model()), (JSON, self.to_json())] {
            match bytes {
                Some(bytes) => files::write(&folder.join(name), &bytes)?,
                None => files::remove_if_there(&folder.join(name))?,
            }
        }
        let config = llama_files::config_text(definition);
        files::write(&folder.join(CONFIG), config.as_bytes())?;
        let map = llama_files::special_tokens_map_text(definition);
        files::write(&folder.join(SPECIAL_TOKENS_MAP), map.as_bytes())?;
        chat_templates::write(folder, &definition.carried.template_files)
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

/// Refuses an `add_prefix_space` that the tokenizer beside it contradicts: who is right depends on
/// the version and the class that transformers reads them with.
fn check_prefix(config: &Value, normalizer: Normalizer, path: &Path) -> Result<(), TokenizerError> {
    let adds = normalizer.prefix != Prefix::Never;
    match config["add_prefix_space"].as_bool().filter(|&said| said != adds) {
        Some(said) => Err(TokenizerError::Unsupported {
            path: path.into(),
            what: format!("add_prefix_space = {said} beside a tokenizer that says otherwise"),
            cure: "remove the field, or give a tokenizer.json that says the same",
        }),
        None => Ok(()),
    }
}

/// Lets `tokenizer_config.json` say which pieces begin and end a text.
fn apply_config(config: &Value, definition: &mut Definition) {
    definition.carried.chat_template =
        chat_templates::of(config, &definition.carried.template_files);
    let vocabulary = &definition.vocabulary;
    let named = |field: &str| {
        let token = &config[field];
        vocabulary.id(token.as_str().or_else(|| token["content"].as_str())?)
    };
    let specials = &mut definition.specials;
    specials.begin = named("bos_token").or(specials.begin);
    specials.end = named("eos_token").or(specials.end);
    specials.add_begin = config["add_bos_token"].as_bool().unwrap_or(specials.add_begin);
    specials.add_end = config["add_eos_token"].as_bool().unwrap_or(specials.add_end);
}
