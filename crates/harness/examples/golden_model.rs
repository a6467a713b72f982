//! Writes the random model of the goldens to a folder, for `tools/harness_goldens.py`:
//! `cargo run --release -p kollama-harness --example golden_model -- FOLDER`.

#[path = "../tests/golden_model/mod.rs"]
mod golden_model;

use kollama_kernels::Device;
use kollama_llama::StoredType;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: golden_model FOLDER")?;
    let llama = golden_model::build(&Device::cpu(1)?)?;
    Ok(llama.save(folder.as_ref(), StoredType::F32)?)
}
