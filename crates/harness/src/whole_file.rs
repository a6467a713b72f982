//! Files that appear whole or not at all. Knows bytes, not results.

use crate::error::HarnessError;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Lets `fill` write beside `path`, syncs and renames: a file under its own name is always whole,
/// and a failure leaves what stood there before.
pub fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), HarnessError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    let beside = PathBuf::from(beside);
    written(&beside, fill)
        .and_then(|()| std::fs::rename(&beside, path))
        .inspect_err(|_| drop(std::fs::remove_file(&beside)))
        .map_err(|source| HarnessError::Write { path: path.to_path_buf(), source })
}

fn written(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    fill(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()
}

/// Makes `folder` where it is missing and proves that files can be written into it, so that hours
/// of scoring do not end at a folder that takes no results.
pub fn prepare(folder: &Path) -> Result<(), HarnessError> {
    let proof = folder.join(format!(".proof-{}.partial", std::process::id()));
    std::fs::create_dir_all(folder)
        .and_then(|()| File::create(&proof))
        .and_then(|_| std::fs::remove_file(&proof))
        .map_err(|source| HarnessError::Write { path: folder.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_no_partial_file_and_what_stood_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("results.md");
        std::fs::create_dir(&taken).unwrap();
        let message = write_whole(&taken, |file| file.write_all(b"x")).unwrap_err().to_string();
        assert!(message.contains("results.md: cannot be written"), "{message}");
        let kept = folder.path().join("kept");
        std::fs::write(&kept, "precious").unwrap();
        let full = |_: &mut BufWriter<File>| Err(std::io::Error::other("full"));
        assert!(write_whole(&kept, full).is_err());
        assert_eq!(std::fs::read(&kept).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing partial");
    }

    #[test]
    fn a_folder_is_prepared_before_anything_is_scored() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("made/on/the/way");
        prepare(&folder).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "the proof is gone again");
        let file = around.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        let message = prepare(&file).unwrap_err().to_string();
        assert!(message.contains("file: cannot be written"), "{message}");
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }
}
