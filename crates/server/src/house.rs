//! What all routes share: the models by name, tokenizers to compare with, the settings.

use crate::api_error::ApiError;
use crate::model::Model;
use crate::settings::Settings;
use axum::http::StatusCode;
use kollama_engine::Tokenizer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// The server's shared state.
pub struct House {
    /// At least one; the first answers where no name is given.
    pub models: Vec<Arc<Model>>,
    /// Tokenizers that belong to no model here, by name.
    pub tokenizers: Vec<(String, Tokenizer)>,
    /// The operator's decisions.
    pub settings: Settings,
    /// One permit for each answer that may be written or wait.
    pub places: Arc<Semaphore>,
    /// Whether the signal to end has come.
    pub is_ending: AtomicBool,
}

impl House {
    /// The model of a name, or the first.
    pub fn model(&self, name: Option<&str>) -> Result<&Arc<Model>, ApiError> {
        let Some(name) = name else { return Ok(&self.models[0]) };
        self.models.iter().find(|model| model.name == name).ok_or_else(|| self.unknown(name))
    }

    /// The tokenizer of a name: a model's, or one to compare with.
    pub fn tokenizer(&self, name: Option<&str>) -> Result<&Tokenizer, ApiError> {
        let other = self.tokenizers.iter().find(|(other, _)| Some(other.as_str()) == name);
        other.map_or_else(|| Ok(&self.model(name)?.tokenizer), |(_, tokenizer)| Ok(tokenizer))
    }

    /// Whether every model is there and the server is not ending.
    pub fn is_ready(&self) -> bool {
        let is_there =
            |model: &Arc<Model>| model.loaded.get().is_some() && !model.worker.has_ended();
        self.models.iter().all(is_there) && !self.is_ending.load(Ordering::Relaxed)
    }

    /// Answers that are written or wait.
    pub fn answers_in_flight(&self) -> usize {
        self.settings.queue.saturating_sub(self.places.available_permits())
    }

    fn unknown(&self, name: &str) -> ApiError {
        let names: Vec<&str> = self.models.iter().map(|model| model.name.as_str()).collect();
        let name: String = name.chars().take(100).collect();
        let message = format!("there is no model {name:?} here, only {}", names.join(", "));
        ApiError::new(StatusCode::NOT_FOUND, message).with_code("model_not_found")
    }
}
