//! The words of Llama 2's JSON files, for tokenizers that were read without them or learned here.

use serde_json::{Map, Value, json};

use crate::definition::Definition;
use crate::normalizer::{Normalizer, Prefix, PrefixPlace};
use crate::vocabulary::{PieceKind, TokenId};

/// The `tokenizer.json` of Llama 2, without vocabulary and merges, for a definition that came from
/// elsewhere.
pub fn document(definition: &Definition) -> Value {
    let pieces = definition.vocabulary.pieces();
    let is_added =
        |kind| matches!(kind, PieceKind::Unknown | PieceKind::Control | PieceKind::UserDefined);
    let added = pieces.iter().zip(0u32..).filter(|(piece, _)| is_added(piece.kind));
    let added: Vec<Value> = added
        .map(|(piece, id)| {
            json!({"id": id, "content": piece.text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false,
                "special": piece.kind != PieceKind::UserDefined})
        })
        .collect();
    let unknown = definition.specials.unknown.and_then(|id| definition.vocabulary.text(id));
    let [normalizer, pre_tokenizer] = space_mark(definition.normalizer);
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor(definition),
        "decoder": decoder(definition.normalizer),
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": unknown,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": true,
        },
    })
}

/// The normalizer and the pre-tokenizer that make the space mark: Llama 2's first form, and where
/// that cannot say it, the later one.
pub fn space_mark(normalizer: Normalizer) -> [Value; 2] {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    match normalizer.prefix {
        Prefix::Never => [replace, Value::Null],
        Prefix::Always => {
            let prepend = json!({"type": "Prepend", "prepend": "▁"});
            [json!({"type": "Sequence", "normalizers": [prepend, replace]}), Value::Null]
        }
        Prefix::UnlessBlank => {
            let first = normalizer.place == PrefixPlace::FirstStretch;
            [Value::Null, metaspace(if first { "first" } else { "always" })]
        }
    }
}

/// The pre-tokenizer that later versions of Hugging Face's libraries make the space mark with.
pub fn metaspace(prepend_scheme: &str) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": prepend_scheme,
        "split": false})
}

/// A pre-tokenizer that does nothing where a normalizer has made every blank a mark.
pub fn split_at_blanks() -> Value {
    json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
        "invert": false})
}

/// The decoder that undoes the space mark.
pub fn decoder(normalizer: Normalizer) -> Value {
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if normalizer.prefix != Prefix::Never {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": decoders})
}

/// The template that puts the special pieces around one text and around each of two.
fn post_processor(definition: &Definition) -> Value {
    let specials = definition.specials;
    let piece = |id: Option<TokenId>, is_added: bool| {
        let id = id.filter(|_| is_added)?;
        Some((id, definition.vocabulary.text(id)?))
    };
    let begin = piece(specials.begin, specials.add_begin);
    let end = piece(specials.end, specials.add_end);
    if begin.is_none() && end.is_none() {
        return Value::Null;
    }
    let around = |name: &str, kind: u32| {
        let special = |(_, text)| json!({"SpecialToken": {"id": text, "type_id": kind}});
        let text = json!({"Sequence": {"id": name, "type_id": kind}});
        begin.map(special).into_iter().chain([text]).chain(end.map(special)).collect::<Vec<_>>()
    };
    let pair = [around("A", 0), around("B", 1)].concat();
    let pieces = [begin, end].into_iter().flatten();
    let pieces: Map<String, Value> = pieces
        .map(|(id, text)| (text.into(), json!({"id": text, "ids": [id], "tokens": [text]})))
        .collect();
    json!({
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": pair,
        "special_tokens": pieces,
    })
}

/// The text of `tokenizer_config.json`: as it was read, or else Llama 2's.
pub fn config_text(definition: &Definition) -> String {
    if let Some(text) = &definition.carried.config {
        return text.clone();
    }
    let specials = definition.specials;
    let mut decoder = Map::new();
    for id in [specials.unknown, specials.begin, specials.end].into_iter().flatten() {
        let mut token = special_token(definition, Some(id));
        token["special"] = Value::Bool(true);
        decoder.insert(id.to_string(), token);
    }
    let text = |id: Option<TokenId>| id.and_then(|id| definition.vocabulary.text(id));
    pretty(&json!({
        "add_bos_token": specials.add_begin,
        "add_eos_token": specials.add_end,
        "added_tokens_decoder": decoder,
        "bos_token": text(specials.begin),
        "clean_up_tokenization_spaces": false,
        "eos_token": text(specials.end),
        "legacy": false,
        "pad_token": null,
        "padding_side": "right",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": text(specials.unknown),
    }))
}

/// The text of `special_tokens_map.json`: as it was read, or else Llama 2's.
pub fn special_tokens_map_text(definition: &Definition) -> String {
    if let Some(text) = &definition.carried.special_tokens_map {
        return text.clone();
    }
    let specials = definition.specials;
    pretty(&json!({
        "bos_token": special_token(definition, specials.begin),
        "eos_token": special_token(definition, specials.end),
        "unk_token": special_token(definition, specials.unknown),
    }))
}

fn special_token(definition: &Definition, id: Option<TokenId>) -> Value {
    match id.and_then(|id| definition.vocabulary.text(id)) {
        Some(text) => json!({"content": text, "lstrip": false, "normalized": false,
            "rstrip": false, "single_word": false}),
        None => Value::Null,
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value in memory can always be written")
        + "\n"
}
