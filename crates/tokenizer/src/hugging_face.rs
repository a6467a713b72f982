//! `tokenizer.json` in and out: the fast form that Hugging Face writes.
//!
//! Understood are Llama 2's forms: BPE with byte fallback, the space mark made either by a
//! normalizer (`Prepend`, `Replace`) or by a pre-tokenizer (`Metaspace`, without cutting), and the
//! decoder that undoes it; and what Gemma's files have besides that changes no id. Everything else is
//! refused by name, because it would give other ids. Fields that play no part are kept.

use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Value, json};

use crate::definition::{AddedPiece, Carried, Definition, Specials};
use crate::error::TokenizerError;
use crate::llama_files;
use crate::merges::Merges;
use crate::normalizer::{Normalizer, Prefix, PrefixPlace};
use crate::ties::order_is_enough;
use crate::vocabulary::{Piece, PieceKind, TokenId, Vocabulary, byte_of_text};

/// Reads the bytes of a `tokenizer.json`; `path` is named in errors.
///
/// # Errors
/// Text that is not JSON, fields that are missing or of the wrong kind, ids with holes, merges of
/// unknown pieces, and forms of tokenizer that are not Llama's.
pub fn read(bytes: &[u8], path: &Path) -> Result<Definition, TokenizerError> {
    let mut document = parse(bytes, path)?;
    check_form(&document, path)?;
    let normalizer = read_normalizer(&document, path)?;
    check_decoder(&document, normalizer, path)?;
    let added = read_added_tokens(&document, path)?;
    // With byte fallback nothing is unknown, so some files name no piece for it.
    let unknown_text = document["model"]["unk_token"].as_str().unwrap_or("<unk>").to_owned();
    let model = document["model"].as_object_mut().ok_or(field(path, "model", "an object"))?;
    let listed = std::mem::take(model.entry("vocab").or_insert(Value::Null));
    let merges = std::mem::take(model.entry("merges").or_insert(Value::Null));
    let vocabulary = read_vocabulary(&listed, &added, &unknown_text, path)?;
    let (pairs, merges_as_pairs) = read_merges(&merges, &vocabulary, path)?;
    let merges = Merges::from_list(&vocabulary, &pairs, path)?;
    check_merges(&merges, &vocabulary, path)?;
    check_normalized(&added, &merges, &document, path)?;
    let specials = read_specials(&document, &vocabulary);
    let added = added.into_iter().map(|token| token.piece).collect();
    let carried = Carried { json: Some(document), added, merges_as_pairs, ..Carried::default() };
    Ok(Definition { vocabulary, merges, normalizer, specials, carried })
}

/// The bytes of a `tokenizer.json`, with the fields that were read, or else those of Llama 2;
/// `None` when none gives the same ids.
pub fn write(definition: &Definition) -> Option<Vec<u8>> {
    if is_beyond(definition) {
        return None;
    }
    let mut document =
        definition.carried.json.clone().unwrap_or_else(|| llama_files::document(definition));
    document["model"]["vocab"] = vocabulary_value(&definition.vocabulary);
    document["model"]["merges"] = merges_value(definition);
    let bytes = serde_json::to_vec_pretty(&document);
    Some(bytes.expect("a JSON value in memory can always be written"))
}

/// Whether a `tokenizer.model` says what no `tokenizer.json` can.
fn is_beyond(definition: &Definition) -> bool {
    let Definition { vocabulary, merges, normalizer, .. } = definition;
    // Hugging Face tells bytes by their texts.
    let mut pieces = vocabulary.pieces().iter().filter(|piece| piece.kind == PieceKind::Normal);
    (definition.place_matters() && normalizer.place == PrefixPlace::Text)
        || pieces.any(|piece| byte_of_text(&piece.text).is_some())
        || !order_is_enough(vocabulary, merges)
}

/// Parses JSON; an error says where.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Value, TokenizerError> {
    serde_json::from_slice(bytes).map_err(|error| TokenizerError::Json {
        path: path.into(),
        line: error.line(),
        column: error.column(),
        reason: error.to_string(),
    })
}

fn field(path: &Path, field: &str, expected: &'static str) -> TokenizerError {
    TokenizerError::Field { path: path.into(), field: field.into(), expected }
}

fn unsupported(path: &Path, what: String, cure: &'static str) -> TokenizerError {
    TokenizerError::Unsupported { path: path.into(), what, cure }
}

const USE_MODEL: &str = "open the tokenizer.model of the same tokenizer instead";

