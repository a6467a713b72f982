//! Files to rows. The ending of a name tells the format and how the bytes are packed; the rows of
//! each format are made in a file of their own.

use crate::data_error::DataError;
use crate::digest::{hexadecimal, sha256};
use crate::rows::Row;
use crate::{json_rows, parquet_rows, tabular};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The endings that are read, in the order in which they are looked for.
const ENDINGS: [&str; 6] = ["parquet", "jsonl", "json", "csv", "tsv", "txt"];

/// What may follow such an ending.
const PACKINGS: [&str; 3] = ["", ".zst", ".gz"];

/// The most unpacked bytes of a file: what ends up in memory.
const LARGEST: u64 = 4 << 30;

/// The largest zstd window that is accepted, as a power of two: what `zstd --long=31` writes.
const ZSTD_WINDOW_LOG: u32 = 31;

/// The mark that some editors put before the first byte of a UTF-8 file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One split in memory.
#[derive(Clone, Debug)]
pub struct Split {
    /// In the order of the file.
    pub rows: Vec<Row>,
    /// The file, the first where a split has several.
    pub path: PathBuf,
    /// SHA-256 over the bytes of its files, unpacked.
    pub sha256: String,
}

/// A file that is no table.
#[derive(Clone, Debug)]
pub struct Text {
    /// What stands in it.
    pub text: String,
    /// The file.
    pub path: PathBuf,
    /// SHA-256 over its bytes, unpacked.
    pub sha256: String,
}

/// The first file in `folder` that has one of these names, packed or not.
pub fn named(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let packed = |name| PACKINGS.iter().map(move |packing| folder.join(format!("{name}{packing}")));
    names.iter().flat_map(packed).find(|path| path.is_file())
}

/// Reads a file as one text.
pub fn plain(path: &Path) -> Result<Text, DataError> {
    let bytes = unpacked(path)?;
    let sha256 = sha256(&bytes);
    Ok(Text { text: text(path, bytes)?, path: path.to_path_buf(), sha256 })
}

/// Whether a file of this name would be read.
pub fn is_readable(name: &str) -> bool {
    kind(name).is_some()
}

/// The names a file of this stem may have, in the order in which they are looked for.
pub fn in_order_of_endings(stem: &str) -> Vec<String> {
    let packed = |ending| PACKINGS.iter().map(move |packing| format!("{stem}.{ending}{packing}"));
    ENDINGS.iter().flat_map(packed).collect()
}

/// The endings that are read, as an error shows them.
pub fn endings() -> String {
    format!("{{{}}}[.zst|.gz]", ENDINGS.join(","))
}

/// Reads the files of a split, one after the other; `quotes` is about tables of text: whether `"`
/// protects what stands between two of it, or is a character like any other.
pub fn read(paths: &[PathBuf], quotes: bool) -> Result<Split, DataError> {
    let mut digest = Sha256::new();
    let mut rows = Vec::new();
    for path in paths {
        let bytes = unpacked(path)?;
        digest.update(&bytes);
        rows.append(&mut parsed(&path.as_path().into(), bytes, quotes)?);
    }
    let path = paths.first().cloned().unwrap_or_default();
    if rows.is_empty() {
        return Err(DataError::NoRows { path });
    }
    Ok(Split { rows, path, sha256: hexadecimal(digest) })
}

/// Ending and packing of a name, in the small letters of the tables above.
fn kind(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.to_ascii_lowercase();
    let packing = PACKINGS.iter().rev().find(|packing| name.ends_with(**packing))?;
    let (_, ending) = name[..name.len() - packing.len()].rsplit_once('.')?;
    let ending = ENDINGS.iter().find(|known| **known == ending)?;
    Some((ending, packing))
}

fn kind_of(path: &Path) -> Result<(&'static str, &'static str), DataError> {
    let unknown = || DataError::UnknownFormat { path: path.to_path_buf(), known: endings() };
    path.file_name().and_then(|name| kind(&name.to_string_lossy())).ok_or_else(unknown)
}

fn parsed(file: &Arc<Path>, bytes: Vec<u8>, quotes: bool) -> Result<Vec<Row>, DataError> {
    let (ending, _) = kind_of(file)?;
    if ending == "parquet" {
        return parquet_rows::rows(file, bytes);
    }
    let text = text(file, bytes)?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    match ending {
        "jsonl" => json_rows::lines(file, text),
        "json" => json_rows::rows(file, text),
        "csv" => tabular::rows(file, text, b',', quotes),
        _ => tabular::rows(file, text, b'\t', quotes),
    }
}

