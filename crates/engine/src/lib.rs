//! Runs a model for callers: a plain state machine that knows no HTTP, no async and no clock.
//!
//! The life of a request, in numbered steps:
//! 1. [`Engine::submit`] checks it ([`request`]) and puts it in the queue.
//! 2. [`Engine::step`] admits it as soon as the cache has a slot for it ([`slots`]); what another
//!    request has read of the same beginning it takes over from there (`prefix.rs`).
//! 3. The step gathers unread prompt tokens and last tokens of all running sequences into one
//!    batch, puts guesses at what comes next behind them where that pays (`drafts.rs`), and asks
//!    [`kollama_llama::Llama::forward`] for the logits of those that want one.
//! 4. [`sampler`] turns each row of logits into one id, for as long as the guesses are those ids.
//! 5. The id becomes text ([`text`]), held back as long as it might become a stop string ([`stops`]).
//! 6. The text leaves as an [`Emission`]; the last one says why the request ended, and its slot is
//!    free again.
//!
//! [`scoring`] asks the same model how likely given continuations are.

#![forbid(unsafe_code)]

mod drafts;
mod likelihood;
mod logprobs;
mod prefix;
mod prefix_walk;
mod schedule;
mod sequence;

pub mod engine;
pub mod error;
pub mod prefix_tree;
pub mod request;
pub mod sampler;
pub mod scoring;
pub mod slots;
pub mod stops;
pub mod text;

pub use engine::{Engine, Status};
pub use error::EngineError;
pub use kollama_tokenizer::Tokenizer;
pub use likelihood::{Score, ScoreRequest};
pub use prefix_tree::{Tokens, count_tokens};
pub use request::{
    Details, Emission, Finish, PromptRead, Request, RequestId, Sampling, TokenLogprobs, prompt_ids,
};
pub use scoring::{Scorer, ScorerMemory};
pub use text::{TextStream, certain_text};
