//! Writes the tiny model of a golden to a folder, for the script that makes the golden:
//! `cargo run --example init_folder -- CASE FOLDER`.

#[path = "../tests/golden_model/mod.rs"]
mod golden_model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [case, folder] = arguments.as_slice() else {
        return Err("usage: init_folder CASE FOLDER, where CASE is grouped, tied or packed".into());
    };
    Ok(golden_model::write(case, folder.as_ref())?)
}
