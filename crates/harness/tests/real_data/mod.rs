//! The data that some tests need and that is not part of the project: KoBEST, NSMC and the Llama-2
//! tokenizer. Where it is missing a test says so and is over.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

use kollama_engine::Tokenizer;
use std::path::{Path, PathBuf};

/// The folder, if it holds all of `needed`.
pub fn folder(needed: &[&str]) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("KOLLAMA_DATA").map_or_else(|| default.into(), PathBuf::from);
    let missing = needed.iter().find(|name| !root.join(name).is_dir());
    if let Some(missing) = missing {
        println!("skipped: no {missing} in {}", root.display());
    }
    missing.is_none().then_some(root)
}

/// The tokenizer of 32,000 pieces.
pub fn tokenizer(data: &Path) -> Tokenizer {
    Tokenizer::open(&data.join("llama2-tokenizer")).unwrap()
}
