//! A folder that appears whole or not at all: filled under a temporary name, then renamed.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;

/// Lets `fill` write into a new folder beside `out`, syncs it and gives it the name `out`. Where
/// `fill` fails, nothing is left. `out` must not exist, or be an empty folder.
pub fn staged<T>(out: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    must_be_free(out)?;
    let name = out.file_name().with_context(|| format!("{} is no folder name", out.display()))?;
    let temporary = out.with_file_name(format!(".{}.{}.tmp", name.display(), std::process::id()));
    if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).with_context(|| {
            format!("cannot make {}: cannot make {}", out.display(), parent.display())
        })?;
    }
    let filled = fill(&temporary).and_then(|result| {
        sync(&temporary)?;
        fs::rename(&temporary, out)?;
        Ok(result)
    });
    filled
        .inspect_err(|_| drop(fs::remove_dir_all(&temporary)))
        .with_context(|| format!("cannot make {}", out.display()))
}

/// Refuses an `out` that already holds something.
pub fn must_be_free(out: &Path) -> Result<()> {
    ensure!(out.file_name().is_some(), "{} is no name for a new folder", out.display());
    let taken = out.is_file() || out.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    ensure!(!taken, "{} exists and is not empty; choose another --out", out.display());
    Ok(())
}

fn sync(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::File::open(entry?.path())?.sync_all()?;
    }
    Ok(fs::File::open(folder)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fill_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("model");
        let failed: Result<()> = staged(&out, |temporary| {
            fs::create_dir(temporary)?;
            fs::write(temporary.join("config.json"), "{}")?;
            anyhow::bail!("no space left")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_stands_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("precious"), "1").unwrap();
        assert!(staged(folder.path(), |_| Ok(())).is_err());
        assert!(folder.path().join("precious").exists());
    }
}
