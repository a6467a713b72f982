//! Writes the weights that a golden begins with, for `tools/training_goldens.py`:
//! `initial_weights CONFIG.json SEED OUT`.

use kollama_llama::{LlamaConfig, StoredType, init_checkpoint};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, seed, out] = arguments.as_slice() else {
        return Err("usage: initial_weights CONFIG.json SEED OUT".into());
    };
    let config = LlamaConfig::from_file(Path::new(config))?;
    init_checkpoint(&config, seed.parse()?, StoredType::F32, Path::new(out), &mut |_, _| {})?;
    Ok(())
}
