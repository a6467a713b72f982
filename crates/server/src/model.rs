//! A model that is served: its name, its tokenizer, and the thread that runs it.

use crate::chat_prompt::ChatPrompt;
use crate::metrics::ModelMetrics;
use crate::worker::Worker;
use kollama_engine::{Engine, Tokenizer};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// Makes the engine; called on the thread that will run it.
pub type Opening = Box<dyn for<'t> FnOnce(&'t Tokenizer) -> Result<Engine<'t>, String> + Send>;

/// A model to serve.
pub struct ServedModel {
    /// What clients call it.
    pub name: String,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its `config.json`.
    pub config: Value,
    /// Trained values.
    pub parameters: u64,
    /// Reads the weights.
    pub opening: Opening,
}

/// A model that the routes know.
pub struct Model {
    /// What clients call it.
    pub name: String,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its `config.json`.
    pub config: Value,
    /// Trained values.
    pub parameters: u64,
    /// Seconds of the epoch when serving began.
    pub created: u64,
    /// Its chat template, or what is wrong with it; none for a base model.
    pub chat: Option<Result<Arc<ChatPrompt>, String>>,
    /// What is known once the weights are there.
    pub loaded: Arc<OnceLock<Loaded>>,
    /// Figures.
    pub metrics: Arc<ModelMetrics>,
    /// The way to its thread.
    pub worker: Worker,
}

/// What is known of a model once its weights are there.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Tokens of prompt and answer together at most.
    pub context: usize,
    /// How weights are held.
    pub weights: String,
    /// How keys and values are kept.
    pub cache: String,
    /// Tokens whose keys and values there is room for.
    pub cache_rows: usize,
    /// Bytes of the weights.
    pub weight_bytes: usize,
    /// Bytes of keys, values and working memory.
    pub cache_bytes: usize,
}
