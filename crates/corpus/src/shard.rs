//! The shard file: a header and rows of 32-bit words, memory-mapped.
//!
//! All numbers are unsigned 32-bit little-endian words; labels are two's complement.
//!
//! ```text
//! word 0-1   the bytes "KOLLPACK"
//! word 2     version of this layout, 1
//! word 3     N, the ids of a row
//! word 4     stored labels of a row: 1 (the last) or N (all)
//! word 5     stored document numbers of a row: 0 or N
//! word 6     vocabulary size: every id is below it
//! word 7     0
//! word 8...  rows, one after the other: N ids, the labels, the document numbers
//! ```
//!
//! The number of rows and the SHA-256 of the whole file stand in `meta.json`, so that a shard
//! is written from front to back in one pass. This file knows one shard, not the folder.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use crate::checksum::Checksum;
use crate::error::CorpusError;
use crate::mapped::MappedFile;
use crate::row::{Row, RowLayout};

const MAGIC: [u8; 8] = *b"KOLLPACK";
const VERSION: u32 = 1;
const HEADER_WORDS: usize = 8;
const BUFFER_BYTES: usize = 1 << 20;

/// The name of shard number `index` in its folder.
pub(crate) fn shard_name(index: usize) -> String {
    format!("shard-{index:05}.bin")
}

/// The header of every shard of a folder.
fn header(layout: &RowLayout, vocab_size: usize) -> [u32; HEADER_WORDS] {
    let magic: [u32; 2] = bytemuck::cast(MAGIC);
    [
        magic[0],
        magic[1],
        VERSION,
        layout.sequence_length as u32,
        layout.label_words() as u32,
        layout.document_words() as u32,
        vocab_size as u32,
        0,
    ]
}

/// A shard being written, front to back.
pub(crate) struct ShardWriter {
    path: PathBuf,
    file: BufWriter<File>,
    checksum: Checksum,
    rows: u64,
}

impl ShardWriter {
    /// Begins a shard at `path` with its header.
    pub(crate) fn create(
        path: PathBuf,
        layout: &RowLayout,
        vocab_size: usize,
    ) -> Result<Self, CorpusError> {
        let file = File::create(&path).map_err(|e| CorpusError::write(&path, e))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut writer = Self { path, file, checksum: Checksum::default(), rows: 0 };
        writer.write(&header(layout, vocab_size))?;
        Ok(writer)
    }

    /// Appends the words of one row.
    pub(crate) fn push(&mut self, words: &[u32]) -> Result<(), CorpusError> {
        self.rows += 1;
        self.write(words)
    }

    /// Rows written so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Brings everything to the disk; gives the SHA-256 of the file.
    pub(crate) fn finish(self) -> Result<String, CorpusError> {
        let synced = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        synced
            .and_then(|file| file.sync_all())
            .map_err(|reason| CorpusError::write(&self.path, reason))?;
        Ok(self.checksum.finish())
    }

    fn write(&mut self, words: &[u32]) -> Result<(), CorpusError> {
        let bytes = bytemuck::cast_slice(words);
        self.checksum.update(bytes);
        self.file.write_all(bytes).map_err(|e| CorpusError::write(&self.path, e))
    }
}

/// A shard open for reading; header and length have been checked.
pub(crate) struct Shard {
    path: PathBuf,
    mapped: MappedFile,
    layout: RowLayout,
}

impl Shard {
    /// Maps the shard at `path`, which has to have exactly this header and `rows` rows.
    pub(crate) fn open(
        path: PathBuf,
        layout: RowLayout,
        vocab_size: usize,
        rows: usize,
    ) -> Result<Self, CorpusError> {
        let mapped = MappedFile::open(&path).map_err(|e| CorpusError::read(&path, e))?;
        let shard = Self { path, mapped, layout };
        shard.check(vocab_size, rows).map_err(|reason| shard.damaged(reason))?;
        Ok(shard)
    }