fn check_form(document: &Value, path: &Path) -> Result<(), TokenizerError> {
    let model = &document["model"];
    if !model.is_object() {
        return Err(field(path, "model", "an object"));
    }
    // Files written before 2021 leave the type out; only BPE has merges.
    if let Some(kind) = model["type"].as_str().filter(|&kind| kind != "BPE") {
        return Err(TokenizerError::NotBpe { path: path.into(), found: kind.into() });
    }
    if model["byte_fallback"] != Value::Bool(true) {
        return Err(field(path, "model.byte_fallback", "true, as in every Llama-style tokenizer"));
    }
    for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model[name].as_str().is_some_and(|text| !text.is_empty()) {
            return Err(unsupported(path, format!("model.{name}"), USE_MODEL));
        }
    }
    if model["dropout"].as_f64().is_some_and(|dropout| dropout > 0.0) {
        return Err(unsupported(path, "model.dropout".into(), "set it to null"));
    }
    if model["ignore_merges"] == Value::Bool(true) {
        return Err(unsupported(path, "model.ignore_merges".into(), USE_MODEL));
    }
    Ok(())
}

/// The steps of a normalizer or decoder: a sequence's members, or the one.
fn steps<'a>(value: &'a Value, members: &str) -> Vec<&'a Value> {
    match value {
        Value::Null => Vec::new(),
        _ if value["type"] == "Sequence" => {
            value[members].as_array().into_iter().flatten().collect()
        }
        _ => vec![value],
    }
}

/// The forms of the space mark, with the normalizer and the pre-tokenizer that make each.
fn space_marks() -> impl Iterator<Item = (Normalizer, [Value; 2])> {
    use {Prefix::*, PrefixPlace::*};
    let normalizers = [(Never, EachStretch), (Always, EachStretch), (UnlessBlank, EachStretch)];
    let normalizers = normalizers.into_iter().chain([(UnlessBlank, FirstStretch)]);
    let normalizers = normalizers.map(|(prefix, place)| Normalizer { prefix, place });
    let written = normalizers.map(|normalizer| (normalizer, llama_files::space_mark(normalizer)));
    let never = Normalizer { prefix: Never, place: EachStretch };
    written.chain([(never, [Value::Null, llama_files::metaspace("never")])])
}

fn read_normalizer(document: &Value, path: &Path) -> Result<Normalizer, TokenizerError> {
    let [normalizer, pre_tokenizer] = [&document["normalizer"], &document["pre_tokenizer"]];
    // Gemma's files cut at blanks of which the normalizer leaves none.
    let cuts_nothing = *pre_tokenizer == llama_files::split_at_blanks();
    let effective = if cuts_nothing { &Value::Null } else { pre_tokenizer };
    let found = space_marks().find(|(_, [expected, expected_pre_tokenizer])| {
        steps(normalizer, "normalizers") == steps(expected, "normalizers")
            && effective == expected_pre_tokenizer
    });
    found.map(|(normalizer, _)| normalizer).ok_or_else(|| {
        let what = format!("the normalizer {normalizer} with the pre-tokenizer {pre_tokenizer}");
        let cure = "expected, as in Llama 2, either Prepend ▁ and Replace blank by ▁, or Metaspace \
                    with replacement ▁, a prepend_scheme and split false; a tokenizer.model of the \
                    same tokenizer, opened by its own name, is another way";
        unsupported(path, what, cure)
    })
}

fn check_decoder(
    document: &Value,
    normalizer: Normalizer,
    path: &Path,
) -> Result<(), TokenizerError> {
    let found = steps(&document["decoder"], "decoders");
    let expected = llama_files::decoder(normalizer);
    let expected = steps(&expected, "decoders");
    if found == expected {
        return Ok(());
    }
    let cure = "expected Replace ▁ by a blank, ByteFallback, Fuse, and Strip of one blank exactly \
                when one is prepended: anything else loses or gains blanks";
    Err(unsupported(path, format!("the decoder {}", document["decoder"]), cure))
}

#[derive(PartialEq)]
struct AddedToken {
    text: String,
    piece: AddedPiece,
}

/// The added pieces in the order of their ids, each once.
fn read_added_tokens(document: &Value, path: &Path) -> Result<Vec<AddedToken>, TokenizerError> {
    let listed = match &document["added_tokens"] {
        Value::Null => &[],
        Value::Array(listed) => listed.as_slice(),
        _ => return Err(field(path, "added_tokens", "a list")),
    };
    let read = |(index, token)| read_added_token(index, token, path);
    let mut added: Vec<_> = listed.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    added.sort_by_key(|token| token.piece.id);
    added.dedup();
    check_ids(added.iter().map(|token| (token.piece.id, token.text.as_str())), path)?;
    Ok(added)
}

