//! A model: its configuration, its parameters and the device that holds them. What it does stands
//! in `forward.rs` and `backward.rs`, how it comes from and goes to disk in `checkpoint.rs`.

use crate::config::LlamaConfig;
use crate::parameters::Parameters;
use kollama_kernels::Device;

/// A Llama, ready to read tokens.
pub struct Llama {
    /// Its shape.
    pub config: LlamaConfig,
    /// Its weights.
    pub parameters: Parameters,
    /// Where they live.
    pub device: Device,
}
