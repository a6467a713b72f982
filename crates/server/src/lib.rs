//! HTTP over the engine: the API that OpenAI's clients speak, and what a page needs besides.
//!
//! ```text
//!  client ── listener ── router ── completions, chat ── worker ── engine
//!            timeouts    key       JSON to requests     one thread a model, no async
//!                                  emissions to JSON
//! ```
//! # The interface
//! Bodies are JSON objects of at most 2 MB. A field that is not known here, or whose value is not
//! supported, is refused with 400 and named; none is ignored. Errors are
//! `{"error": {"message", "type", "param", "code"}}`.
//!
//! - `POST /v1/completions`: `model`, `prompt` (a text, a list of ids, or a list of either), `max_tokens`
//!   (16), `temperature` (1), `top_p`, `top_k`, `min_p`, `presence_penalty`, `frequency_penalty`,
//!   `repetition_penalty`, `logit_bias`, `seed`, `n`, `stop`, `echo`, `logprobs` (0 to 100), `stream`,
//!   `stream_options.include_usage`, `user` (of no effect). Answers `choices[]` with `index`, `text`, `finish_reason`
//!   (`stop`, `length`, or `abort` where the server ended it) and `logprobs`: `tokens`,
//!   `token_logprobs`, `top_logprobs`, `text_offset` as in OpenAI's API, and `token_ids` and
//!   `top_token_ids` (the ids of each `top_logprobs`, in its order). A token that is no text by itself is
//!   written `bytes:\xec`. With `echo` the prompt stands in all of these, its first log-probability is
//!   `null`, and `max_tokens` may be 0. `usage.prompt_tokens_details.cached_tokens` counts what did not
//!   have to be read again. A stream is server-sent events, one a token, closed by `data: [DONE]`;
//!   its texts joined are the text of the answer that is not streamed.
//! - `POST /v1/chat/completions`: `messages` and the fields above, with `logprobs` true or false and
//!   `top_logprobs`; needs a chat template in the model's folder.
//! - `GET /v1/models`, `GET /v1/models/NAME`.
//! - `POST /tokenize`: `text`, `model` (also the name of a tokenizer to compare with), `add_special`
//!   (false): `ids`, `characters`, and `tokens[]` with `id`, `piece`, `start` and `end` (bytes of the
//!   text), `is_byte`, and `text`, or `bytes` where it is no text by itself.
//! - `POST /detokenize`: `ids`, `model`: `text`.
//! - `GET /health`: 200 when every model is there, 503 before and while the server ends.
//! - `GET /metrics`: figures in Prometheus' text format.
//! - `GET /info?model=NAME`: `model`, `models`, `tokenizers`, `config`, `parameters`, `weights`,
//!   `cache`, `context`, `memory`, `speed`, `chat`.
//!
//! - `GET /`, `GET /page/FILE`: the page.
//!
//! With a key every path but `/health` and the page asks for `Authorization: Bearer KEY`.

#![forbid(unsafe_code)]

mod access;
mod answers;
mod api_error;
mod chat;
mod chat_prompt;
mod completions;
mod delivery;
mod fields;
mod house;
mod information;
mod listener;
mod metrics;
mod model;
mod page;
mod parameters;
mod router;
mod settings;
mod tokens;
mod worker;

pub use listener::{ServeError, serve};
pub use model::ServedModel;
pub use settings::Settings;
pub use worker::Opening;
