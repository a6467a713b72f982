//! Writes a model folder: shards, index and configuration, under a temporary name until all of it
//! is on the disk. Whatever fails, the folder that was asked for holds a whole model or none.

use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::safetensors::{TensorHead, TensorWriter};
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Name of a model in one file.
pub(crate) const SINGLE: &str = "model.safetensors";
/// Name of the list of a model in several files.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
const CONFIG: &str = "config.json";
/// A file is closed before it grows beyond this, unless one tensor does alone.
const SHARD_BYTES: u64 = 5_000_000_000;

/// Called with the bytes done and the bytes of all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Where the bytes of a tensor go.
pub(crate) struct Sink<'a> {
    writer: TensorWriter,
    progress: Progress<'a>,
    done: u64,
    all: u64,
}

impl Sink<'_> {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LlamaError> {
        self.writer.write(bytes)?;
        self.done += bytes.len() as u64;
        (self.progress)(self.done, self.all);
        Ok(())
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub files: usize,
    pub bytes: u64,
}

/// Writes all tensors of `plan` in that order; `fill` hands the bytes of each to the sink.
pub(crate) fn write_folder(
    out: &Path,
    config: &LlamaConfig,
    plan: &[TensorHead],
    progress: Progress<'_>,
    fill: &mut dyn FnMut(&TensorHead, &mut Sink<'_>) -> Result<(), LlamaError>,
) -> Result<Written, LlamaError> {
    write_shards(out, config, plan, SHARD_BYTES, progress, fill)
}

/// As [`write_folder`], with shards of another size.
pub(crate) fn write_shards(
    out: &Path,
    config: &LlamaConfig,
    plan: &[TensorHead],
    shard_bytes: u64,
    progress: Progress<'_>,
    fill: &mut dyn FnMut(&TensorHead, &mut Sink<'_>) -> Result<(), LlamaError>,
) -> Result<Written, LlamaError> {
    let temporary = TemporaryFolder::beside(out)?;
    let (shards, all) =
        (shards_of(plan, shard_bytes), plan.iter().filter_map(TensorHead::bytes).sum());
    let (mut done, mut names) = (0, Vec::new());
    for (number, shard) in shards.iter().enumerate() {
        let name = shard_name(number, shards.len());
        let writer = TensorWriter::create(&temporary.path.join(&name), &plan[shard.clone()])?;
        let mut sink = Sink { writer, progress: &mut *progress, done, all };
        plan[shard.clone()].iter().try_for_each(|head| fill(head, &mut sink))?;
        done = sink.done;
        sink.writer.finish()?;
        names.push(name);
    }
    if names.len() > 1 {
        write_json(&temporary.path.join(INDEX), &index_of(plan, &shards, &names, all))?;
        names.push(INDEX.into());
    }
    write_json(&temporary.path.join(CONFIG), &config.to_json())?;
    temporary.become_the_model(names)?;
    Ok(Written { files: shards.len(), bytes: all })
}

/// Writes a JSON file and waits until it is on the disk.
fn write_json(path: &Path, value: &Value) -> Result<(), LlamaError> {
    let text = format!("{value:#}\n");
    fs::write(path, text)
        .and_then(|()| File::open(path)?.sync_all())
        .map_err(LlamaError::write(path))
}

/// Cuts the plan where the next tensor would make a file too large.
fn shards_of(plan: &[TensorHead], limit: u64) -> Vec<Range<usize>> {
    let (mut shards, mut start, mut filled) = (Vec::new(), 0, 0);
    for (place, head) in plan.iter().enumerate() {
        let bytes = head.bytes().unwrap_or(u64::MAX);
        if place > start && filled + bytes > limit {
            shards.push(start..place);
            (start, filled) = (place, 0);
        }
        filled += bytes;
    }
    shards.push(start..plan.len());
    shards
}

fn shard_name(number: usize, shards: usize) -> String {
    match shards {
        1 => SINGLE.into(),
        _ => format!("model-{:05}-of-{shards:05}.safetensors", number + 1),
    }
}

fn index_of(plan: &[TensorHead], shards: &[Range<usize>], names: &[String], bytes: u64) -> Value {
    let mut map = Map::new();
    for (shard, name) in shards.iter().zip(names) {
        map.extend(plan[shard.clone()].iter().map(|head| (head.name.clone(), json!(name))));
    }
    json!({"metadata": {"total_size": bytes}, "weight_map": map})
}

/// A folder that vanishes unless it becomes the model.
struct TemporaryFolder {
    path: PathBuf,
    out: PathBuf,
}

impl TemporaryFolder {
    /// Inside `out` if that is a folder already, else beside it, so that renaming never copies.
    fn beside(out: &Path) -> Result<TemporaryFolder, LlamaError> {
        let unfinished = |name: &str| format!(".{name}.{}.partial", std::process::id());
        let path = if out.is_dir() {
            out.join(unfinished("model"))
        } else if let (Some(name), false) = (out.file_name(), out.exists()) {
            out.with_file_name(unfinished(&name.to_string_lossy()))
        } else {
            return Err(LlamaError::write(out)(ErrorKind::NotADirectory.into()));
        };
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(LlamaError::write(&path))?;
        create_anew(&path)?;
        Ok(TemporaryFolder { path, out: out.into() })
    }

    /// In a folder that exists, the old configuration goes first and the new one comes last, so
    /// that a kill in between leaves a folder that nobody takes for a model.
    fn become_the_model(self, names: Vec<String>) -> Result<(), LlamaError> {
        let out = &self.out;
        settle(Some(&self.path))?;
        if !out.is_dir() {
            fs::rename(&self.path, out).map_err(LlamaError::write(out))?;
            return settle(out.parent().filter(|parent| !parent.as_os_str().is_empty()));
        }
        remove_model(out)?;
        for name in names.iter().map(String::as_str).chain([CONFIG]) {
            let to = out.join(name);
            fs::rename(self.path.join(name), &to).map_err(LlamaError::write(&to))?;
        }
        settle(Some(out))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // After a success it is gone or empty; after a failure there is already an error to report.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes an empty folder. One of that name that a killed process left goes first, but only if it
/// holds nothing but a model.
fn create_anew(path: &Path) -> Result<(), LlamaError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            remove_model(path)?;
            fs::remove_dir(path).and_then(|()| fs::create_dir(path))
        }
        made => made,
    }
    .map_err(LlamaError::write(path))
}

/// Removes the files of the model that a folder holds, the configuration first, and nothing else.
///
/// # Errors
/// Names the file that cannot be removed.
pub fn remove_model(folder: &Path) -> Result<(), LlamaError> {
    let failed = LlamaError::write(folder);
    let mut old = vec![folder.join(CONFIG), folder.join(INDEX)];
    for file in fs::read_dir(folder).map_err(&failed)? {
        let file = file.map_err(&failed)?.path();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with("model") && name.ends_with(".safetensors")) {
            old.push(file);
        }
    }
    for file in old.into_iter().filter(|file| file.exists()) {
        fs::remove_file(&file).map_err(LlamaError::write(&file))?;
    }
    settle(Some(folder))
}

