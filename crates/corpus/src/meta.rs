//! The `meta.json` of a packed folder: what its shards hold and where that came from.
//!
//! Holds no time and no machine, so the same input gives the same bytes.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::error::CorpusError;
use crate::row::{DocumentMode, RowLayout, StoredLabels};
use crate::statistics::SourceStatistics;

/// The name of the file in its folder.
pub(crate) const META_NAME: &str = "meta.json";

const FORMAT: &str = "kollama-packed";
const VERSION: u32 = 1;

/// The content of `meta.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Meta {
    format: String,
    version: u32,
    pub(crate) sequence_length: usize,
    pub(crate) rows: usize,
    pub(crate) vocab_size: usize,
    /// The fingerprint of the tokenizer; none for rows that were tokenised elsewhere.
    pub(crate) tokenizer: Option<String>,
    pub(crate) documents: DocumentMode,
    pub(crate) labels: StoredLabels,
    /// Tokens of the whole stream, one `</s>` a document included.
    pub(crate) tokens: u64,
    /// Those at its end that filled no row.
    pub(crate) dropped_tokens: u64,
    pub(crate) sources: Vec<SourceStatistics>,
    pub(crate) shards: Vec<ShardMeta>,
}

/// One shard; shard number i is in the file `shard-0000i.bin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShardMeta {
    pub(crate) rows: usize,
    pub(crate) sha256: String,
}

/// What is told about the rows besides the shards themselves.
pub(crate) struct Origin {
    pub(crate) tokenizer: Option<String>,
    pub(crate) tokens: u64,
    pub(crate) dropped_tokens: u64,
    pub(crate) sources: Vec<SourceStatistics>,
}

/// Enough of the file to tell whether the rest can be understood.
#[derive(Deserialize)]
struct Kind {
    format: String,
    version: u32,
}

impl Meta {
    /// The meta data of `shards` full of rows of this layout.
    pub(crate) fn new(
        layout: &RowLayout,
        vocab_size: usize,
        shards: Vec<ShardMeta>,
        origin: Origin,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            sequence_length: layout.sequence_length,
            rows: shards.iter().map(|shard| shard.rows).sum(),
            vocab_size,
            tokenizer: origin.tokenizer,
            documents: layout.documents,
            labels: layout.labels,
            tokens: origin.tokens,
            dropped_tokens: origin.dropped_tokens,
            sources: origin.sources,
            shards,
        }
    }

    /// Reads the file in `folder` and checks it against itself.
    pub(crate) fn open(folder: &Path) -> Result<Self, CorpusError> {
        let path = folder.join(META_NAME);
        let bytes = fs::read(&path).map_err(|e| CorpusError::read(&path, e))?;
        Self::parse(&bytes).map_err(|reason| CorpusError::Meta { path, reason })
    }

    /// The bytes of the file.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut bytes =
            serde_json::to_vec_pretty(self).expect("strings, numbers and lists always serialise");
        bytes.push(b'\n');
        bytes
    }

    /// How the words of a row lie.
    pub(crate) fn layout(&self) -> RowLayout {
        let (labels, documents) = (self.labels, self.documents);
        RowLayout { sequence_length: self.sequence_length, labels, documents }
    }

    /// A checksum of the rows and their meaning, whatever the sources are called.
    pub(crate) fn fingerprint(&self) -> String {
        let layout = self.layout();
        let mut text = format!(
            "{FORMAT} {VERSION} {} {} {} {}\n",
            layout.sequence_length,
            layout.label_words(),
            layout.document_words(),
            self.vocab_size
        );
        for shard in &self.shards {
            text.push_str(&format!("{} {}\n", shard.rows, shard.sha256));
        }
        Checksum::of(text.as_bytes())
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let kind: Kind = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if kind.format != FORMAT || kind.version != VERSION {
            let Kind { format, version } = kind;
            return Err(format!(
                "format `{format}` version {version}; expected `{FORMAT}` version {VERSION}"
            ));
        }
        let meta: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        meta.check()?;
        Ok(meta)
    }

    fn check(&self) -> Result<(), String> {
        let sizes = [("sequence_length", self.sequence_length), ("vocab_size", self.vocab_size)];
        for (name, size) in sizes {
            if size == 0 || size > i32::MAX as usize {
                return Err(format!("`{name}` is {size}; expected 1 to {}", i32::MAX));
            }
        }
        let rows = self.shards.iter().try_fold(0_usize, |sum, shard| sum.checked_add(shard.rows));
        if rows != Some(self.rows) || self.rows == 0 {
            return Err(format!("`rows` is {}; expected the sum of the shards' rows", self.rows));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        let layout = RowLayout {
            sequence_length: 4,
            labels: StoredLabels::Last,
            documents: DocumentMode::Confine,
        };
        let shards = vec![ShardMeta { rows: 3, sha256: "ab".into() }];
        let origin = Origin { tokenizer: None, tokens: 14, dropped_tokens: 1, sources: Vec::new() };
        Meta::new(&layout, 300, shards, origin)
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Meta::parse(&meta().to_json()).unwrap(), meta());
    }

    #[test]
    fn a_file_that_contradicts_itself_is_refused_by_field() {
        let good = String::from_utf8(meta().to_json()).unwrap();
        let cases = [
            ("\"version\": 1", "\"version\": 2", "version 2"),
            ("kollama-packed", "other", "`other`"),
            ("\"sequence_length\": 4", "\"sequence_length\": 0", "`sequence_length`"),
            ("\"vocab_size\": 300", "\"vocab_size\": 4294967296", "`vocab_size`"),
            ("\"rows\": 3,\n  \"v", "\"rows\": 4,\n  \"v", "`rows`"),
            ("\"dropped_tokens\"", "\"other\"", "`other`"),
            ("{", "", "at line 2"),
        ];
        for (from, to, expected) in cases {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            let reason = Meta::parse(bad.as_bytes()).unwrap_err();
            assert!(reason.contains(expected), "{from}: {reason}");
        }
    }

    #[test]
    fn the_fingerprint_follows_the_rows_and_not_the_origin() {
        let mut other = meta();
        other.tokenizer = Some("t".into());
        other.sources.push(SourceStatistics::default());
        assert_eq!(other.fingerprint(), meta().fingerprint());
        other.shards[0].sha256 = "ac".into();
        assert_ne!(other.fingerprint(), meta().fingerprint());
        let mut joined = meta();
        joined.documents = DocumentMode::Join;
        assert_ne!(joined.fingerprint(), meta().fingerprint());
    }
}
