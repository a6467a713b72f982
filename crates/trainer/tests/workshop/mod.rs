//! What the contract tests share: a place with a small model and packed rows in it.

use kollama_corpus::pack_ids;
use kollama_llama::{LlamaConfig, StoredType, init_checkpoint};
use kollama_trainer::TrainSettings;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A temporary folder with `model`, `data` and room for `out`.
pub struct Workshop(TempDir);

impl Workshop {
    /// A model of the shape by seed, and the rows of a JSON-lines file.
    pub fn new(config: &LlamaConfig, seed: u64, rows: &Path) -> Workshop {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        init_checkpoint(config, seed, StoredType::F32, &model, &mut |_, _| {}).unwrap();
        pack_ids(rows, config.vocab_size, &folder.path().join("data")).unwrap();
        Workshop(folder)
    }

    /// A folder or file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Settings of a run into the folder `out`, with further fields as TOML.
    pub fn settings(&self, out: &str, fields: &str) -> TrainSettings {
        let folders = ["model", "data"].map(|name| format!("{name} = {:?}\n", self.path(name)));
        let text = format!("{}out = {:?}\n{fields}", folders.concat(), self.path(out));
        TrainSettings::from_toml(&text).unwrap()
    }
}

/// Where the stored goldens are.
pub fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}
