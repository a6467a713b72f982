//! Files that are there whole or not at all: written beside their place, brought to the disk, then
//! renamed. Knows nothing of what it writes.

use crate::error::TrainError;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ending of names that stand for something unfinished.
const UNFINISHED: &str = ".partial";

/// Puts a whole file in its place.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let beside = unfinished(path);
    let mut file = File::create(&beside).map_err(failed("create", &beside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &beside))?;
    rename(&beside, path)
}

/// Makes a whole folder: `fill` writes into an empty one beside, which then gets its name. Where
/// anything fails, nothing is left.
pub fn create_folder(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let beside = unfinished(path);
    remove_folder_if_there(&beside)?;
    fs::create_dir_all(&beside).map_err(failed("create", &beside))?;
    let made = fill(&beside).and_then(|()| sync_all(&beside)).and_then(|()| rename(&beside, path));
    made.inspect_err(|_| drop(fs::remove_dir_all(&beside)))
}

/// Removes a folder in such a way that no half of it keeps its name.
pub fn remove_folder(path: &Path) -> Result<(), TrainError> {
    let beside = unfinished(path);
    rename(path, &beside)?;
    remove_folder_if_there(&beside)
}

/// Puts a second name for a file in its place, or a copy where the file system has no second names.
pub fn link(from: &Path, to: &Path) -> Result<(), TrainError> {
    let beside = unfinished(to);
    remove_file_if_there(&beside)?;
    if fs::hard_link(from, &beside).is_err() {
        return copy(from, to);
    }
    rename(&beside, to)?;
    // Where both were names of one file already, the system has renamed nothing and kept both.
    remove_file_if_there(&beside)
}

/// Puts a copy of a file in its place.
pub fn copy(from: &Path, to: &Path) -> Result<(), TrainError> {
    let beside = unfinished(to);
    // What a killed run left may be a second name of the very file, which a copy would empty.
    remove_file_if_there(&beside)?;
    fs::copy(from, &beside).map_err(failed("write", &beside))?;
    sync(&beside)?;
    rename(&beside, to)
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        match path.is_dir() {
            true => files.extend(files_below(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

/// What stands in a folder, by name.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let entries = fs::read_dir(folder).map_err(failed("read", folder))?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(failed("read", folder))?;
    paths.sort_unstable();
    Ok(paths)
}

/// Removes what a killed run left unfinished in a folder.
pub fn clean(folder: &Path) -> Result<(), TrainError> {
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name.starts_with('.') && name.ends_with(UNFINISHED) {
            remove_folder_if_there(&path)?;
        }
    }
    Ok(())
}

/// Names the file and what was tried with it.
pub fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TrainError {
    move |source| TrainError::Io { action, path: path.into(), source }
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(UNFINISHED);
    path.with_file_name(name)
}

fn rename(from: &Path, to: &Path) -> Result<(), TrainError> {
    fs::rename(from, to).map_err(failed("rename", from))?;
    match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => sync(Path::new(".")),
    }
}

fn remove_file_if_there(path: &Path) -> Result<(), TrainError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn remove_folder_if_there(path: &Path) -> Result<(), TrainError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn sync_all(folder: &Path) -> Result<(), TrainError> {
    for path in entries(folder)? {
        match path.is_dir() {
            true => sync_all(&path)?,
            false => sync(&path)?,
        }
    }
    sync(folder)
}

fn sync(path: &Path) -> Result<(), TrainError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_whose_filling_fails_never_gets_its_name() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("made");
        let outcome = create_folder(&path, |folder| {
            write(&folder.join("half"), b"1")?;
            Err(TrainError::NoStepsLeft { steps: 1 })
        });
        assert!(outcome.is_err());
        assert!(entries(around.path()).unwrap().is_empty());
    }

    #[test]
    fn a_folder_left_half_by_a_killed_run_is_made_anew() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("made");
        fs::create_dir(unfinished(&path)).unwrap();
        fs::write(unfinished(&path).join("old"), b"1").unwrap();
        create_folder(&path, |folder| write(&folder.join("new"), b"2")).unwrap();
        assert_eq!(files_below(&path).unwrap(), [path.join("new")]);
    }

    #[test]
    fn a_link_takes_the_place_of_what_was_there() {
        let around = tempfile::tempdir().unwrap();
        let (from, to) = (around.path().join("from"), around.path().join("to"));
        write(&from, b"new").unwrap();
        write(&to, b"old").unwrap();
        link(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        link(&from, &to).unwrap();
        let names = entries(around.path()).unwrap();
        assert_eq!(names.len(), 2, "linked again, nothing is left beside: {names:?}");
    }
}
