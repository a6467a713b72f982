//! An output folder that appears whole or not at all.
//!
//! Work goes on in a hidden folder beside the output, `.NAME.partial-PID`; at the end it is
//! synced and renamed. An error before that removes it, with the folders around it that were made
//! for it. Only a process that is killed or interrupted (Ctrl-C) leaves them behind; the hidden
//! folder can be deleted as soon as that process is gone.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;

use crate::error::CorpusError;

/// A folder in the making.
pub(crate) struct StagedFolder {
    path: PathBuf,
    target: PathBuf,
    around: MadeFolders,
    committed: bool,
}

/// Folders made on the way to an output, outermost first; removed again unless they are kept.
#[derive(Default)]
struct MadeFolders(Vec<PathBuf>);

impl StagedFolder {
    /// Begins the folder that is to become `target`, which must not exist unless it is an
    /// empty folder. The folders around it are made where they are missing.
    pub(crate) fn create(target: &Path) -> Result<Self, CorpusError> {
        check_is_free(target)?;
        let refused = |reason| CorpusError::write(target, reason);
        let name = target.file_name().ok_or_else(|| refused(ErrorKind::InvalidFilename.into()))?;
        let hidden = format!(".{}.partial-{}", name.to_string_lossy(), process::id());
        let around = MadeFolders::create(parent(target)).map_err(refused)?;
        let path = parent(target).join(hidden);
        fs::create_dir(&path).map_err(refused)?;
        Ok(Self { path, target: target.to_owned(), around, committed: false })
    }

    /// Where to write meanwhile.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the folder in its place. The files in it have to be synced already.
    pub(crate) fn commit(mut self) -> Result<(), CorpusError> {
        sync_folder(&self.path)
            .and_then(|()| fs::rename(&self.path, &self.target))
            .map_err(|reason| CorpusError::write(&self.target, reason))?;
        self.committed = true;
        self.around.0.clear();
        let parent = parent(&self.target);
        sync_folder(parent).map_err(|reason| CorpusError::write(parent, reason))
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        if !self.committed {
            // Nobody is left to tell: an error is on its way to the caller already.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl MadeFolders {
    /// Makes `folder` and those around it, as far as they are missing.
    fn create(folder: &Path) -> io::Result<Self> {
        let missing: Vec<&Path> = folder.ancestors().take_while(|above| !above.exists()).collect();
        let mut made = Self::default();
        for above in missing.into_iter().rev().filter(|above| !above.as_os_str().is_empty()) {
            match fs::create_dir(above) {
                Ok(()) => made.0.push(above.to_owned()),
                // `..` of a folder just made, or another process was faster.
                Err(_) if above.is_dir() => {}
                Err(reason) => return Err(reason),
            }
        }
        Ok(made)
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // Fails, as it should, where somebody has put something into it meanwhile.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The folder that holds `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Refuses an output that is anything but absent or an empty folder.
fn check_is_free(target: &Path) -> Result<(), CorpusError> {
    if !target.exists() && !target.is_symlink() {
        return Ok(());
    }
    let taken = || CorpusError::OutputExists { path: target.to_owned() };
    let entries = fs::read_dir(target).map_err(|reason| match reason.kind() {
        ErrorKind::PermissionDenied => CorpusError::write(target, reason),
        _ => taken(),
    });
    match entries?.next() {
        None => Ok(()),
        Some(_) => Err(taken()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_committed_folder_is_all_there_is() {
        let around = tempfile::tempdir().unwrap();
        let target = around.path().join("out");
        let staged = StagedFolder::create(&target).unwrap();
        fs::write(staged.path().join("a"), "a").unwrap();
        assert!(!target.exists());
        staged.commit().unwrap();
        assert_eq!(entries(around.path()), ["out"]);
        assert_eq!(entries(&target), ["a"]);
    }

    #[test]
    fn an_abandoned_folder_leaves_nothing() {
        let around = tempfile::tempdir().unwrap();
        let staged = StagedFolder::create(&around.path().join("out")).unwrap();
        fs::write(staged.path().join("a"), "a").unwrap();
        drop(staged);
        assert!(entries(around.path()).is_empty());
    }

    #[test]
    fn folders_around_the_output_are_made_and_kept_only_with_it() {
        let around = tempfile::tempdir().unwrap();
        let target = around.path().join("a/b/out");
        drop(StagedFolder::create(&target).unwrap());
        assert!(entries(around.path()).is_empty());
        StagedFolder::create(&target).unwrap().commit().unwrap();
        assert_eq!(entries(&around.path().join("a/b")), ["out"]);
        drop(StagedFolder::create(&around.path().join("a/b/c/more")).unwrap());
        assert_eq!(entries(&around.path().join("a/b")), ["out"], "a and b were there before");
    }

    #[test]
    fn a_way_through_a_folder_that_is_missing_is_made_too() {
        let around = tempfile::tempdir().unwrap();
        let staged = StagedFolder::create(&around.path().join("a/../b/out")).unwrap();
        drop(staged);
        assert!(entries(around.path()).is_empty());
    }

    #[test]
    fn a_made_folder_that_others_use_by_now_stays() {
        let around = tempfile::tempdir().unwrap();
        let staged = StagedFolder::create(&around.path().join("a/b/out")).unwrap();
        fs::write(around.path().join("a/precious"), "").unwrap();
        drop(staged);
        assert_eq!(entries(&around.path().join("a")), ["precious"]);
    }

    #[test]
    fn an_empty_folder_is_taken_and_a_full_one_or_a_file_refused() {
        let around = tempfile::tempdir().unwrap();
        let target = around.path().join("out");
        fs::create_dir(&target).unwrap();
        StagedFolder::create(&target).unwrap().commit().unwrap();
        fs::write(target.join("precious"), "").unwrap();
        for taken in [&target, &target.join("precious")] {
            let error = StagedFolder::create(taken).err().unwrap();
            assert!(matches!(error, CorpusError::OutputExists { .. }), "{error:?}");
        }
        assert_eq!(entries(&target), ["precious"]);
    }

    #[test]
    fn an_output_that_cannot_be_made_is_named() {
        let around = tempfile::tempdir().unwrap();
        fs::write(around.path().join("file"), "").unwrap();
        for impossible in ["file/out", "file/in/out", "missing/.."] {
            let target = around.path().join(impossible);
            let error = StagedFolder::create(&target).err().unwrap();
            assert!(matches!(error, CorpusError::Write { .. }), "{impossible}: {error:?}");
            assert!(error.to_string().contains(impossible), "{error}");
        }
        assert_eq!(entries(around.path()), ["file"]);
    }
}
