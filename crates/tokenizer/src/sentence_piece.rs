//! `tokenizer.model` in and out: the model file of SentencePiece (`sentencepiece_model.proto`).
//!
//! Understood are BPE models with byte fallback, identity normalisation and blanks kept, as Llama's
//! is. The settings of trainer and normalizer are handed on as they were read, but for the number
//! of pieces; self-tests inside a model are dropped, because an extension changes their answers.

use std::path::Path;

use crate::definition::{Carried, Definition, ModelParts, Specials};
use crate::error::TokenizerError;
use crate::merges::Merges;
use crate::normalizer::{Normalizer, Prefix, PrefixPlace};
use crate::protobuf::{Fields, Wire, put};
use crate::vocabulary::{Piece, PieceKind, TokenId, Vocabulary, byte_of_text, byte_text};

// ModelProto
const PIECES: u64 = 1;
const TRAINER: u64 = 2;
const NORMALIZER: u64 = 3;
// ModelProto.SentencePiece
const PIECE_TEXT: u64 = 1;
const PIECE_SCORE: u64 = 2;
const PIECE_TYPE: u64 = 3;
// TrainerSpec
const MODEL_TYPE: u64 = 3;
const VOCAB_SIZE: u64 = 4;
const WHITESPACE_AS_SUFFIX: u64 = 24;
const BYTE_FALLBACK: u64 = 35;
const UNK_ID: u64 = 40;
const BOS_ID: u64 = 41;
const EOS_ID: u64 = 42;
const PAD_ID: u64 = 43;
// NormalizerSpec
const NAME: u64 = 1;
const CHARACTER_MAP: u64 = 2;
const ADD_DUMMY_PREFIX: u64 = 3;
const REMOVE_EXTRA_WHITESPACES: u64 = 4;
const ESCAPE_WHITESPACES: u64 = 5;

/// Reads the bytes of a `tokenizer.model`; `path` is named in errors.
///
/// # Errors
/// Bytes that are cut off or no model, models that are not BPE with byte fallback, normalisation
/// that would change the text, pieces listed twice.
pub fn read(bytes: &[u8], path: &Path) -> Result<Definition, TokenizerError> {
    let mut pieces = Vec::new();
    let mut parts = ModelParts { scores: Vec::new(), trainer: Vec::new(), normalizer: Vec::new() };
    let mut fields = Fields::new(bytes, 0, path);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (PIECES, Wire::Bytes(inner)) => {
                let (piece, score) = read_piece(inner, fields.offset() - inner.len(), path)?;
                pieces.push(piece);
                parts.scores.push(score);
            }
            // Parts of one message may come in pieces; put together they are one message again.
            (TRAINER, Wire::Bytes(inner)) => parts.trainer.extend(inner),
            (NORMALIZER, Wire::Bytes(inner)) => parts.normalizer.extend(inner),
            _ => {}
        }
    }
    if pieces.is_empty() {
        return Err(fields.error("the file holds no pieces".into()));
    }
    let trainer = read_trainer(&parts.trainer, path)?;
    let normalizer = read_normalizer(&parts.normalizer, path)?;
    let vocabulary = Vocabulary::new(pieces, path)?;
    check_kinds(&vocabulary, path)?;
    check_reach(&vocabulary, path)?;
    let merges = Merges::from_scores(&vocabulary, &parts.scores);
    let specials = specials(&trainer, &vocabulary);
    let carried = Carried { model: Some(parts), ..Carried::default() };
    Ok(Definition { vocabulary, merges, normalizer, specials, carried })
}

