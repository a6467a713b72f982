//! What `--weights` and `--cache` mean for a model folder.

use crate::choices::{Cache, Weights};
use crate::cli::Held;
use anyhow::Result;
use kollama_kernels::{DType, Device};
use kollama_llama::{Llama, LlamaConfig, stored_weights};
use std::path::Path;

/// Whether a command measures a model, and so wants its exact weights, or lets it write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `eval`, `score`
    Measure,
    /// `generate`, `serve`
    Write,
}

/// The model, and what its keys and values are kept as.
pub fn open(
    folder: &Path,
    held: &Held,
    purpose: Purpose,
    device: &Device,
) -> Result<(Llama, DType)> {
    let weights = match held.weights {
        Weights::Auto => suitable(folder, purpose)?,
        Weights::F32 => DType::F32,
        Weights::Bf16 => DType::PackedBf16,
        Weights::Q8 => DType::Q8,
        Weights::Q4 => DType::Q4,
    };
    let llama = Llama::open_as(folder, device, weights)?;
    let cache = held.cache.map_or(llama.cache_dtype(), |cache| match cache {
        Cache::F32 => DType::F32,
        Cache::Bf16 => DType::Bf16,
        Cache::Q8 => DType::Q8Rows,
    });
    Ok((llama, cache))
}

fn suitable(folder: &Path, purpose: Purpose) -> Result<DType> {
    Ok(match purpose {
        Purpose::Write => stored_weights(folder)?,
        Purpose::Measure => LlamaConfig::read(folder)?.quantization().unwrap_or(DType::F32),
    })
}
