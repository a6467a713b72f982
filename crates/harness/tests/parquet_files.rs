//! Parquet files that pyarrow and `datasets` wrote, against what pyarrow reads in them; and what
//! becomes of such files when they are cut or damaged.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

use kollama_harness::{DataError, Split, row_files};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// What the readers make of `bytes` in a file of the name `name`.
fn read(folder: &Path, name: &str, bytes: &[u8]) -> Result<Split, DataError> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    row_files::read(&[path], true)
}

#[test]
fn every_value_is_what_pyarrow_reads() {
    let golden_values = std::fs::read_to_string(golden("parquet.json")).unwrap();
    let golden_values: Value = serde_json::from_str(&golden_values).unwrap();
    for (name, expected) in golden_values["files"].as_object().unwrap() {
        let rows = row_files::read(&[golden(name)], true).unwrap().rows;
        let rows: Vec<Value> = rows.iter().map(|row| row.fields().clone().into()).collect();
        assert_eq!(rows.len(), expected.as_array().unwrap().len(), "{name}");
        for (row, expected) in rows.iter().zip(expected.as_array().unwrap()) {
            assert_eq!(row, expected, "{name}");
        }
    }
}

#[test]
fn a_file_that_is_cut_short_anywhere_is_named_as_not_whole() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(golden("snappy.parquet")).unwrap();
    for length in (0..whole.len()).step_by(97) {
        let message = read(folder.path(), "a.parquet", &whole[..length]).unwrap_err().to_string();
        assert!(message.contains("a.parquet: not a whole parquet file"), "{message}");
    }
}

#[test]
fn a_damaged_file_gives_rows_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["snappy.parquet", "zstd.parquet", "datasets.parquet", "narrow.parquet"] {
        let whole = std::fs::read(golden(name)).unwrap();
        let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..150 {
            let mut damaged = whole.clone();
            for _ in 0..3 {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (chance >> 33) as usize % damaged.len();
                damaged[at] = (chance >> 24) as u8;
            }
            drop(read(folder.path(), "a.parquet", &damaged));
        }
    }
}
