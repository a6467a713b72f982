//! Files to rows. The ending of the name tells the format; `.zst` after it is unpacked.

use crate::error::HarnessError;
use crate::source::Split;
use crate::tabular;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The names under which a split called `stem` is looked for.
pub fn names(stem: &str) -> Vec<String> {
    vec![format!("{stem}.tsv.zst"), format!("{stem}.tsv")]
}

/// Reads a whole file; `quotes` is about tables of text ([`crate::source::DataSpec::quotes`]).
pub fn read(path: &Path, _quotes: bool) -> Result<Split, HarnessError> {
    let text = tabular::read_text(path)?;
    let rows = tabular::rows(path, &text)?;
    let digest = Sha256::digest(text.as_bytes());
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Split { rows, path: path.to_path_buf(), sha256 })
}
