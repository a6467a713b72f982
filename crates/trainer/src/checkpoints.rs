//! The folder of checkpoints: which ones are there, a new one in, old ones out, the last one given
//! out as the finished model. What a checkpoint holds is written by others.

use crate::durable;
use crate::error::TrainError;
use kollama_llama::remove_model;
use std::fs;
use std::path::{Path, PathBuf};

/// Folder of what only a resumed run needs, inside of a checkpoint.
pub const TRAINER_FOLDER: &str = "trainer";

/// The file that makes a folder a model.
pub const CONFIG: &str = "config.json";

/// `checkpoints/` in the folder of a run.
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// Those of a run; the folder need not exist yet.
    pub fn of_run(out: &Path, keep: usize) -> Checkpoints {
        Checkpoints { folder: out.join("checkpoints"), keep }
    }

    /// The newest whole checkpoint.
    pub fn newest(&self) -> Result<Option<PathBuf>, TrainError> {
        Ok(self.all()?.pop().map(|(_, path)| path))
    }

    /// Adds a checkpoint that `fill` writes, unless the step has one, and removes the oldest
    /// beyond those to keep.
    pub fn save(
        &self,
        step: u64,
        fill: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<PathBuf, TrainError> {
        let path = self.folder.join(format!("step-{step:06}"));
        if !path.exists() {
            durable::create_folder(&path, fill)?;
        }
        self.remove_oldest()?;
        Ok(path)
    }

    /// Removes what a killed run left unfinished.
    pub fn clean(&self) -> Result<(), TrainError> {
        match self.folder.exists() {
            true => durable::clean(&self.folder),
            false => Ok(()),
        }
    }

    fn remove_oldest(&self) -> Result<(), TrainError> {
        let all = self.all()?;
        let surplus = all.len().saturating_sub(self.keep);
        all[..surplus].iter().try_for_each(|(_, path)| durable::remove_folder(path))
    }

    /// All whole checkpoints, the oldest first.
    fn all(&self) -> Result<Vec<(u64, PathBuf)>, TrainError> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let paths = durable::entries(&self.folder)?.into_iter();
        let mut found: Vec<(u64, PathBuf)> =
            paths.filter_map(|path| Some((step_of(&path)?, path))).collect();
        found.sort_unstable();
        Ok(found)
    }
}

/// Gives the model of a checkpoint out as the model of the run. The configuration of an older model
/// goes first and the new one comes last, since a folder without one is no model. Weights are second
/// names of the checkpoint's; the rest, which people edit, is copied.
pub fn publish(checkpoint: &Path, out: &Path) -> Result<(), TrainError> {
    let mut files = durable::entries(checkpoint)?;
    files.retain(|path| !path.is_dir());
    files.sort_by_key(|path| path.ends_with(CONFIG));
    remove_model(out)?;
    for path in files {
        let to = out.join(path.file_name().unwrap_or_default());
        match path.extension().is_some_and(|extension| extension == "safetensors") {
            true => durable::link(&path, &to)?,
            false => durable::copy(&path, &to)?,
        }
    }
    Ok(())
}

fn step_of(path: &Path) -> Option<u64> {
    let step = path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()?;
    fs::metadata(path).ok()?.is_dir().then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(folder: &Path) -> Result<(), TrainError> {
        durable::write(&folder.join("config.json"), b"{}")
    }

    #[test]
    fn the_newest_are_kept_by_number_and_not_by_name() {
        let out = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of_run(out.path(), 2);
        assert_eq!(checkpoints.newest().unwrap(), None);
        for step in [9, 999_999, 1_000_000] {
            checkpoints.save(step, filled).unwrap();
        }
        let steps: Vec<u64> = checkpoints.all().unwrap().iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [999_999, 1_000_000]);
        assert!(checkpoints.newest().unwrap().unwrap().ends_with("step-1000000"));
    }

    #[test]
    fn an_unfinished_checkpoint_is_not_seen_and_is_cleaned_away() {
        let out = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of_run(out.path(), 2);
        checkpoints.save(1, filled).unwrap();
        checkpoints.save(2, |_| Err(TrainError::NoStepsLeft { steps: 0 })).unwrap_err();
        assert_eq!(fs::read_dir(&checkpoints.folder).unwrap().count(), 1);
        fs::create_dir(checkpoints.folder.join(".step-000003.partial")).unwrap();
        assert!(checkpoints.newest().unwrap().unwrap().ends_with("step-000001"));
        checkpoints.clean().unwrap();
        assert_eq!(fs::read_dir(&checkpoints.folder).unwrap().count(), 1);
    }

    #[test]
    fn the_model_is_given_out_without_what_only_a_resumed_run_needs() {
        let out = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of_run(out.path(), 1);
        let checkpoint = checkpoints.save(1, |folder| {
            fs::create_dir(folder.join(TRAINER_FOLDER)).unwrap();
            filled(folder)
        });
        publish(&checkpoint.unwrap(), out.path()).unwrap();
        assert_eq!(fs::read(out.path().join("config.json")).unwrap(), b"{}");
        assert!(!out.path().join(TRAINER_FOLDER).exists());
    }

    #[test]
    fn a_model_in_several_files_leaves_nothing_of_the_one_before_it() {
        let out = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of_run(out.path(), 1);
        for old in ["model.safetensors", "model-00001-of-00003.safetensors"] {
            fs::write(out.path().join(old), "old").unwrap();
        }
        let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        let checkpoint = checkpoints.save(1, |folder| {
            shards.iter().try_for_each(|name| durable::write(&folder.join(name), b"new"))?;
            filled(folder)
        });
        publish(&checkpoint.unwrap(), out.path()).unwrap();
        let mut names = durable::entries(out.path()).unwrap();
        names.retain(|path| !path.is_dir());
        assert_eq!(names, [CONFIG, shards[0], shards[1]].map(|name| out.path().join(name)));
    }

    #[test]
    fn a_configuration_edited_in_place_does_not_damage_the_checkpoint() {
        let out = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoints::of_run(out.path(), 1).save(1, filled).unwrap();
        publish(&checkpoint, out.path()).unwrap();
        fs::write(out.path().join(CONFIG), "edited").unwrap();
        assert_eq!(fs::read(checkpoint.join(CONFIG)).unwrap(), b"{}");
    }
}
