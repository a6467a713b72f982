//! Where the small Llama that was really trained lies. Reads nothing of it.

use std::path::PathBuf;

/// The real tiny model, where the data is.
pub fn stories() -> Option<PathBuf> {
    let near = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let data = std::env::var_os("KOLLAMA_DATA").map_or(PathBuf::from(near), PathBuf::from);
    let folder = data.join("stories260k");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}