    /// Row `index`, which is below the number of rows.
    pub(crate) fn row(&self, index: usize) -> Row<'_> {
        let start = HEADER_WORDS + index * self.layout.words();
        self.layout.row(&self.mapped.words()[start..start + self.layout.words()])
    }

    /// Reads the whole shard and compares its SHA-256 with `expected`.
    pub(crate) fn verify(&self, expected: &str) -> Result<(), CorpusError> {
        let found = Checksum::of(self.mapped.bytes());
        if found == expected {
            return Ok(());
        }
        Err(self.damaged(format!("SHA-256 is {found}, but meta.json says {expected}")))
    }

    fn check(&self, vocab_size: usize, rows: usize) -> Result<(), String> {
        let words = self.mapped.words();
        let expected = header(&self.layout, vocab_size);
        if words.len() < HEADER_WORDS || words[..2] != expected[..2] {
            return Err("does not begin with the header of a packed shard".to_owned());
        }
        let found = &words[..HEADER_WORDS];
        if found != expected {
            let (found, expected) = (&found[2..], &expected[2..]);
            return Err(format!("header is {found:?}, but meta.json asks for {expected:?}"));
        }
        let expected = expected_bytes(&self.layout, rows);
        let found = self.mapped.bytes().len();
        if expected != Some(found) {
            let expected = expected.map_or("more".to_owned(), |bytes| bytes.to_string());
            return Err(format!("has {found} bytes, but {rows} rows need {expected}"));
        }
        Ok(())
    }

    fn damaged(&self, reason: String) -> CorpusError {
        CorpusError::Shard { path: self.path.clone(), reason }
    }
}

/// The length of a shard, unless no file can be that long.
fn expected_bytes(layout: &RowLayout, rows: usize) -> Option<usize> {
    rows.checked_mul(layout.words())?.checked_add(HEADER_WORDS)?.checked_mul(size_of::<u32>())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::row::{DocumentMode, StoredLabels};

    const LAYOUT: RowLayout =
        RowLayout { sequence_length: 2, labels: StoredLabels::Last, documents: DocumentMode::Join };

    fn two_rows() -> (tempfile::TempDir, PathBuf, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(shard_name(0));
        let mut writer = ShardWriter::create(path.clone(), &LAYOUT, 300).unwrap();
        writer.push(&[5, 6, 7]).unwrap();
        writer.push(&[7, 8, 2]).unwrap();
        assert_eq!(writer.rows(), 2);
        let checksum = writer.finish().unwrap();
        (folder, path, checksum)
    }

    #[test]
    fn the_bytes_are_as_the_layout_says() {
        let (_folder, path, checksum) = two_rows();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(&bytes[..8], b"KOLLPACK");
        let words = [1_u32, 2, 1, 0, 300, 0, 5, 6, 7, 7, 8, 2];
        assert_eq!(bytes[8..], words.map(u32::to_le_bytes).concat());
        assert_eq!(checksum, Checksum::of(&bytes));
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let (_folder, path, checksum) = two_rows();
        let shard = Shard::open(path, LAYOUT, 300, 2).unwrap();
        assert_eq!(shard.row(0).ids, [5, 6]);
        assert_eq!(*shard.row(1).labels, [8, 2]);
        shard.verify(&checksum).unwrap();
    }

    #[test]
    fn shortened_lengthened_and_foreign_shards_are_refused() {
        let (_folder, path, _) = two_rows();
        let whole = fs::read(&path).unwrap();
        let longer = [&whole[..], &[0; 4]].concat();
        let foreign = [b"PARQUET1", &whole[8..]].concat();
        let cases: [(&[u8], &str); 6] = [
            (&whole[..whole.len() - 1], "has 55 bytes, but 2 rows need 56"),
            (&whole[..whole.len() - 12], "has 44 bytes"),
            (&longer, "has 60 bytes"),
            (&foreign, "does not begin with"),
            (&whole[..20], "does not begin with"),
            (&[], "does not begin with"),
        ];
        for (content, expected) in cases {
            fs::write(&path, content).unwrap();
            let text = Shard::open(path.clone(), LAYOUT, 300, 2).err().unwrap().to_string();
            assert!(text.contains("shard-00000.bin") && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_header_of_other_sizes_is_refused() {
        let (_folder, path, _) = two_rows();
        let error = Shard::open(path, LAYOUT, 301, 2).err().unwrap();
        assert!(error.to_string().contains("header"), "{error}");
    }

    #[test]
    fn a_flipped_bit_fails_verification() {
        let (_folder, path, checksum) = two_rows();
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, bytes).unwrap();
        let shard = Shard::open(path, LAYOUT, 300, 2).unwrap();
        assert!(shard.verify(&checksum).unwrap_err().to_string().contains("SHA-256"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_reported() {
        let mut writer = ShardWriter::create("/dev/full".into(), &LAYOUT, 300).unwrap();
        writer.push(&[5, 6, 7]).unwrap();
        let text = writer.finish().unwrap_err().to_string();
        assert!(text.contains("/dev/full") && text.contains("free space"), "{text}");
    }
}
