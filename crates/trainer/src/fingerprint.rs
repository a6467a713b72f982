//! Checksums of files: exact ones of a checkpoint, and a quick one of a model folder that may hold
//! a hundred gigabytes.

use crate::durable::{self, failed};
use crate::error::TrainError;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

const PIECE_BYTES: usize = 1 << 20;
const SAMPLES: u64 = 256;
const SAMPLE_BYTES: u64 = 4096;

/// SHA-256 of every file below a folder, by its path in it.
pub fn of_files(folder: &Path) -> Result<BTreeMap<String, String>, TrainError> {
    let named = |path: &Path| {
        let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
        Ok((name, of_file(path)?))
    };
    durable::files_below(folder)?.iter().map(|path| named(path)).collect()
}

/// SHA-256 of a file.
pub fn of_file(path: &Path) -> Result<String, TrainError> {
    let mut hash = Sha256::new();
    read_into(&mut hash, path).map_err(failed("read", path))?;
    Ok(in_hex(hash))
}

fn read_into(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            length => hash.update(&piece[..length]),
        }
    }
}

/// A checksum of a model: its whole config.json, and of each file of weights its size and evenly
/// spaced samples. Two models that differ by training or by seed have different ones.
pub fn of_model(folder: &Path) -> Result<String, TrainError> {
    let mut hash = Sha256::new();
    let config = folder.join("config.json");
    hash.update(fs::read(&config).map_err(failed("read", &config))?);
    for path in durable::entries(folder)? {
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            sample(&path, &mut hash).map_err(failed("read", &path))?;
        }
    }
    Ok(in_hex(hash))
}

fn sample(path: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    hash.update(size.to_le_bytes());
    let distance = (size / SAMPLES).max(SAMPLE_BYTES);
    let mut bytes = Vec::new();
    for start in (0..size).step_by(distance as usize) {
        bytes.clear();
        file.seek(SeekFrom::Start(start))?;
        file.by_ref().take(SAMPLE_BYTES).read_to_end(&mut bytes)?;
        hash.update(&bytes);
    }
    Ok(())
}

fn in_hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(weights: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        fs::write(folder.path().join("model.safetensors"), weights).unwrap();
        folder
    }

    #[test]
    fn equal_models_have_equal_fingerprints_wherever_they_are() {
        let (a, b) = (model(&[1; 100_000]), model(&[1; 100_000]));
        assert_eq!(of_model(a.path()).unwrap(), of_model(b.path()).unwrap());
    }

    #[test]
    fn a_small_model_is_seen_whole() {
        let mut weights = vec![1; 100_000];
        let before = of_model(model(&weights).path()).unwrap();
        for place in [0, 50_001, 99_999] {
            weights[place] ^= 1;
            assert_ne!(of_model(model(&weights).path()).unwrap(), before, "byte {place}");
            weights[place] ^= 1;
        }
    }

    #[test]
    fn a_file_of_abc_has_the_published_sha_256() {
        let folder = model(b"abc");
        let files = of_files(folder.path()).unwrap();
        let published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(files["model.safetensors"], published);
    }
}
