//! A run folder: which stage is done, from which inputs, with which version. A stage is done again
//! when anything it was made from has changed.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What is known of a finished stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Done {
    /// SHA-256 over settings, version and inputs.
    inputs: String,
    /// Version of kollama that did it.
    version: String,
    /// How long it took.
    seconds: f64,
}

/// The record of a run folder, kept in `stages.json`.
pub struct Stages {
    folder: PathBuf,
    done: BTreeMap<String, Done>,
}

impl Stages {
    /// Opens the record of a run folder, making the folder if need be.
    pub fn open(folder: &Path) -> Result<Stages> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("stages.json");
        let done = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!("{} is damaged; remove it to do every stage again", path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Stages { folder: folder.to_owned(), done })
    }

    /// Whether a stage is done from just these inputs.
    pub fn is_done(&self, stage: &str, inputs: &str) -> bool {
        self.done.get(stage).is_some_and(|done| done.inputs == inputs)
    }

    /// Hash of the inputs that a stage of this run was made from.
    pub fn inputs_of(&self, stage: &str) -> Option<&str> {
        self.done.get(stage).map(|done| done.inputs.as_str())
    }

    /// Notes that a stage is done.
    pub fn note(&mut self, stage: &str, inputs: String, seconds: f64) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.done.insert(stage.to_owned(), Done { inputs, version, seconds });
        self.save()
    }

    /// Forgets a stage, so that it will be done again.
    pub fn forget(&mut self, stage: &str) -> Result<()> {
        if self.done.remove(stage).is_some() {
            self.save()?;
        }
        Ok(())
    }

    fn save(&self) -> Result<()> {
        write_beside(&self.folder.join("stages.json"), &serde_json::to_vec_pretty(&self.done)?)
    }
}

/// Writes a small file under a temporary name, syncs it and renames it.
pub fn write_beside(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write()
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// SHA-256 over names and contents of files and folders, in the order of their names.
pub fn content_hash(paths: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for path in paths {
        add(path, &mut hash).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(hex(&hash.finalize()))
}

/// SHA-256 over texts, each with its length.
pub fn text_hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hex(&hash.finalize())
}

fn add(path: &Path, hash: &mut Sha256) -> std::io::Result<()> {
    hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    if path.is_dir() {
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        let mut entries = entries.collect::<std::io::Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| add(entry, hash));
    }
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => hash.update(&buffer[..count]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_done_only_for_the_inputs_it_was_made_from() {
        let folder = tempfile::tempdir().unwrap();
        let mut stages = Stages::open(folder.path()).unwrap();
        stages.note("data", "abc".into(), 1.0).unwrap();
        let stages = Stages::open(folder.path()).unwrap();
        assert!(stages.is_done("data", "abc"));
        assert!(!stages.is_done("data", "abd") && !stages.is_done("train", "abc"));
    }

    #[test]
    fn a_changed_byte_changes_the_hash_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        let paths = [folder.path().to_owned()];
        fs::write(&file, "가").unwrap();
        let before = content_hash(&paths).unwrap();
        fs::write(&file, "나").unwrap();
        assert_ne!(before, content_hash(&paths).unwrap());
    }
}
