//! Rows to a packed folder: shards of bounded size, then `meta.json`, then the rename.
//!
//! Does not know where rows come from, and does not look into them.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::CorpusError;
use crate::meta::{META_NAME, Meta, Origin, ShardMeta};
use crate::row::RowLayout;
use crate::shard::{ShardWriter, shard_name};
use crate::staging::StagedFolder;

/// Words of a full shard, 64 Mi: 256 MiB a file.
const SHARD_WORDS: usize = 64 << 20;

/// A packed folder being written.
pub(crate) struct PackedWriter {
    folder: StagedFolder,
    layout: RowLayout,
    vocab_size: usize,
    rows_per_shard: u64,
    open: Option<ShardWriter>,
    shards: Vec<ShardMeta>,
}

impl PackedWriter {
    /// Begins the folder `out`, which must not exist unless it is empty.
    pub(crate) fn create(
        out: &Path,
        layout: RowLayout,
        vocab_size: usize,
    ) -> Result<Self, CorpusError> {
        Ok(Self {
            folder: StagedFolder::create(out)?,
            layout,
            vocab_size,
            rows_per_shard: (SHARD_WORDS / layout.words()).max(1) as u64,
            open: None,
            shards: Vec::new(),
        })
    }

    /// Appends the words of one row.
    pub(crate) fn push(&mut self, words: &[u32]) -> Result<(), CorpusError> {
        if self.open.as_ref().is_some_and(|shard| shard.rows() == self.rows_per_shard) {
            self.close_shard()?;
        }
        match &mut self.open {
            Some(shard) => shard.push(words),
            None => {
                let path = self.folder.path().join(shard_name(self.shards.len()));
                let shard = ShardWriter::create(path, &self.layout, self.vocab_size)?;
                self.open.insert(shard).push(words)
            }
        }
    }

    /// Completes the folder and puts it in its place.
    pub(crate) fn finish(mut self, origin: Origin) -> Result<Meta, CorpusError> {
        self.close_shard()?;
        let meta = Meta::new(&self.layout, self.vocab_size, self.shards, origin);
        write_synced(&self.folder.path().join(META_NAME), &meta.to_json())?;
        self.folder.commit()?;
        Ok(meta)
    }

    fn close_shard(&mut self) -> Result<(), CorpusError> {
        if let Some(shard) = self.open.take() {
            let rows = shard.rows() as usize;
            self.shards.push(ShardMeta { rows, sha256: shard.finish()? });
        }
        Ok(())
    }
}

/// Writes a small file and brings it to the disk.
fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), CorpusError> {
    File::create(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|reason| CorpusError::write(path, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::PackedData;
    use crate::row::{DocumentMode, StoredLabels};

    #[test]
    fn rows_go_on_from_shard_to_shard() {
        let around = tempfile::tempdir().unwrap();
        let out = around.path().join("out");
        let layout = RowLayout {
            sequence_length: 1,
            labels: StoredLabels::Last,
            documents: DocumentMode::Join,
        };
        let mut writer = PackedWriter::create(&out, layout, 100).unwrap();
        writer.rows_per_shard = 3;
        for id in 0..8 {
            writer.push(&[id, id + 1]).unwrap();
        }
        let origin = Origin { tokenizer: None, tokens: 9, dropped_tokens: 0, sources: vec![] };
        let meta = writer.finish(origin).unwrap();
        assert_eq!(meta.shards.iter().map(|shard| shard.rows).collect::<Vec<_>>(), [3, 3, 2]);
        let data = PackedData::open(&out).unwrap();
        let ids: Vec<u32> = (0..data.rows()).map(|index| data.row(index).ids[0]).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6, 7]);
        data.verify().unwrap();
    }
}