/// Waits until the names in a folder are on the disk.
fn settle(folder: Option<&Path>) -> Result<(), LlamaError> {
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder).and_then(|file| file.sync_all()).map_err(LlamaError::write(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::safetensors::tensor::Dtype;

    fn head(name: &str, values: usize) -> TensorHead {
        TensorHead { name: name.into(), dtype: Dtype::F32, shape: vec![values] }
    }

    fn write(out: &Path, limit: u64) -> Result<Written, LlamaError> {
        let config = LlamaConfig::preset("tiny").unwrap();
        let plan = [head("a", 2), head("b", 2), head("c", 9)];
        let fill = &mut |head: &TensorHead, sink: &mut Sink<'_>| {
            sink.write(&vec![1; head.bytes().unwrap() as usize])
        };
        write_shards(out, &config, &plan, limit, &mut |_, _| {}, fill)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn shards_are_closed_before_they_outgrow_the_limit_and_listed_in_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("deep/model");
        assert_eq!(write(&out, 16).unwrap(), Written { files: 2, bytes: 52 });
        let (first, second) =
            ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
        assert_eq!(names(&out), ["config.json", first, second, INDEX]);
        let index: Value = serde_json::from_slice(&fs::read(out.join(INDEX)).unwrap()).unwrap();
        assert_eq!(index["weight_map"], json!({"a": first, "b": first, "c": second}));
        assert_eq!(names(&folder.path().join("deep")), ["model"]);
    }

    #[test]
    fn a_model_takes_the_place_of_another_and_leaves_the_rest_of_the_folder_alone() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("model");
        write(&out, 16).unwrap();
        fs::write(out.join("tokenizer.json"), "{}").unwrap();
        write(&out, 100).unwrap();
        assert_eq!(names(&out), ["config.json", SINGLE, "tokenizer.json"]);
    }

    #[test]
    fn a_failure_half_way_leaves_nothing_and_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("model");
        let config = LlamaConfig::preset("tiny").unwrap();
        let fail = || {
            let fill = &mut |_: &TensorHead, sink: &mut Sink<'_>| {
                sink.write(&[0; 4])?;
                Err(LlamaError::DiskFull { file: "x".into() })
            };
            write_folder(&out, &config, &[head("a", 2)], &mut |_, _| {}, fill).unwrap_err();
        };
        fail();
        assert!(names(folder.path()).is_empty());
        write(&out, 100).unwrap();
        fail();
        assert_eq!(names(&out), ["config.json", SINGLE]);
    }

    #[test]
    fn what_a_killed_process_left_is_replaced_and_what_others_left_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("model");
        let beside = folder.path().join(format!(".model.{}.partial", std::process::id()));
        fs::create_dir_all(folder.path().join("model.tmp")).unwrap();
        fs::create_dir(&beside).unwrap();
        fs::write(beside.join(shard_name(0, 2)), "half").unwrap();
        write(&out, 100).unwrap();
        assert_eq!(names(folder.path()), ["model", "model.tmp"]);
        fs::remove_dir_all(&out).unwrap();
        fs::create_dir(&beside).unwrap();
        fs::write(beside.join("letter.txt"), "").unwrap();
        assert!(write(&out, 100).unwrap_err().to_string().contains(".partial"));
        assert_eq!(names(&beside), ["letter.txt"]);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("model");
        fs::write(&out, "").unwrap();
        assert!(write(&out, 100).unwrap_err().to_string().contains("model: not a directory"));
    }
}