fn read_added_token(
    index: usize,
    token: &Value,
    path: &Path,
) -> Result<AddedToken, TokenizerError> {
    let name = |part: &str| format!("added_tokens[{index}].{part}");
    let id = token["id"].as_u64().and_then(|id| TokenId::try_from(id).ok());
    let id = id.ok_or_else(|| field(path, &name("id"), "a number below 2^32"))?;
    let text = token["content"].as_str().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| field(path, &name("content"), "a text that is not empty"))?;
    let flag = |name: &str| token[name] == Value::Bool(true);
    let piece = AddedPiece {
        id,
        is_special: flag("special"),
        takes_blanks_before: flag("lstrip"),
        takes_blanks_after: flag("rstrip"),
        in_normalized: flag("normalized"),
    };
    // Words end where a table of Unicode says so, which nobody here has.
    if flag("single_word") && !piece.is_special {
        let what = format!("{} = true, for {text:?},", name("single_word"));
        return Err(unsupported(path, what, "set it to false"));
    }
    Ok(AddedToken { text: text.to_owned(), piece })
}

/// Refuses a piece that merges might still make where it is not found in normalized text.
fn check_normalized(
    added: &[AddedToken],
    merges: &Merges,
    document: &Value,
    path: &Path,
) -> Result<(), TokenizerError> {
    if document["normalizer"].is_null() {
        return Ok(());
    }
    let made: FxHashSet<TokenId> = merges.list().iter().map(|merge| merge.result).collect();
    let is_made = |AddedToken { text, piece }: &&AddedToken| {
        text.chars().nth(1).is_none() || made.contains(&piece.id)
    };
    let mut sought =
        added.iter().filter(|token| token.piece.in_normalized && !token.piece.is_special);
    match sought.find(is_made) {
        Some(token) => {
            let what = format!("the added token {:?} with normalized = true", token.text);
            Err(unsupported(path, what, "set normalized to false"))
        }
        None => Ok(()),
    }
}

fn read_vocabulary(
    listed: &Value,
    added: &[AddedToken],
    unknown: &str,
    path: &Path,
) -> Result<Vocabulary, TokenizerError> {
    let listed = listed.as_object().ok_or_else(|| field(path, "model.vocab", "an object"))?;
    let mut entries: Vec<(TokenId, &str)> = Vec::with_capacity(listed.len() + added.len());
    for (text, id) in listed {
        let id = id.as_u64().and_then(|id| TokenId::try_from(id).ok());
        let name = || field(path, &format!("model.vocab[{text:?}]"), "a number below 2^32");
        entries.push((id.ok_or_else(name)?, text));
    }
    for token in added {
        let AddedToken { text, piece } = token;
        if listed.get(text).and_then(Value::as_u64) != Some(u64::from(piece.id)) {
            entries.push((piece.id, text));
        }
    }
    entries.sort_unstable();
    check_ids(entries.iter().copied(), path)?;
    check_holes(&entries, path)?;
    let added: FxHashMap<&str, bool> =
        added.iter().map(|token| (token.text.as_str(), token.piece.is_special)).collect();
    let kind = |text: &str| kind_of(text, added.get(text).copied(), unknown);
    let pieces = entries.iter().map(|&(_, text)| Piece { text: text.into(), kind: kind(text) });
    Vocabulary::new(pieces.collect(), path)
}

/// Refuses two pieces with one id; the pieces stand in the order of their ids.
fn check_ids<'a>(
    entries: impl Iterator<Item = (TokenId, &'a str)> + Clone,
    path: &Path,
) -> Result<(), TokenizerError> {
    match entries.clone().zip(entries.skip(1)).find(|(one, next)| one.0 == next.0) {
        Some(((id, first), (_, second))) => Err(TokenizerError::DuplicateId {
            path: path.into(),
            id,
            first: first.into(),
            second: second.into(),
        }),
        None => Ok(()),
    }
}

fn check_holes(entries: &[(TokenId, &str)], path: &Path) -> Result<(), TokenizerError> {
    match (0..).zip(entries).find(|(expected, (id, _))| expected != id) {
        Some((id, _)) => {
            Err(TokenizerError::MissingId { path: path.into(), id, size: entries.len() })
        }
        None => Ok(()),
    }
}

