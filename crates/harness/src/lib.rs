//! Scores a model on tasks, number for number as the harness behind the published tables does.
//! Knows the engine; no training and no HTTP.
//!
//! How a score comes about, in numbered steps:
//! 1. [`tasks::load`] reads the two splits of a task ([`source`], [`rows`]) into documents: a text, the
//!    choices that may follow it, and the right one ([`task`]).
//! 2. [`shots::prompts`] shuffles the documents and puts solved examples before each, as Python's
//!    generator draws them ([`python_random`]).
//! 3. [`requests::requests`] turns each pair of prompt and choice into ids.
//! 4. [`kollama_engine::Scorer`] says how likely each choice is after its prompt.
//! 5. The likeliest choice of a document, the first among equals, is the prediction;
//!    [`metrics`] turns predictions into numbers and says how sure they are.
//! 6. [`evaluate::evaluate`] is steps 2 to 5; [`results`] writes what it found.
//!
//! [`mod@perplexity`] asks the same model how well it predicts running text.
//!
//! The protocol so far is the one of the model card of Llama-2-Ko, called `polyglot` after the
//! branch of lm-evaluation-harness it was computed with.

#![forbid(unsafe_code)]

mod card;
pub mod data_error;
pub mod error;
pub mod evaluate;
mod json_rows;
pub mod metrics;
mod parquet_rows;
pub mod perplexity;
pub mod python_random;
pub mod requests;
pub mod results;
pub mod row_files;
pub mod rows;
pub mod shots;
pub mod source;
mod split_files;
mod tabular;
pub mod task;
pub mod tasks;

pub use data_error::DataError;
pub use error::HarnessError;
pub use evaluate::{TaskResult, evaluate};
pub use perplexity::{Perplexity, perplexity};
pub use results::Results;
pub use row_files::{Split, Text};
pub use rows::Row;
pub use source::{DataSource, DataSpec};
pub use task::{Document, Task};
