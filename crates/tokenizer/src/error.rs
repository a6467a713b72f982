//! What can be wrong in a tokenizer's files or in the text it learns from, and where.
//!
//! One closed list. Every variant names the culprit (file, field, line, piece) and what would cure
//! it; nothing here prints or logs.

use std::path::PathBuf;

/// Why a tokenizer could not be read, written, learned or extended.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file is missing or the system would not hand it over.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A folder holds neither of the two files that describe a tokenizer.
    #[error(
        "{} holds no tokenizer: expected a tokenizer.json or a tokenizer.model in it", path.display()
    )]
    NoTokenizer {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be written; what stood there before is untouched.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not JSON.
    #[error("{}, line {line}, column {column}: not valid JSON: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// One-based line.
        line: usize,
        /// One-based column.
        column: usize,
        /// The parser's words.
        reason: String,
    },
    /// A JSON field is missing or holds the wrong kind of value.
    #[error("{}: field {field}: expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, as a dotted path.
        field: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A `tokenizer.model` is cut off or is not a SentencePiece model.
    #[error(
        "{}, byte {offset}: {reason}; the file may be truncated or not a SentencePiece model: \
         fetch it again", path.display()
    )]
    Protobuf {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: usize,
        /// What was found.
        reason: String,
    },
    /// The file is sound, but describes something that a Llama-style tokenizer is not.
    #[error("{}: {what} is not supported; {cure}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The part in question.
        what: String,
        /// What to do instead.
        cure: &'static str,
    },
    /// A tokenizer that should be an extension has another piece under an old id.
    #[error(
        "the extended tokenizer has {found:?} under id {id}, where the base has {expected:?}: \
         give the tokenizer that was extended from this base"
    )]
    NotAnExtension {
        /// The first id that differs.
        id: u32,
        /// The piece of the base.
        expected: String,
        /// The piece of the other, if it has that id.
        found: Option<String>,
    },
    /// A tokenizer that should be an extension has no piece that is new.
    #[error("the extended tokenizer has the same {size} pieces as the base: nothing to add")]
    NothingNew {
        /// Number of pieces of both.
        size: usize,
    },
    /// The model inside is not byte-pair encoding.
    #[error(
        "{}: the model is {found}, expected BPE: only byte-pair tokenizers can be encoded with \
         or extended here", path.display()
    )]
    NotBpe {
        /// The file.
        path: PathBuf,
        /// The kind of model found.
        found: String,
    },
    /// A merge speaks of a piece that the vocabulary does not have.
    #[error(
        "{}: merge {index} joins {left:?} and {right:?}, but {missing:?} is not in the \
         vocabulary", path.display()
    )]
    UnknownPart {
        /// The file.
        path: PathBuf,
        /// Zero-based place in the list of merges.
        index: usize,
        /// The left part.
        left: String,
        /// The right part.
        right: String,
        /// The piece that is not there: a part, or the result.
        missing: String,
    },
    /// Two pieces claim one id.
    #[error("{}: id {id} belongs to both {first:?} and {second:?}", path.display())]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// The id.
        id: u32,
        /// The piece met first.
        first: String,
        /// The piece met second.
        second: String,
    },
    /// A file beside the tokenizer adds a piece that the tokenizer itself does not have.
    #[error(
        "{}: adds {piece:?} with id {id}, which the tokenizer beside it does not have: give the \
         tokenizer.json of the same tokenizer, which holds added pieces, or take this one out if no \
         model uses it", path.display()
    )]
    ForeignPiece {
        /// The file.
        path: PathBuf,
        /// The piece.
        piece: String,
        /// The id that it claims.
        id: u64,
    },
    /// Ids do not run from 0 without holes.
    #[error(
        "{}: no piece has id {id}, though the vocabulary has {size} pieces: ids must run from 0 \
         without holes, and no piece may be listed twice", path.display()
    )]
    MissingId {
        /// The file.
        path: PathBuf,
        /// The first id that nobody has.
        id: u32,
        /// Number of pieces.
        size: usize,
    },
    /// One piece has two ids.
    #[error("{}: piece {piece:?} has both id {first} and id {second}", path.display())]
    DuplicatePiece {
        /// The file.
        path: PathBuf,
        /// The piece.
        piece: String,
        /// Its first id.
        first: u32,
        /// Its second id.
        second: u32,
    },
    /// A byte has no piece, so some texts could not be written at all.
    #[error(
        "{}: no piece <0x{byte:02X}>: all 256 byte pieces and byte_fallback are needed so that \
         every text can be encoded (in a tokenizer.json but for ASCII characters with a piece of \
         their own)", path.display()
    )]
    MissingByte {
        /// The file.
        path: PathBuf,
        /// The byte.
        byte: u8,
    },
    /// The wanted vocabulary is not larger than what must be in it.
    #[error("a vocabulary of {size} was asked for, but it must be larger than {floor}: {reason}")]
    SizeTooSmall {
        /// What was asked for.
        size: usize,
        /// What is there already.
        floor: usize,
        /// Why that much is needed.
        reason: &'static str,
    },
    /// The texts do not hold enough repeated material for the wanted vocabulary.
    #[error(
        "the texts are too small: {wanted} new pieces were asked for, but only {found} could be \
         learned from {characters} characters; give more text or ask for a smaller vocabulary"
    )]
    CorpusTooSmall {
        /// Pieces asked for.
        wanted: usize,
        /// Pieces that the texts give.
        found: usize,
        /// Characters of text (in the wanted script, if there is one).
        characters: u64,
    },
    /// No piece can have this length.
    #[error("a piece length of {length} characters was asked for; expected 2 to {longest}")]
    PieceLength {
        /// What was asked for.
        length: usize,
        /// The most that can be asked for.
        longest: usize,
    },
    /// Nobody knows a script of this name.
    #[error("{name:?} is not a Unicode script; expected a name such as Hangul, Thai or Cyrillic")]
    UnknownScript {
        /// The name given.
        name: String,
    },
}