/// What a piece is for; `added` is whether it is special, if it is among the added pieces.
fn kind_of(text: &str, added: Option<bool>, unknown: &str) -> PieceKind {
    match added {
        Some(true) if text == unknown => PieceKind::Unknown,
        Some(true) => PieceKind::Control,
        Some(false) => PieceKind::UserDefined,
        None if byte_of_text(text).is_some() => PieceKind::Byte,
        None => PieceKind::Normal,
    }
}

type Pairs = Vec<(TokenId, TokenId)>;

fn read_merges(
    merges: &Value,
    vocabulary: &Vocabulary,
    path: &Path,
) -> Result<(Pairs, bool), TokenizerError> {
    let merges = merges.as_array().ok_or_else(|| field(path, "model.merges", "a list"))?;
    let as_pairs = merges.first().is_some_and(Value::is_array);
    let pairs = merges.iter().enumerate().map(|(index, merge)| {
        let (left, right) = two_parts(merge).ok_or_else(|| {
            field(
                path,
                &format!("model.merges[{index}]"),
                "\"left right\" or [\"left\", \"right\"]",
            )
        })?;
        let id = |part: &str| {
            vocabulary.id(part).ok_or_else(|| TokenizerError::UnknownPart {
                path: path.into(),
                index,
                left: left.into(),
                right: right.into(),
                missing: part.into(),
            })
        };
        Ok((id(left)?, id(right)?))
    });
    Ok((pairs.collect::<Result<_, _>>()?, as_pairs))
}

/// Refuses merges that would turn a text into a special piece: Hugging Face cuts those out before.
fn check_merges(
    merges: &Merges,
    vocabulary: &Vocabulary,
    path: &Path,
) -> Result<(), TokenizerError> {
    let special = [PieceKind::Control, PieceKind::Unknown];
    let piece = |id: TokenId| &vocabulary.pieces()[id as usize];
    let made = merges.list().iter().position(|merge| special.contains(&piece(merge.result).kind));
    let Some(index) = made else { return Ok(()) };
    let text = &piece(merges.list()[index].result).text;
    let what = format!("model.merges[{index}], which makes the special piece {text:?} of a text,");
    Err(unsupported(path, what, "take the merge out"))
}

fn two_parts(merge: &Value) -> Option<(&str, &str)> {
    match merge {
        Value::String(text) => text.split_once(' ').filter(|(_, right)| !right.contains(' ')),
        Value::Array(parts) if parts.len() == 2 => Some((parts[0].as_str()?, parts[1].as_str()?)),
        _ => None,
    }
}

fn read_specials(document: &Value, vocabulary: &Vocabulary) -> Specials {
    let control = |text: &str| {
        let id = vocabulary.id(text)?;
        (vocabulary.pieces()[id as usize].kind == PieceKind::Control).then_some(id)
    };
    Specials {
        unknown: vocabulary.first_of(PieceKind::Unknown),
        begin: control("<s>"),
        end: control("</s>"),
        add_begin: added_by_template(document, |parts| parts.first()),
        add_end: added_by_template(document, |parts| parts.last()),
    }
}

/// Whether the template of the post-processor has a special piece in that place.
fn added_by_template(document: &Value, place: impl Fn(&[Value]) -> Option<&Value>) -> bool {
    let parts = document["post_processor"]["single"].as_array();
    parts.and_then(|parts| place(parts)).is_some_and(|part| part["SpecialToken"].is_object())
}

fn vocabulary_value(vocabulary: &Vocabulary) -> Value {
    let entries = vocabulary.pieces().iter().zip(0u32..);
    Value::Object(entries.map(|(piece, id)| (piece.text.to_string(), Value::from(id))).collect())
}

fn merges_value(definition: &Definition) -> Value {
    let text = |id: TokenId| definition.vocabulary.pieces()[id as usize].text.as_ref();
    // "a b" cannot tell which blank divides when a piece itself holds one.
    let blanks = definition.vocabulary.pieces().iter().any(|piece| piece.text.contains(' '));
    let as_pairs = definition.carried.merges_as_pairs || blanks;
    let value = |left: &str, right: &str| {
        if as_pairs { json!([left, right]) } else { Value::String([left, " ", right].concat()) }
    };
    let merges = definition.merges.list().iter();
    Value::Array(merges.map(|merge| value(text(merge.left), text(merge.right))).collect())
}
