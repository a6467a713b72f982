//! A tokenizer of Llama's kind: byte-pair encoding without a pre-tokenizer, with byte fallback.
//!
//! ```text
//!  tokenizer.json ──┐                              ┌── encode: text ── stretches ── join ── ids
//!                   ├── pieces, merges, space mark ┤
//!  tokenizer.model ─┘            │                 └── decode: ids ── pieces and bytes ── text
//!                                │
//!  texts ── word counts ── learn ┴── extend: the same ids, then new pieces
//!                          train:  a vocabulary from nothing
//! ```
//!
//! Ids are those of SentencePiece for a `tokenizer.model`, and those of Hugging Face's tokenizers
//! for a `tokenizer.json`, on every text but for literal `<s>`, `</s>` and other special pieces in
//! it, which stay text here (as with `encode_special_tokens` there). The crate reads no corpora and
//! knows no models: texts come in as iterators, and [`Extension::made_of`] is all that a model needs
//! to make rows for new pieces.
//!
//! ```
//! use kollama_tokenizer::{LearnOptions, TokenizerError, extend, learn, train};
//!
//! let english = ["the cat and the dog", "the dog and the cat and the bird"];
//! let texts = || english.iter().map(|text| Ok::<_, TokenizerError>(text.to_string()));
//! let base = train(texts(), 275, 1.0)?;
//!
//! let korean = || ["안녕 안녕 하세요", "안녕 하세요"].into_iter().map(|text| Ok(text.to_owned()));
//! let learned = learn::<TokenizerError>(&base, korean(), &LearnOptions::hangul(6))?;
//! let larger = extend(&base, &learned, 281)?;
//!
//! assert_eq!(larger.tokenizer.encode_to_vec("the cat"), base.encode_to_vec("the cat"));
//! let ids = larger.tokenizer.encode_to_vec("안녕 하세요");
//! assert!(ids.len() < base.encode_to_vec("안녕 하세요").len());
//! assert_eq!(larger.tokenizer.decode(&ids), "안녕 하세요");
//! # Ok::<(), TokenizerError>(())
//! ```

mod added_tokens;
mod alphabet;
mod answers;
mod batch;
mod beside;
mod chain;
mod chat_templates;
mod compare;
mod counting;
mod cut_out;
mod cutting;
mod decoder;
mod definition;
mod derivations;
mod encoder;
mod error;
mod extension;
mod files;
mod folder;
mod growing;
mod heritage;
mod hugging_face;
mod joining;
mod junctions;
mod learner;
mod learning;
mod llama_files;
mod memory;
mod merges;
mod neighbours;
mod normalizer;
mod offsets;
mod page;
mod pairs;
mod portions;
mod protobuf;
mod rules;
mod sentence_piece;
mod symbols;
mod tally;
mod ties;
mod tokenizer;
mod trainer;
mod trie;
mod vocabulary;
mod weighted_text;
mod wide_pairs;
mod word_table;

pub use batch::EncodedBatch;
pub use compare::{Comparison, ShownPart, pieces_of, shown_parts};
pub use counting::Counted;
pub use decoder::DecodeStream;
pub use error::TokenizerError;
pub use extension::{Extension, extend};
pub use heritage::made_of;
pub use learner::LearnedPiece;
pub use learning::{LearnOptions, Learned, check_script, learn, learn_with_progress};
pub use rules::LearnRules;
pub use tokenizer::Tokenizer;
pub use trainer::{Trained, train, train_with_progress};
pub use vocabulary::TokenId;
pub use weighted_text::WeightedText;
