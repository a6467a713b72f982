//! Writes the random models of the leaderboard goldens below a folder, for
//! `tools/leaderboard_goldens.py`:
//! `cargo run --release -p kollama-harness --example leaderboard_models -- FOLDER`.

#[path = "../tests/golden_model/mod.rs"]
mod golden_model;
#[path = "../tests/writing_model/mod.rs"]
mod writing_model;

use kollama_kernels::Device;
use kollama_llama::StoredType;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::args().nth(1).ok_or("usage: leaderboard_models FOLDER")?.into();
    let device = Device::cpu(1)?;
    let choosing = golden_model::build_with(32_000, 2048, &device)?;
    choosing.save(&folder.join("choosing"), StoredType::F32)?;
    for (name, positions) in [("writing", 2048), ("forgetting", 1280)] {
        writing_model::build(positions, &device)?.save(&folder.join(name), StoredType::F32)?;
    }
    Ok(())
}
