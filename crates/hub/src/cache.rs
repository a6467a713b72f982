//! The folder of the hub on this machine: where it is, what it holds, how it grows.
//! Nothing here asks the network.

use crate::error::HubError;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder with one folder per data set.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// `HF_HOME`, or where it is when nobody says it.
pub(crate) fn home(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let cache = || {
        let named = variable("XDG_CACHE_HOME").map(PathBuf::from);
        named.or_else(|| Some(Path::new(&variable("HOME")?).join(".cache")))
    };
    let home = variable("HF_HOME").map(PathBuf::from);
    home.or_else(|| Some(cache()?.join("huggingface"))).map(|path| expanded(path, variable))
}

/// The cache folder itself.
pub(crate) fn folder(
    variable: &dyn Fn(&str) -> Option<String>,
    home: Option<&Path>,
) -> Option<PathBuf> {
    let named = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
    match named {
        Some(path) => Some(expanded(path.into(), variable)),
        None => Some(home?.join("hub")),
    }
}

/// `~/` at the beginning is the home of the user.
fn expanded(path: PathBuf, variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    match (path.strip_prefix("~"), variable("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path,
    }
}

impl Cache {
    /// The cache in `folder`, which need not exist.
    pub fn at(folder: PathBuf) -> Cache {
        Cache { folder }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The commit that `revision` was when it was last looked up, and the files that were fetched.
    pub(crate) fn snapshot(
        &self,
        dataset: &str,
        revision: &str,
    ) -> Result<Option<(String, Vec<String>)>, HubError> {
        let reference = self.of(dataset).join("refs").join(revision);
        let commit = match fs::read_to_string(&reference) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => revision.to_owned(),
        };
        let snapshot = self.of(dataset).join("snapshots").join(&commit);
        if !is_commit(&commit) || !snapshot.is_dir() {
            return Ok(None);
        }
        let mut names = Vec::new();
        collect(&snapshot, "", &mut names)?;
        names.sort();
        Ok(Some((commit, names)))
    }

    /// Where the file `name` of a snapshot stands or will stand.
    pub(crate) fn file(&self, dataset: &str, commit: &str, name: &str) -> PathBuf {
        self.of(dataset).join("snapshots").join(commit).join(name)
    }

    /// Where the bytes with this tag stand or will stand.
    pub(crate) fn blob(&self, dataset: &str, tag: &str) -> PathBuf {
        self.of(dataset).join("blobs").join(tag)
    }

    /// Makes the file `path` of a snapshot a link to its bytes.
    pub(crate) fn link(&self, path: &Path, blob: &Path) -> Result<(), HubError> {
        make_folder_of(path)?;
        match linked(path, blob) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other.map_err(HubError::cache(path)),
        }
    }

    /// Writes down which commit `revision` is.
    pub(crate) fn remember(
        &self,
        dataset: &str,
        revision: &str,
        commit: &str,
    ) -> Result<(), HubError> {
        let path = self.of(dataset).join("refs").join(revision);
        if revision == commit || fs::read_to_string(&path).is_ok_and(|known| known == commit) {
            return Ok(());
        }
        make_folder_of(&path)?;
        write_whole(&path, commit.as_bytes()).map_err(HubError::cache(&path))
    }

    fn of(&self, dataset: &str) -> PathBuf {
        self.folder.join(format!("datasets--{}", dataset.replace('/', "--")))
    }
}

/// Makes the folder that is to hold `path`.
pub(crate) fn make_folder_of(path: &Path) -> Result<(), HubError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(HubError::cache(folder))
}

/// The files below `folder`, as names that begin with `above`.
fn collect(folder: &Path, above: &str, names: &mut Vec<String>) -> Result<(), HubError> {
    for entry in fs::read_dir(folder).map_err(HubError::cache(folder))? {
        let entry = entry.map_err(HubError::cache(folder))?;
        let name = format!("{above}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(HubError::cache(folder))?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), names)?;
        } else if entry.path().is_file() {
            names.push(name);
        }
    }
    Ok(())
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A link relative to where it stands, so that the cache can be moved.
#[cfg(unix)]
fn linked(path: &Path, blob: &Path) -> std::io::Result<()> {
    let dataset = blob.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    let inside = path.strip_prefix(dataset).unwrap_or(path);
    let up: PathBuf = inside.components().skip(1).map(|_| "..").collect();
    let target = blob.strip_prefix(dataset).unwrap_or(blob);
    std::os::unix::fs::symlink(up.join(target), path)
}

/// Where links are a privilege, the bytes stand under the name itself.
#[cfg(not(unix))]
fn linked(path: &Path, blob: &Path) -> std::io::Result<()> {
    fs::hard_link(blob, path)
}

/// Beside, then renamed, so that nobody reads half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let unique = (std::process::id(), WRITTEN.fetch_add(1, Ordering::Relaxed));
    let beside = path.with_extension(format!("partial-{}-{}", unique.0, unique.1));
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path))
        .inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        folder(&variable, home(&variable).as_deref())
    }

    #[test]
    fn the_more_exact_variable_wins() {
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "/c"),
            ("XDG_CACHE_HOME", "/d"),
            ("HOME", "/e"),
        ];
        let expected = ["/a", "/b", "/c/hub", "/d/huggingface/hub", "/e/.cache/huggingface/hub"];
        for (first, expected) in expected.iter().enumerate() {
            assert_eq!(folder_of(&all[first..]), Some(PathBuf::from(expected)));
        }
        assert_eq!(folder_of(&[]), None);
        let home = [("HF_HOME", "~/models"), ("HOME", "/e")];
        assert_eq!(folder_of(&home), Some(PathBuf::from("/e/models/hub")));
    }
}
