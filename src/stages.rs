//! A run folder: which stage is done, from which inputs, with which version. A stage is done again
//! when anything it was made from has changed.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What is known of a stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    /// SHA-256 over settings and inputs.
    inputs: String,
    /// Version of kollama that began it.
    version: String,
    /// How long it took; none while it is not done.
    seconds: Option<f64>,
}

/// The record of a run folder, kept in `stages.json`.
pub struct Stages {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Stages {
    /// Opens the record of a run folder, making the folder if need be.
    pub fn open(folder: &Path) -> Result<Stages> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("stages.json");
        let entries = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!("{} is damaged; remove it to do every stage again", path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Stages { folder: folder.to_owned(), entries })
    }

    /// Whether a stage is done from just these inputs.
    pub fn is_done(&self, stage: &str, inputs: &str) -> bool {
        self.inputs_of(stage) == Some(inputs)
    }

    /// Whether a stage was begun from just these inputs and cut off.
    pub fn is_begun(&self, stage: &str, inputs: &str) -> bool {
        let entry = self.entries.get(stage);
        entry.is_some_and(|entry| entry.seconds.is_none() && entry.inputs == inputs)
    }

    /// Whether a stage was ever begun here: its folder is then ours.
    pub fn knows(&self, stage: &str) -> bool {
        self.entries.contains_key(stage)
    }

    /// Hash of the inputs that a finished stage of this run was made from.
    pub fn inputs_of(&self, stage: &str) -> Option<&str> {
        let entry = self.entries.get(stage).filter(|entry| entry.seconds.is_some());
        entry.map(|entry| entry.inputs.as_str())
    }

    /// Notes that a stage begins.
    pub fn begin(&mut self, stage: &str, inputs: String) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.entries.insert(stage.to_owned(), Entry { inputs, version, seconds: None });
        self.save()
    }

    /// Notes that a stage that had begun is done.
    pub fn done(&mut self, stage: &str, seconds: f64) -> Result<()> {
        if let Some(entry) = self.entries.get_mut(stage) {
            entry.seconds = Some(seconds);
        }
        self.save()
    }

    /// Forgets a stage, so that it will be done again.
    pub fn forget(&mut self, stage: &str) -> Result<()> {
        if self.entries.remove(stage).is_some() {
            self.save()?;
        }
        Ok(())
    }

    fn save(&self) -> Result<()> {
        write_beside(&self.folder.join("stages.json"), &serde_json::to_vec_pretty(&self.entries)?)
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
        let mut entries = fs::read_dir(path)?.collect::<std::io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        return entries
            .iter()
            .filter(|entry| is_read(entry))
            .try_for_each(|e| add(&e.path(), hash));
    }
    let mut file = File::open(path)?;
    hash.update(file.metadata()?.len().to_le_bytes());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Names that begin with a dot and links to folders are not read from a folder of texts either.
fn is_read(entry: &fs::DirEntry) -> bool {
    let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
    let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
    !(hidden || is_link && entry.path().is_dir())
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
        stages.begin("data", "abc".into()).unwrap();
        assert!(stages.is_begun("data", "abc") && !stages.is_done("data", "abc"));
        stages.done("data", 1.0).unwrap();
        let stages = Stages::open(folder.path()).unwrap();
        assert!(stages.is_done("data", "abc") && stages.knows("data"));
        assert!(!stages.is_done("data", "abd") && !stages.knows("train"));
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
