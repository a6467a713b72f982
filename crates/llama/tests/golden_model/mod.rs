//! The tiny models that the goldens were made with: random, but a function of their name alone, so
//! no weights are stored. Larger deviations than usual and uneven norms make every term count.

use kollama_kernels::Device;
use kollama_llama::parameters::is_norm;
use kollama_llama::{Llama, LlamaConfig, LlamaError, StoredType, init_checkpoint};
use std::path::Path;

/// Writes the model of a golden to a folder.
pub fn write(case: &str, folder: &Path) -> Result<(), LlamaError> {
    let seed = case.bytes().map(u64::from).sum();
    init_checkpoint(&config(case), seed, StoredType::F32, folder, &mut |_, _| {})?;
    let mut model = Llama::open(folder, &Device::reference())?;
    for (name, matrix) in model.parameters.named_mut() {
        if is_norm(&name) {
            let uneven = (0..matrix.columns()).map(|i| 1.0 + 0.5 * ((i + name.len()) % 7) as f32);
            matrix.write_rows(0, &uneven.collect::<Vec<_>>());
        }
    }
    model.save(folder, StoredType::F32)
}

fn config(case: &str) -> LlamaConfig {
    let tied = case == "tied";
    let tiny = LlamaConfig::preset("tiny").expect("a preset");
    LlamaConfig {
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: if tied { 4 } else { 2 },
        // 4 heads of 16 are wider than the row between layers.
        head_dim: if tied { 16 } else { 8 },
        vocab_size: 61,
        rope_theta: if tied { 500_000.0 } else { 10_000.0 },
        tie_word_embeddings: tied,
        initializer_range: 0.2,
        ..tiny
    }
}
