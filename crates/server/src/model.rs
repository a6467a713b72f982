//! A model that is served: its name, its tokenizer, and the thread that runs it.

use crate::chat_prompt::ChatPrompt;
use crate::metrics::ModelMetrics;
use crate::worker::{Loaded, Opening, Worker};
use kollama_engine::Tokenizer;
use serde_json::Value;
use std::sync::{Arc, OnceLock};

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
