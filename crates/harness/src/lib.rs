//! Scores a model on tasks, number for number as the harness behind the published tables does.
//! Knows the engine; no training and no HTTP.
//!
//! How a score comes about, in numbered steps:
//! 1. [`tasks::load`] reads the splits of a task ([`source`], [`rows`]) and words them as a mode does
//!    ([`mode`], [`task_file`], [`templates`]): documents with a text and what is asked ([`task`]).
//! 2. [`shots::prompts`] puts the documents in order and solved examples before each, as Python's
//!    generator draws them ([`python_random`]).
//! 3. [`requests::requests`] turns each pair of prompt and choice into ids.
//! 4. [`kollama_engine::Scorer`] says how likely each choice is after its prompt, or the engine
//!    writes an answer ([`generation`]).
//! 5. What that comes to for a document is its [`metrics::Outcome`] ([`scored`], [`answers`]);
//!    [`metrics`] turns outcomes into numbers and says how sure they are.
//! 6. [`evaluate::evaluate`] is steps 2 to 5; [`results`] writes what it found.
//!
//! [`mod@perplexity`] asks the same model how well it predicts running text.
//!
//! Requests, scores and metrics are those of one of three harnesses, whichever [`Mode`] is asked for.

#![forbid(unsafe_code)]

pub mod answers;
pub mod bootstrap;
mod card;
pub mod chart;
pub mod data_error;
pub mod difference;
mod digest;
pub mod error;
pub mod evaluate;
pub mod figure;
pub mod generation;
pub mod groups;
mod json_rows;
pub mod lm_eval_results;
pub mod macro_f1;
pub mod metrics;
pub mod mode;
mod parquet_rows;
pub mod perplexity;
pub mod polyglot_results;
pub mod preset;
pub mod provenance;
pub mod published;
pub mod python_random;
pub mod recorded;
pub mod request_cache;
pub mod requests;
pub mod results;
pub mod row_files;
pub mod rows;
pub mod run;
pub mod samples;
pub mod scored;
pub mod shots;
pub mod source;
pub mod spans;
mod split_files;
pub mod statistics;
pub mod summary;
pub mod svg;
pub mod table;
mod tabular;
pub mod task;
pub mod task_documents;
pub mod task_file;
pub mod tasks;
pub mod templates;
pub mod whole_file;

#[cfg(test)]
#[path = "../tests/small_kobest/mod.rs"]
mod small_kobest;

pub use data_error::DataError;
pub use error::HarnessError;
pub use evaluate::{Model, TaskResult, evaluate};
pub use mode::Mode;
pub use perplexity::{Perplexity, perplexity};
pub use request_cache::RequestCache;
pub use row_files::{Split, Text};
pub use rows::Row;
pub use run::{ModelRecord, Run};
pub use shots::{Asking, Fewshot};
pub use source::{DataSource, DataSpec};
pub use summary::Summary;
pub use task::{Document, Task};
