//! The random models behind the goldens and the tests; nothing of them is stored, seeds suffice.

use kollama_llama::{LlamaConfig, LlamaError, StoredType, init_checkpoint};
use std::path::Path;

/// The model of the goldens: the shape `tiny` with weights large enough that choices differ by
/// whole nats, and so few positions that part of the prompts do not fit.
pub fn write(folder: &Path) -> Result<(), LlamaError> {
    write_with(32_000, 320, folder)
}

/// The same with another vocabulary and another window.
pub fn write_with(vocab_size: usize, positions: usize, folder: &Path) -> Result<(), LlamaError> {
    let config = LlamaConfig {
        vocab_size,
        max_position_embeddings: positions,
        initializer_range: 0.2,
        ..LlamaConfig::preset("tiny").expect("there is a shape called tiny")
    };
    init_checkpoint(&config, 7, StoredType::F32, folder, &mut |_, _| {})
}
