//! A model: its configuration, its parameters and the device that holds them. What it does stands
//! in `forward.rs` and `backward.rs`, how it comes from and goes to disk in `checkpoint.rs`.

use crate::config::LlamaConfig;
use crate::parameters::Parameters;
use kollama_kernels::{DType, Device};

/// A Llama, ready to read tokens.
pub struct Llama {
    /// Its shape.
    pub config: LlamaConfig,
    /// Its weights.
    pub parameters: Parameters,
    /// Where they live.
    pub device: Device,
}

impl Llama {
    /// What keys and values are kept as unless somebody says otherwise: `f32` beside `f32` weights, else
    /// bf16.
    pub fn cache_dtype(&self) -> DType {
        let is_f32 = self.parameters.head().dtype() == DType::F32;
        if is_f32 { DType::F32 } else { DType::Bf16 }
    }
}
