//! From text files to packed rows of ids: the last stop of text before training.
//!
//! ```text
//! files --source, reader--> documents --tokenizer--> ids --packing--> rows --shard--> a packed folder
//!                               |                                                        |
//!                               +--> statistics                                  PackedData, mapped
//! ```
//!
//! Read in this order: [`Document`] and [`documents`] (what is read), [`DocumentMode`] and
//! [`Row`] (what a row means), [`pack_texts`] and [`pack_ids`] (how a folder is made),
//! [`PackedData`] (how it is read back).
//!
//! Everything streams: memory holds one document, one row and the write buffers, however large
//! the corpus is. The same input gives the same bytes. This crate judges no text: it does not
//! clean, filter or deduplicate.
//!
//! ```no_run
//! use kollama_corpus::{DocumentMode, PackedData, pack_texts};
//! use kollama_tokenizer::Tokenizer;
//! use std::path::Path;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokenizer = Tokenizer::open(Path::new("tokenizer.json"))?;
//! let sources = ["texts".into()];
//! let out = Path::new("packed");
//! pack_texts(&sources, &tokenizer, 4096, DocumentMode::Join, out, 2, &mut |_bytes_done| {})?;
//! let data = PackedData::open(out)?;
//! println!("{} rows of {} ids", data.rows(), data.sequence_length());
//! # Ok(())
//! # }
//! ```

#[cfg(target_endian = "big")]
compile_error!("packed shards hold little-endian words and are read in place");

mod checksum;
mod document;
mod encoding;
mod error;
mod json_line;
mod lines;
mod mapped;
mod meta;
mod packed;
mod packing;
mod pipeline;
mod reader;
mod row;
mod shard;
mod source;
mod staging;
mod statistics;
mod tokenised;
mod writer;

pub use document::Document;
pub use error::CorpusError;
pub use packed::PackedData;
pub use pipeline::{PackReport, pack_ids, pack_texts};
pub use reader::{Documents, documents};
pub use row::{DocumentMode, NOT_COUNTED, Row};
pub use statistics::{SourceStatistics, statistics};
