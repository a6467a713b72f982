//! A model: its configuration, its parameters and the device that holds them. What it does stands
//! in `forward.rs` and `backward.rs`, how it comes from and goes to disk in `checkpoint.rs`.

use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::parameters::Parameters;
use kollama_kernels::{DType, Device, ops};

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

    /// The same model with its matrices rounded to bf16, beside this one.
    ///
    /// # Errors
    /// If the device has not the memory.
    pub fn rounded(&self) -> Result<Llama, LlamaError> {
        let mut parameters = Parameters::zeros(&self.config, &self.device, DType::Bf16)?;
        let pairs = parameters.named_mut().into_iter().zip(self.parameters.named());
        for ((_, rounded), (_, matrix)) in pairs {
            ops::copy_rows(rounded, 0, matrix, 0..matrix.rows());
        }
        Ok(Llama { config: self.config.clone(), parameters, device: self.device.clone() })
    }
}
