//! Where the data of tasks comes from: a folder of the user, or the hub. Finds the file of a split;
//! reading it is [`crate::row_files`]'s work.

use crate::error::HarnessError;
use crate::row_files;
use crate::rows::Row;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Where a task's data stands, as a task file says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// A data set of the hub: `skt/kobest_v1`.
    #[serde(default)]
    pub hub: Option<String>,
    /// Its part: `copa`.
    #[serde(default)]
    pub config: Option<String>,
    /// The folders of the user that are looked at, below the one given, in this order.
    #[serde(default = "the_folder_itself")]
    pub folders: Vec<String>,
    /// In tables of text: whether `"` protects what stands between two of it, or is a character
    /// like any other.
    #[serde(default = "yes")]
    pub quotes: bool,
}

impl Default for DataSpec {
    /// The folder given, as it lies, with quotes.
    fn default() -> DataSpec {
        DataSpec { hub: None, config: None, folders: the_folder_itself(), quotes: yes() }
    }
}

/// Where splits are taken from.
#[derive(Clone, Debug)]
pub struct DataSource {
    folder: Option<PathBuf>,
}

/// One split in memory.
#[derive(Clone, Debug)]
pub struct Split {
    /// In the order of the file.
    pub rows: Vec<Row>,
    /// The file, the first where a split has several.
    pub path: PathBuf,
    /// SHA-256 over the bytes of its files, unpacked.
    pub sha256: String,
}

/// A file that is no table.
#[derive(Clone, Debug)]
pub struct Text {
    /// What stands in it.
    pub text: String,
    /// The file.
    pub path: PathBuf,
    /// SHA-256 over its bytes, unpacked.
    pub sha256: String,
}

impl DataSource {
    /// The files below `folder` alone.
    pub fn folder(folder: &Path) -> DataSource {
        DataSource { folder: Some(folder.to_path_buf()) }
    }

    /// The hub: its folder on this machine, filled by downloads.
    pub fn hub() -> DataSource {
        DataSource { folder: None }
    }

    /// The first file with one of these names, packed or not; none where there is none, and none
    /// from the hub, which has rows only.
    pub fn text(&self, spec: &DataSpec, names: &[&str]) -> Result<Option<Text>, HarnessError> {
        let Some(data) = &self.folder else { return Ok(None) };
        let names: Vec<String> =
            names.iter().flat_map(|name| [format!("{name}.zst"), (*name).to_owned()]).collect();
        let folders = spec.folders.iter().map(|folder| data.join(folder));
        let mut paths = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
        let Some(path) = paths.find(|path| path.is_file()) else { return Ok(None) };
        let text = crate::tabular::read_text(&path)?;
        let digest = Sha256::digest(text.as_bytes());
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(Text { text, path, sha256 }))
    }

    /// The split that has one of the names `stems`, the first of them that is found.
    pub fn split(&self, spec: &DataSpec, stems: &[&str]) -> Result<Split, HarnessError> {
        let data = self.folder.as_deref().unwrap_or(Path::new("."));
        let folders: Vec<PathBuf> = spec.folders.iter().map(|name| data.join(name)).collect();
        let names = stems.iter().flat_map(|stem| row_files::names(stem));
        let names: Vec<String> = names.collect();
        let paths = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
        match paths.into_iter().find(|path| path.is_file()) {
            Some(path) => row_files::read(&path, spec.quotes),
            None => Err(HarnessError::MissingSplit {
                split: stems.join(" or "),
                looked_for: names,
                folders,
            }),
        }
    }
}

fn the_folder_itself() -> Vec<String> {
    vec![".".to_owned()]
}

fn yes() -> bool {
    true
}
