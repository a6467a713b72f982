//! Writes the random model of the goldens to a folder, for `tools/harness_goldens.py`:
//! `cargo run --release -p kollama-harness --example golden_model -- FOLDER`.

#[path = "../tests/golden_model/mod.rs"]
mod golden_model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("usage: golden_model FOLDER")?;
    Ok(golden_model::write(folder.as_ref())?)
}