/// The bytes of a `tokenizer.model`, or `None` when none gives the same ids: scores cannot tell the
/// order of the merges, or the prefix goes elsewhere than SentencePiece puts it.
pub fn write(definition: &Definition) -> Option<Vec<u8>> {
    let Normalizer { prefix, place } = definition.normalizer;
    let misplaced = definition.place_matters() && place != PrefixPlace::Text;
    if misplaced || prefix == Prefix::UnlessBlank {
        return None;
    }
    let vocabulary = &definition.vocabulary;
    check_kinds(vocabulary, Path::new(""))
        .and_then(|()| check_reach(vocabulary, Path::new("")))
        .ok()?;
    let carried = definition.carried.model.as_ref();
    let known =
        carried.map(|parts| &parts.scores).filter(|scores| scores.len() == vocabulary.len());
    let scores = known.cloned().or_else(|| definition.merges.scores(vocabulary))?;
    let mut out = Vec::new();
    for (piece, score) in vocabulary.pieces().iter().zip(scores) {
        put(&mut out, PIECES, Wire::Bytes(&piece_bytes(piece, score)));
    }
    let trainer = match carried {
        Some(parts) => with_vocab_size(&parts.trainer, vocabulary.len()),
        None => llama_trainer(definition),
    };
    let normalizer = carried.map(|parts| parts.normalizer.clone());
    let normalizer = normalizer.unwrap_or_else(|| llama_normalizer(definition.normalizer));
    put(&mut out, TRAINER, Wire::Bytes(&trainer));
    put(&mut out, NORMALIZER, Wire::Bytes(&normalizer));
    Some(out)
}

fn read_piece(bytes: &[u8], start: usize, path: &Path) -> Result<(Piece, f32), TokenizerError> {
    let (mut text, mut score, mut kind) = ("", 0.0, PieceKind::Normal);
    let mut fields = Fields::new(bytes, start, path);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (PIECE_TEXT, Wire::Bytes(inner)) => {
                text = std::str::from_utf8(inner)
                    .map_err(|_| fields.error("the text of a piece is not UTF-8".into()))?;
            }
            (PIECE_SCORE, Wire::Four(inner)) => score = f32::from_le_bytes(inner),
            (PIECE_TYPE, Wire::Integer(number)) => {
                kind = kind_of(number)
                    .ok_or_else(|| fields.error(format!("{number} is not a type of piece")))?;
            }
            _ => {}
        }
    }
    if text.is_empty() {
        return Err(fields.error("a piece without text".into()));
    }
    Ok((Piece { text: text.into(), kind }, score))
}

fn kind_of(number: u64) -> Option<PieceKind> {
    Some(match number {
        1 => PieceKind::Normal,
        2 => PieceKind::Unknown,
        3 => PieceKind::Control,
        4 => PieceKind::UserDefined,
        5 => PieceKind::Unused,
        6 => PieceKind::Byte,
        _ => return None,
    })
}

fn number_of(kind: PieceKind) -> u64 {
    match kind {
        PieceKind::Normal => 1,
        PieceKind::Unknown => 2,
        PieceKind::Control => 3,
        PieceKind::UserDefined => 4,
        PieceKind::Unused => 5,
        PieceKind::Byte => 6,
    }
}

/// The settings that decide ids; the ids of special pieces are negative when there are none.
struct TrainerSpec {
    bos: i64,
    eos: i64,
}

fn read_trainer(bytes: &[u8], path: &Path) -> Result<TrainerSpec, TokenizerError> {
    let (mut model_type, mut byte_fallback, mut suffix) = (1, 0, 0);
    let mut spec = TrainerSpec { bos: 1, eos: 2 };
    let mut fields = Fields::new(bytes, 0, path);
    while let Some((field, value)) = fields.next()? {
        let Wire::Integer(number) = value else {
            continue;
        };
        match field {
            MODEL_TYPE => model_type = number,
            BYTE_FALLBACK => byte_fallback = number,
            WHITESPACE_AS_SUFFIX => suffix = number,
            // An int32 stands on the wire with its sign extended to 64 bits.
            BOS_ID => spec.bos = number as i64,
            EOS_ID => spec.eos = number as i64,
            _ => {}
        }
    }
    if model_type != 2 {
        let name = ["unigram", "BPE", "word", "char"].get((model_type as usize).wrapping_sub(1));
        let found =
            name.map_or_else(|| format!("of unknown type {model_type}"), |name| name.to_string());
        return Err(TokenizerError::NotBpe { path: path.into(), found });
    }
    if suffix != 0 {
        return Err(unsupported(path, "trainer_spec.treat_whitespace_as_suffix"));
    }
    if byte_fallback == 0 {
        return Err(TokenizerError::MissingByte { path: path.into(), byte: 0 });
    }
    Ok(spec)
}

