//! The steps in their order, from files to a packed folder.
//!
//! Reading, packing and writing each have a file of their own; here they are only joined.

use std::path::{Path, PathBuf};

use kollama_tokenizer::Tokenizer;
use serde::Serialize;

use crate::encoding::{Encoded, encode_documents};
use crate::error::CorpusError;
use crate::meta::{Meta, Origin};
use crate::packing::Packer;
use crate::reader::documents;
use crate::row::DocumentMode;
use crate::statistics::{SourceStatistics, Tally};
use crate::tokenised::TokenisedRows;
use crate::writer::PackedWriter;

/// What was packed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackReport {
    /// Rows written.
    pub rows: usize,
    /// The ids of each row.
    pub sequence_length: usize,
    /// Shard files written.
    pub shards: usize,
    /// Tokens of the whole stream: the texts' ids and one `</s>` a document.
    pub tokens: u64,
    /// Those at its end that did not fill a row, neither as input nor as label.
    pub dropped_tokens: u64,
    /// Documents without any token; they are passed over and get no `</s>`.
    pub empty_documents: u64,
    /// What each source file held.
    pub sources: Vec<SourceStatistics>,
    /// Files in the source folders that are not read.
    pub skipped: Vec<PathBuf>,
    /// The fingerprint of the packed data.
    pub fingerprint: String,
}

/// Packs the texts of `sources` into rows of `sequence_length` ids in the new folder `out`.
///
/// Documents are joined by the tokenizer's `</s>`, without `<s>`; rows are cut as described
/// at [`DocumentMode`]. Up to `threads` threads encode; the rows do not depend on how many.
/// `progress` hears after each document how many source bytes are done.
/// The folder appears whole at the end.
///
/// # Errors
/// Those of [`documents`]; an output that exists or cannot be written; a tokenizer without
/// `</s>`; fewer tokens than one row and its last label need. After an error nothing is left.
pub fn pack_texts(
    sources: &[PathBuf],
    tokenizer: &Tokenizer,
    sequence_length: usize,
    mode: DocumentMode,
    out: &Path,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<PackReport, CorpusError> {
    check_size("sequence length", sequence_length)?;
    let end_of_text = tokenizer.eos_id().ok_or(CorpusError::NoEndOfText)?;
    let mut stream = documents(sources)?;
    let mut packer = Packer::new(sequence_length, mode);
    let mut writer = PackedWriter::create(out, packer.layout(), tokenizer.vocab_size())?;
    let (mut tally, mut empty_documents, mut ended) = (Tally::default(), 0, Vec::new());
    encode_documents(&mut stream, tokenizer, threads, |encoded| {
        let Encoded { document, ids, bytes_read } = encoded;
        tally.add(document, Some(ids.len()));
        if ids.is_empty() {
            empty_documents += 1;
        } else {
            ended.clear();
            ended.extend(ids.iter().copied().chain([end_of_text]));
            packer.push(&ended, &mut |row| writer.push(row))?;
        }
        progress(bytes_read);
        Ok(())
    })?;
    let (tokens, dropped_tokens) = (packer.tokens(), packer.dropped_tokens());
    if dropped_tokens == tokens {
        return Err(CorpusError::TooFewTokens { tokens, sequence_length });
    }
    let origin = Origin {
        tokenizer: Some(tokenizer.fingerprint()),
        tokens,
        dropped_tokens,
        sources: tally.finish(),
    };
    let meta = writer.finish(origin)?;
    Ok(report(meta, empty_documents, stream.skipped().to_vec()))
}

/// Packs rows that were tokenised elsewhere, in the order of the file, into the folder `out`.
///
/// `file` is a `.jsonl`, plain or ending in `.gz` or `.zst`, with one object a line:
/// `{"ids": [...], "labels": [...], "documents": [...]}`. All lists have the same length, in
/// all rows. `labels` are already moved by one, with [`NOT_COUNTED`](crate::NOT_COUNTED) for
/// what is not to be counted; left out, each position predicts the next id (of its own
/// document, where `documents` are given) and the last position nothing. `documents` number
/// the documents inside of which attention stays, and are in all rows or in none.
///
/// # Errors
/// A file that cannot be read; a row that breaks the above, by line and field; an output that
/// exists or cannot be written. After an error nothing is left.
pub fn pack_ids(file: &Path, vocab_size: usize, out: &Path) -> Result<PackReport, CorpusError> {
    check_size("vocabulary size", vocab_size)?;
    let mut rows = TokenisedRows::open(file, vocab_size)?;
    let Some((layout, first)) = rows.next()? else {
        let sources = file.display().to_string();
        return Err(CorpusError::Empty { sources, wanted: "rows" });
    };
    let mut writer = PackedWriter::create(out, layout, vocab_size)?;
    writer.push(first)?;
    let mut documents = 1;
    while let Some((_, row)) = rows.next()? {
        writer.push(row)?;
        documents += 1;
    }
    let tokens = documents * layout.sequence_length as u64;
    let source = SourceStatistics {
        file: file.display().to_string(),
        documents,
        tokens: Some(tokens),
        ..SourceStatistics::default()
    };
    let origin = Origin { tokenizer: None, tokens, dropped_tokens: 0, sources: vec![source] };
    Ok(report(writer.finish(origin)?, 0, Vec::new()))
}

/// Refuses a size that the words of a shard, or a label, cannot hold.
fn check_size(name: &'static str, value: usize) -> Result<(), CorpusError> {
    match value {
        1..=0x7fff_ffff => Ok(()),
        _ => Err(CorpusError::SizeOutOfRange { name, value }),
    }
}

fn report(meta: Meta, empty_documents: u64, skipped: Vec<PathBuf>) -> PackReport {
    PackReport {
        rows: meta.rows,
        sequence_length: meta.sequence_length,
        shards: meta.shards.len(),
        tokens: meta.tokens,
        dropped_tokens: meta.dropped_tokens,
        empty_documents,
        fingerprint: meta.fingerprint(),
        sources: meta.sources,
        skipped,
    }
}
