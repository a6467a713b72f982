//! A Llama: from tokens to logits, from a loss to gradients, and to and from its folder.
//!
//! Rows are tokens, columns are features. With `norm(x) = weight · x / √(mean(x²) + ε)`, for each
//! layer:
//!
//! | formula | functions in `forward.rs`; `backward.rs` |
//! |---|---|
//! | `x = embed_tokens[ids]` | `read_whole`; `loss_and_gradients` |
//! | `n = norm(x; input_layernorm)` | `project`; `project` |
//! | `q, k, v = n·q_projᵀ, n·k_projᵀ, n·v_projᵀ` | `project`; `project` |
//! | `q, k = turn(q), turn(k)`, by angles of the position | `project`; `project`; angles in `rotary.rs` |
//! | `a = softmax(q·kᵀ / √head_dim, causal)·v`, head by head | `attend`; `attend` |
//! | `m = x + a·o_projᵀ` | `attend`; `attend` |
//! | `n = norm(m; post_attention_layernorm)` | `attend`; `attend` |
//! | `g, u = n·gate_projᵀ, n·up_projᵀ` | `attend`; `attend` |
//! | `x = m + (g·σ(g)·u)·down_projᵀ` | `feed_forward`; `feed_forward` |
//!
//! and after the last layer:
//!
//! | formula | functions in `forward.rs`; `backward.rs` |
//! |---|---|
//! | `h = norm(x; norm)` | `norm_last`; `head_backward` |
//! | `z = h·lm_headᵀ` | `forward`, `loss`; `head_backward` |
//! | `loss = Σ log Σ exp z − z[label]` | `loss`; `head_backward` |
//!
//! Read [`forward`] with [`backward`] beside it; [`parameters`] names the matrices, [`tape`] and
//! [`cache`] hold what is remembered, [`config`], [`checkpoint`] and `safetensors.rs` know the
//! files, [`init`] makes a model of nothing, [`expansion`] gives it new tokens, [`master`] lets it learn.
//! Nothing here knows of text, optimisers or requests.

mod activations;
mod fields;
mod fingerprint;
mod loading;
mod quantization;
mod quantizing;
mod rotary;
mod safetensors;
mod stored_type;
mod writing;

pub mod backward;
pub mod cache;
pub mod checkpoint;
pub mod config;
pub mod error;
pub mod expansion;
pub mod forward;
pub mod init;
pub mod master;
pub mod model;
pub mod parameters;
pub mod tape;
pub mod verification;

pub use cache::KvCache;
pub use checkpoint::copy_companions;
pub use config::LlamaConfig;
pub use error::LlamaError;
pub use expansion::{BASE_VOCAB_SIZE, ExtendReport, RowInit, extend_checkpoint};
pub use forward::{Batch, TrainBatch};
pub use init::init_checkpoint;
pub use loading::stored_weights;
pub use master::{Master, Weight};
pub use model::Llama;
pub use parameters::{LayerParameters, Parameters};
pub use quantizing::quantize_checkpoint;
pub use stored_type::StoredType;
pub use tape::{Recompute, Tape};
pub use verification::{CheckpointInfo, TensorInfo, VerifyReport, info, verify};
pub use writing::{Progress, remove_model};