fn read_normalizer(bytes: &[u8], path: &Path) -> Result<Normalizer, TokenizerError> {
    // The defaults of the format, for fields that are not written.
    let (mut add_prefix, mut remove_extra, mut escape) = (true, true, true);
    let mut fields = Fields::new(bytes, 0, path);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (CHARACTER_MAP, Wire::Bytes(map)) if !map.is_empty() => {
                return Err(unsupported(path, "normalizer_spec.precompiled_charsmap"));
            }
            (ADD_DUMMY_PREFIX, Wire::Integer(number)) => add_prefix = number != 0,
            (REMOVE_EXTRA_WHITESPACES, Wire::Integer(number)) => remove_extra = number != 0,
            (ESCAPE_WHITESPACES, Wire::Integer(number)) => escape = number != 0,
            _ => {}
        }
    }
    if remove_extra {
        return Err(unsupported(path, "normalizer_spec.remove_extra_whitespaces"));
    }
    if !escape {
        return Err(unsupported(path, "normalizer_spec.escape_whitespaces = false"));
    }
    let prefix = if add_prefix { Prefix::Always } else { Prefix::Never };
    Ok(Normalizer { prefix, place: PrefixPlace::Text })
}

fn unsupported(path: &Path, what: &str) -> TokenizerError {
    let cure = "train the tokenizer with identity normalisation, extra blanks kept and blanks \
                escaped, as Llama's is";
    TokenizerError::Unsupported { path: path.into(), what: what.into(), cure }
}

/// Refuses what SentencePiece would not load: there is one unknown piece, and byte pieces have their
/// form and are all there.
fn check_kinds(vocabulary: &Vocabulary, path: &Path) -> Result<(), TokenizerError> {
    let is = |kind| move |piece: &&Piece| piece.kind == kind;
    let pieces = vocabulary.pieces().iter();
    if pieces.clone().filter(is(PieceKind::Unknown)).count() != 1 {
        let expected = "exactly one piece of the type UNKNOWN, usually <unk>";
        return Err(TokenizerError::Field { path: path.into(), field: "pieces".into(), expected });
    }
    let ids = (0..=255u8).zip(vocabulary.byte_ids());
    let mut kinds = ids.map(|(byte, &id)| (byte, vocabulary.pieces()[id as usize].kind));
    if let Some((byte, _)) = kinds.find(|(_, kind)| *kind != PieceKind::Byte) {
        return Err(TokenizerError::MissingByte { path: path.into(), byte });
    }
    let has_form = |piece: &Piece| {
        byte_of_text(&piece.text).is_some_and(|byte| byte_text(byte) == *piece.text)
    };
    match pieces.filter(is(PieceKind::Byte)).find(|piece| !has_form(piece)) {
        Some(piece) => Err(TokenizerError::Field {
            path: path.into(),
            field: format!("the byte piece {:?}", piece.text),
            expected: "the form <0xEB>",
        }),
        None => Ok(()),
    }
}

/// Refuses pieces that SentencePiece makes in ways that no list of merges can say: through an unused
/// piece, which it takes apart afterwards, or of a character that is no piece itself.
fn check_reach(vocabulary: &Vocabulary, path: &Path) -> Result<(), TokenizerError> {
    for piece in vocabulary.pieces() {
        let (what, cure) = match piece.kind {
            PieceKind::Unused if is_made(vocabulary, &piece.text) => {
                ("the unused piece", "make it a normal piece")
            }
            PieceKind::Normal if is_made_of_no_pieces(vocabulary, &piece.text) => (
                "a character that only a longer piece holds, as in",
                "train with each character of a piece as a piece of its own",
            ),
            _ => continue,
        };
        let what = format!("{what} {:?}", piece.text);
        return Err(TokenizerError::Unsupported { path: path.into(), what, cure });
    }
    Ok(())
}

