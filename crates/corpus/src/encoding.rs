//! Documents with their ids: read one after the other, encoded many at a time by several threads.
//!
//! The order and the ids are those of reading and encoding one by one.

use kollama_tokenizer::{TokenId, Tokenizer};

use crate::document::Document;
use crate::error::CorpusError;
use crate::reader::Documents;

/// Bytes of text that are encoded together.
const BATCH: usize = 4 << 20;

/// A document, its ids, and how many source bytes were read up to its end.
pub struct Encoded<'a> {
    /// The document.
    pub document: &'a Document,
    /// Its ids, without `<s>` and `</s>`.
    pub ids: &'a [TokenId],
    /// Source bytes read so far.
    pub bytes_read: u64,
}

/// Reads `stream` to its end and hands over each document with its ids.
///
/// # Errors
/// Those of reading and of `each`; documents before the one that cannot be read are handed over.
pub fn encode_documents(
    stream: &mut Documents,
    tokenizer: &Tokenizer,
    threads: usize,
    mut each: impl FnMut(Encoded<'_>) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    loop {
        let (batch, end) = read_batch(stream);
        let texts: Vec<&str> = batch.iter().map(|(document, _)| document.text.as_str()).collect();
        let encoded = tokenizer.encode_batch(&texts, threads);
        for ((document, bytes_read), ids) in batch.iter().zip(encoded.iter()) {
            each(Encoded { document, ids, bytes_read: *bytes_read })?;
        }
        match end {
            End::OfBatch => {}
            End::OfStream => return Ok(()),
            End::InError(error) => return Err(error),
        }
    }
}

enum End {
    OfBatch,
    OfStream,
    InError(CorpusError),
}

fn read_batch(stream: &mut Documents) -> (Vec<(Document, u64)>, End) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH {
        match stream.next() {
            None => return (batch, End::OfStream),
            Some(Err(error)) => return (batch, End::InError(error)),
            Some(Ok(document)) => {
                bytes += document.text.len() + 1;
                batch.push((document, stream.bytes_read()));
            }
        }
    }
    (batch, End::OfBatch)
}