fn unpacked(path: &Path) -> Result<Vec<u8>, DataError> {
    let (_, packing) = kind_of(path)?;
    let file = File::open(path).map_err(|source| DataError::read(path, source))?;
    match packing {
        ".zst" => {
            let damaged = |source| damaged(path, "zstd", source);
            let mut decoder = zstd::Decoder::new(file).map_err(damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
            bounded(path, decoder, damaged)
        }
        ".gz" => {
            let decoder = flate2::read::MultiGzDecoder::new(file);
            bounded(path, decoder, |source| damaged(path, "gzip", source))
        }
        _ => bounded(path, file, |source| DataError::read(path, source)),
    }
}

fn damaged(path: &Path, packing: &'static str, source: std::io::Error) -> DataError {
    DataError::Unpack { path: path.to_path_buf(), packing, source }
}

/// All that `reader` gives, unless that is too much.
fn bounded(
    path: &Path,
    reader: impl Read,
    refused: impl Fn(std::io::Error) -> DataError,
) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes).map_err(refused)?;
    match bytes.len() as u64 {
        0..=LARGEST => Ok(bytes),
        _ => Err(DataError::TooLarge { path: path.to_path_buf(), limit: LARGEST }),
    }
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, DataError> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good].iter().filter(|&&byte| byte == b'\n').count();
        DataError::NotUtf8 { path: path.to_path_buf(), line }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read_one(name: &str, bytes: &[u8]) -> Result<Split, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&[path], true)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_ending_tells_how_a_file_is_read_and_unpacked() {
        let json = b"{\"A\": \"x\"}\n";
        let packed = zstd::encode_all(&json[..], 0).unwrap();
        let files: [(&str, &[u8]); 7] = [
            ("a.csv", b"A,B\nx,y\n"),
            ("a.tsv", b"A\tB\nx\ty\n"),
            ("a.txt", b"A\tB\nx\ty\n"),
            ("a.JSONL", json),
            ("a.json", b"[{\"A\": \"x\"}]"),
            ("a.jsonl.zst", &packed),
            ("a.jsonl.gz", &gzip(json)),
        ];
        for (name, bytes) in files {
            let split = read_one(name, bytes).unwrap();
            assert_eq!(split.rows[0].text("A").unwrap(), "x", "{name}");
        }
        let message = read_one("a.arrow", b"").unwrap_err().to_string();
        assert!(message.contains("a.arrow") && message.contains("parquet"), "{message}");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_column() {
        for (name, text) in [("a.csv", "\u{feff}A\nx"), ("a.json", "\u{feff}[{\"A\": \"x\"}]")] {
            assert_eq!(read_one(name, text.as_bytes()).unwrap().rows[0].text("A").unwrap(), "x");
        }
    }

    #[test]
    fn the_hash_is_of_the_unpacked_bytes() {
        let plain = read_one("a.tsv", b"A\n1\n").unwrap().sha256;
        let packed = zstd::encode_all(&b"A\n1\n"[..], 0).unwrap();
        assert_eq!(read_one("a.tsv.zst", &packed).unwrap().sha256, plain);
        assert_ne!(read_one("a.tsv", b"A\n2\n").unwrap().sha256, plain);
        assert_eq!(plain, "8ebbd9fe688c1e5442da8aaf95b3ebd6d850c60f8ef42a69a3a4b82f4df064e6");
    }

    #[test]
    fn the_parts_of_a_split_are_read_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["b.jsonl", "a.csv"].map(|name| folder.path().join(name));
        std::fs::write(&paths[0], "{\"A\": \"1\"}").unwrap();
        std::fs::write(&paths[1], "A\n2\n").unwrap();
        let split = read(&paths, true).unwrap();
        let values: Vec<_> = split.rows.iter().map(|row| row.text("A").unwrap()).collect();
        assert_eq!((values, split.path), (vec!["1", "2"], paths[0].clone()));
    }

    #[test]
    fn bytes_that_are_not_text_are_named_by_their_line() {
        for name in ["a.tsv", "a.csv", "a.jsonl", "a.json"] {
            let message = read_one(name, b"A\n1\n\xFF\n").unwrap_err().to_string();
            assert!(message.contains(&format!("{name}:3: not UTF-8")), "{message}");
        }
    }

    #[test]
    fn a_packed_file_that_is_cut_short_or_something_else_is_named() {
        let packed = zstd::encode_all(&b"A\n1\n"[..], 0).unwrap();
        let zipped = gzip(b"A\n1\n");
        let files: [(&str, &[u8]); 4] = [
            ("a.tsv.zst", &packed[..packed.len() - 2]),
            ("a.tsv.zst", b"A\n1\n"),
            ("a.tsv.gz", &zipped[..zipped.len() - 4]),
            ("a.tsv.gz", b"A\n1\n"),
        ];
        for (name, bytes) in files {
            let message = read_one(name, bytes).unwrap_err().to_string();
            assert!(message.contains(&format!("{name}: cannot be unpacked")), "{message}");
        }
    }

    #[test]
    fn a_file_without_rows_is_an_error_and_not_a_mean_of_nothing() {
        for (name, text) in [
            ("a.csv", ""),
            ("a.csv", "A,B\n"),
            ("a.tsv", "\n"),
            ("a.jsonl", "\n"),
            ("a.json", "[]"),
        ] {
            let message = read_one(name, text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(&format!("{name}: no rows")), "{message}");
        }
    }
}