/// Whether SentencePiece may make this text: it is one character, or two parts that it may hold.
fn is_made(vocabulary: &Vocabulary, text: &str) -> bool {
    is_character(text) || cuts(text).any(|halves| halves.iter().all(|half| holds(vocabulary, half)))
}

/// Whether SentencePiece may make this text of parts that are not both ordinary pieces.
fn is_made_of_no_pieces(vocabulary: &Vocabulary, text: &str) -> bool {
    let is_normal = |half: &&str| vocabulary.normal_id(half).is_some();
    cuts(text).any(|halves| {
        !halves.iter().all(is_normal) && halves.iter().all(|half| holds(vocabulary, half))
    })
}

fn cuts(text: &str) -> impl Iterator<Item = [&str; 2]> {
    text.char_indices().skip(1).map(|(at, _)| [&text[..at], &text[at..]])
}

fn is_character(text: &str) -> bool {
    text.chars().nth(1).is_none()
}

/// Whether SentencePiece merges this text with a neighbour: pieces and single characters, but not
/// what is cut out of a text beforehand.
fn holds(vocabulary: &Vocabulary, text: &str) -> bool {
    let kind = vocabulary.id(text).map(|id| vocabulary.pieces()[id as usize].kind);
    match kind {
        Some(PieceKind::Normal | PieceKind::Unused) => true,
        Some(PieceKind::UserDefined) => false,
        _ => is_character(text),
    }
}

fn specials(trainer: &TrainerSpec, vocabulary: &Vocabulary) -> Specials {
    let of_kind = |id: i64, kind| {
        let piece = vocabulary.pieces().get(usize::try_from(id).ok()?)?;
        (piece.kind == kind).then_some(id as TokenId)
    };
    let begin = of_kind(trainer.bos, PieceKind::Control);
    Specials {
        unknown: vocabulary.first_of(PieceKind::Unknown),
        begin,
        end: of_kind(trainer.eos, PieceKind::Control),
        add_begin: begin.is_some(),
        add_end: false,
    }
}

fn piece_bytes(piece: &Piece, score: f32) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, PIECE_TEXT, Wire::Bytes(piece.text.as_bytes()));
    put(&mut out, PIECE_SCORE, Wire::Four(score.to_le_bytes()));
    if piece.kind != PieceKind::Normal {
        put(&mut out, PIECE_TYPE, Wire::Integer(number_of(piece.kind)));
    }
    out
}

/// The trainer's settings with another number of pieces. They were read once, so they are sound.
fn with_vocab_size(trainer: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut fields = Fields::new(trainer, 0, Path::new(""));
    while let Ok(Some((field, value))) = fields.next() {
        let value = if field == VOCAB_SIZE { Wire::Integer(size as u64) } else { value };
        put(&mut out, field, value);
    }
    out
}

fn llama_trainer(definition: &Definition) -> Vec<u8> {
    let id = |id: Option<TokenId>| id.map_or(u64::MAX, u64::from);
    let mut out = Vec::new();
    for (field, number) in [
        (MODEL_TYPE, 2),
        (VOCAB_SIZE, definition.vocabulary.len() as u64),
        (BYTE_FALLBACK, 1),
        (UNK_ID, id(definition.specials.unknown)),
        (BOS_ID, id(definition.specials.begin)),
        (EOS_ID, id(definition.specials.end)),
        (PAD_ID, u64::MAX),
    ] {
        put(&mut out, field, Wire::Integer(number));
    }
    out
}

fn llama_normalizer(normalizer: Normalizer) -> Vec<u8> {
    let add_prefix = u64::from(normalizer.prefix != Prefix::Never);
    let mut out = Vec::new();
    put(&mut out, NAME, Wire::Bytes(b"identity"));
    put(&mut out, CHARACTER_MAP, Wire::Bytes(b""));
    put(&mut out, ADD_DUMMY_PREFIX, Wire::Integer(add_prefix));
    put(&mut out, REMOVE_EXTRA_WHITESPACES, Wire::Integer(0));
    put(&mut out, ESCAPE_WHITESPACES, Wire::Integer(1));
    out
}
