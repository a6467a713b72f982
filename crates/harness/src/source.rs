//! Where the data of tasks comes from: a folder of the user, or the hub. Finds the file of a split;
//! reading it is [`crate::row_files`]'s work.

use crate::data_error::DataError;
use crate::error::HarnessError;
use crate::row_files::{self, Split, Text};
use serde::Deserialize;
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
        let folders = spec.folders.iter().map(|folder| data.join(folder));
        let named = |folder: &Path| row_files::named(folder, names);
        match folders.filter_map(|folder| named(&folder)).next() {
            Some(path) => Ok(Some(row_files::plain(&path)?)),
            None => Ok(None),
        }
    }

    /// The split that has one of the names `stems`, the first of them that is found.
    pub fn split(&self, spec: &DataSpec, stems: &[&str]) -> Result<Split, HarnessError> {
        let data = self.folder.as_deref().unwrap_or(Path::new("."));
        let folders: Vec<PathBuf> = spec.folders.iter().map(|name| data.join(name)).collect();
        for folder in &folders {
            for stem in stems {
                for ending in ["tsv", "tsv.zst", "jsonl", "jsonl.zst", "csv", "csv.zst", "parquet"]
                {
                    let path = folder.join(format!("{stem}.{ending}"));
                    if path.is_file() {
                        return Ok(row_files::read(&[path], spec.quotes)?);
                    }
                }
            }
        }
        Err(DataError::MissingSplit {
            split: stems.join(" or "),
            looked_for: stems
                .iter()
                .map(|stem| format!("{stem}.{}", row_files::endings()))
                .collect(),
            folders,
            cure: "give the folder that holds it as --data".to_owned(),
        }
        .into())
    }
}

fn the_folder_itself() -> Vec<String> {
    vec![".".to_owned()]
}

fn yes() -> bool {
    true
}
