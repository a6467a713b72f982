//! Where the data of tasks comes from: a folder of the user, or the hub. Which files are a split is
//! told by `card.rs` and `split_files.rs`, what is in them by [`crate::row_files`].

use crate::card;
use crate::data_error::DataError;
use crate::error::HarnessError;
use crate::row_files::{self, Split, Text};
use crate::split_files;
use kollama_hub::{Hub, Snapshot};
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
pub enum DataSource {
    /// The files below a folder, and nothing else.
    Folder(PathBuf),
    /// The hub: its folder on this machine, filled by downloads.
    Hub(Box<Hub>),
}

/// What the hub calls the parquet files that it makes of data sets in other formats.
const CONVERTED: &str = "refs/convert/parquet";

/// How deep below the user's folder data is looked for.
const DEPTH: usize = 4;

impl DataSource {
    /// The files below `folder` alone.
    pub fn folder(folder: &Path) -> DataSource {
        DataSource::Folder(folder.to_path_buf())
    }

    /// The hub, as the environment describes it.
    pub fn hub() -> DataSource {
        DataSource::Hub(Box::new(Hub::from_environment()))
    }

    /// The first file with one of these names, packed or not; none where there is none, and none
    /// from the hub, which has rows only.
    pub fn text(&self, spec: &DataSpec, names: &[&str]) -> Result<Option<Text>, HarnessError> {
        let DataSource::Folder(data) = self else { return Ok(None) };
        let folders = spec.folders.iter().map(|folder| data.join(folder));
        let named = |folder: &Path| row_files::named(folder, names);
        match folders.filter_map(|folder| named(&folder)).next() {
            Some(path) => Ok(Some(row_files::plain(&path)?)),
            None => Ok(None),
        }
    }

    /// The split that has one of the names `stems`, the first of them that is found.
    pub fn split(&self, spec: &DataSpec, stems: &[&str]) -> Result<Split, HarnessError> {
        let paths = match self {
            DataSource::Folder(folder) => in_folder(folder, spec, stems)?,
            DataSource::Hub(hub) => on_hub(hub, spec, stems)?,
        };
        Ok(row_files::read(&paths, spec.quotes)?)
    }
}

/// The files of a split below the user's folder: in the folders that the task names, else where a
/// copy of the hub's data set would have them.
fn in_folder(data: &Path, spec: &DataSpec, stems: &[&str]) -> Result<Vec<PathBuf>, DataError> {
    let mut names = Vec::new();
    std::fs::read_dir(data).map_err(|source| DataError::read(data, source))?;
    collect(data, "", DEPTH, &mut names);
    names.sort();
    let card = std::fs::read_to_string(data.join(card::NAME)).unwrap_or_default();
    let found = split_files::in_folders(&names, &spec.folders, stems);
    let found = found.or_else(|| in_data_set(&names, &card, spec, stems));
    let Some(found) = found else {
        let instead =
            spec.hub.as_ref().map(|hub| format!(", or none to take it from the hub ({hub})"));
        return Err(DataError::MissingSplit {
            split: stems.join(" or "),
            looked_for: split_files::described(stems),
            place: folders(data, spec),
            cure: format!("give the folder that holds it as --data{}", instead.unwrap_or_default()),
        });
    };
    split_files::check_parts(&found)?;
    Ok(found.iter().map(|name| data.join(name)).collect())
}

/// The files of a split in a data set of the hub, here after this call.
fn on_hub(hub: &Hub, spec: &DataSpec, stems: &[&str]) -> Result<Vec<PathBuf>, DataError> {
    let name = spec.hub.as_deref().ok_or(DataError::NoHub)?;
    let main = hub.dataset(name, "main");
    let converted = || hub.dataset(name, CONVERTED).ok();
    for snapshot in main.iter().cloned().chain(std::iter::once_with(converted).flatten()) {
        let card = snapshot.names().iter().find(|name| *name == card::NAME);
        let card = card.map(|name| snapshot.file(name)).transpose()?;
        let card = card.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        if let Some(found) = in_data_set(snapshot.names(), &card, spec, stems) {
            split_files::check_parts(&found)?;
            return Ok(found.iter().map(|name| snapshot.file(name)).collect::<Result<_, _>>()?);
        }
    }
    Err(missing_on_hub(name, &main?, spec, stems))
}

/// The files of a split in a data set, as its card says or as such files are named.
fn in_data_set(
    names: &[String],
    card: &str,
    spec: &DataSpec,
    stems: &[&str],
) -> Option<Vec<String>> {
    let config = spec.config.as_deref();
    let told = card::files(card, config, names, stems);
    told.or_else(|| split_files::in_folders(names, &split_files::usual_folders(config), stems))
}

fn missing_on_hub(name: &str, snapshot: &Snapshot, spec: &DataSpec, stems: &[&str]) -> DataError {
    const SHOWN: usize = 10;
    let files = snapshot.names().iter().filter(|name| row_files::is_readable(name));
    let files: Vec<&str> = files.map(String::as_str).take(SHOWN).collect();
    let known = if files.is_empty() { "nothing that is read".to_owned() } else { files.join(", ") };
    let config = spec.config.as_ref().map(|config| format!(" (part {config})"));
    DataError::MissingSplit {
        split: stems.join(" or "),
        looked_for: split_files::described(stems),
        place: format!("{name}{} at {}", config.unwrap_or_default(), snapshot.commit()),
        cure: format!("it holds {known}; give a folder that holds the split as --data"),
    }
}

/// The folders that are looked at, as an error shows them.
fn folders(data: &Path, spec: &DataSpec) -> String {
    let folders = spec.folders.iter().map(|folder| data.join(folder).display().to_string());
    folders.collect::<Vec<_>>().join(", ")
}

/// The files at most `depth` folders below `folder`, as names that begin with `above`; what is
/// may not be looked at is passed over.
fn collect(folder: &Path, above: &str, depth: usize, names: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else { continue };
        let name = format!("{above}{name}");
        if path.is_file() {
            names.push(name);
        } else if path.is_dir() && depth > 0 {
            collect(&path, &format!("{name}/"), depth - 1, names);
        }
    }
}

fn the_folder_itself() -> Vec<String> {
    vec![".".to_owned()]
}

fn yes() -> bool {
    true
}
