//! A packed folder, open for reading: any row at once, nothing copied, nothing loaded ahead.
//!
//! Which row is read when is for the trainer to choose.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::CorpusError;
use crate::meta::Meta;
use crate::row::Row;
use crate::shard::{Shard, shard_name};

/// The rows that [`pack_texts`](crate::pack_texts) or [`pack_ids`](crate::pack_ids) wrote,
/// memory-mapped.
pub struct PackedData {
    folder: PathBuf,
    meta: Meta,
    fingerprint: String,
    shards: Vec<Shard>,
    /// The first row of each shard.
    starts: Vec<usize>,
}

impl PackedData {
    /// Opens a packed folder.
    ///
    /// # Errors
    /// A missing or invalid `meta.json`; a shard that is missing, has another header or
    /// another length than `meta.json` says. Damage inside the rows is found by
    /// [`PackedData::verify`].
    pub fn open(folder: &Path) -> Result<Self, CorpusError> {
        let meta = Meta::open(folder)?;
        let mut shards = Vec::with_capacity(meta.shards.len());
        let mut starts = Vec::with_capacity(meta.shards.len());
        let mut start = 0;
        for (index, shard) in meta.shards.iter().enumerate() {
            let path = folder.join(shard_name(index));
            shards.push(Shard::open(path, meta.layout(), meta.vocab_size, shard.rows)?);
            starts.push(start);
            start += shard.rows;
        }
        let fingerprint = meta.fingerprint();
        Ok(Self { folder: folder.to_owned(), meta, fingerprint, shards, starts })
    }

    /// How many rows there are; at least one.
    pub fn rows(&self) -> usize {
        self.meta.rows
    }

    /// The ids of a row, N.
    pub fn sequence_length(&self) -> usize {
        self.meta.sequence_length
    }

    /// The vocabulary size that every id is below.
    pub fn vocab_size(&self) -> usize {
        self.meta.vocab_size
    }

    /// The fingerprint of the tokenizer; none for rows that were tokenised elsewhere.
    pub fn tokenizer_fingerprint(&self) -> Option<&str> {
        self.meta.tokenizer.as_deref()
    }

    /// Row `index` of the corpus.
    ///
    /// # Panics
    /// If `index` is not below [`PackedData::rows`], like any index.
    pub fn row(&self, index: usize) -> Row<'_> {
        assert!(index < self.rows(), "row {index} of {} packed rows", self.rows());
        let shard = self.starts.partition_point(|&start| start <= index) - 1;
        self.shards[shard].row(index - self.starts[shard])
    }

    /// A checksum of all rows and their meaning: equal data has equal fingerprints, wherever
    /// it lies. Costs nothing: it is made of the checksums in `meta.json`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Accepts the tokenizer with this fingerprint, or says that the rows were made by another.
    /// Rows that were tokenised elsewhere name no tokenizer and accept every one.
    ///
    /// # Errors
    /// [`CorpusError::OtherTokenizer`], which names both.
    pub fn check_tokenizer(&self, fingerprint: &str) -> Result<(), CorpusError> {
        match &self.meta.tokenizer {
            Some(packed) if packed != fingerprint => Err(CorpusError::OtherTokenizer {
                folder: self.folder.clone(),
                packed: packed.clone(),
                given: fingerprint.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Reads every byte and compares it with the checksums of `meta.json`: for a folder that
    /// was copied or fetched. Neither [`PackedData::open`] nor the trainer does so, since it
    /// takes as long as reading the whole corpus.
    ///
    /// # Errors
    /// [`CorpusError::Shard`] for the first shard that differs.
    pub fn verify(&self) -> Result<(), CorpusError> {
        self.shards
            .iter()
            .zip(&self.meta.shards)
            .try_for_each(|(shard, meta)| shard.verify(&meta.sha256))
    }
}

impl fmt::Debug for PackedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedData")
            .field("folder", &self.folder)
            .field("rows", &self.meta.rows)
            .field("sequence_length", &self.meta.sequence_length)
            .finish_non_exhaustive()
    }
}
