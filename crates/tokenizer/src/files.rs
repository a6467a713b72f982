//! Reading whole files, and writing them so that a reader sees the old file or the new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::TokenizerError;

/// All bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    fs::read(path).map_err(|source| TokenizerError::Read { path: path.into(), source })
}

/// A text file, or nothing if there is none.
pub fn read_text_if_there(path: &Path) -> Result<Option<String>, TokenizerError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read { path: path.into(), source }),
    }
}

/// Writes beside the file, flushes to the disk, renames.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), TokenizerError> {
    let beside = beside(path);
    let written = write_and_sync(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| {
        // The first error is the one to tell; a leftover under the temporary name harms nobody.
        let _ = fs::remove_file(&beside);
        TokenizerError::Write { path: path.into(), source }
    })
}

/// Makes a folder with all its parents.
pub fn make_folder(path: &Path) -> Result<(), TokenizerError> {
    fs::create_dir_all(path).map_err(|source| TokenizerError::Write { path: path.into(), source })
}

/// Removes a file if it is there.
pub fn remove_if_there(path: &Path) -> Result<(), TokenizerError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(TokenizerError::Write { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".writing-{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        write(&path, b"old").expect("written");
        write(&path, b"new").expect("written again");
        assert_eq!(read(&path).expect("there"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn an_error_names_the_file() {
        let error = write(Path::new("/nowhere/at/all.json"), b"").expect_err("no such folder");
        assert!(error.to_string().contains("/nowhere/at/all.json"));
    }
}
