//! Every way in which a tokenizer's files can be wrong is named, with the file and the place.

mod support;

use std::fs;
use std::path::PathBuf;

use kollama_tokenizer::{Tokenizer, TokenizerError};
use serde_json::{Value, json};
use support::small_tokenizer;
use tempfile::TempDir;

/// A small tokenizer's files, to be broken.
fn saved() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    small_tokenizer().save(folder.path()).expect("saved");
    folder
}

/// Opens the small `tokenizer.json` after a change, which must make it unsound.
fn open_changed(change: impl FnOnce(&mut Value)) -> TokenizerError {
    let folder = saved();
    let path = folder.path().join("tokenizer.json");
    let mut document: Value =
        serde_json::from_slice(&fs::read(&path).expect("saved")).expect("JSON");
    change(&mut document);
    fs::write(&path, document.to_string()).expect("written");
    let error = Tokenizer::open(&path).err().expect("unsound");
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
    error
}

#[test]
fn text_that_is_not_json_is_an_error_with_its_line() {
    let folder = saved();
    let path = folder.path().join("tokenizer.json");
    let text = fs::read_to_string(&path).expect("saved");
    let cut: String = text.lines().take(40).collect::<Vec<_>>().join("\n");
    fs::write(&path, cut).expect("written");
    let error = Tokenizer::open(folder.path()).err().expect("cut off");
    assert!(matches!(error, TokenizerError::Json { line: 40, .. }), "{error}");
}

#[test]
fn a_merge_of_unknown_parts_is_named() {
    let error = open_changed(|document| document["model"]["merges"][3] = json!("☃ x"));
    let TokenizerError::UnknownPart { index: 3, missing, .. } = error else { panic!("{error}") };
    assert_eq!(missing, "☃");
}

#[test]
fn a_merge_that_is_no_pair_is_named() {
    let error = open_changed(|document| document["model"]["merges"][5] = json!(["a", "b", "c"]));
    assert!(error.to_string().contains("model.merges[5]"), "{error}");
}

#[test]
fn an_id_that_two_pieces_claim_is_named() {
    let error = open_changed(|document| document["model"]["vocab"]["new"] = json!(300));
    assert!(matches!(error, TokenizerError::DuplicateId { id: 300, .. }), "{error}");
}

#[test]
fn a_hole_in_the_ids_is_named() {
    let error = open_changed(|document| document["model"]["vocab"]["new"] = json!(701));
    assert!(matches!(error, TokenizerError::MissingId { id: 700, size: 701, .. }), "{error}");
}

#[test]
fn an_id_that_is_no_number_is_named() {
    let error = open_changed(|document| document["model"]["vocab"]["new"] = json!("x"));
    assert!(matches!(error, TokenizerError::Field { .. }), "{error}");
}

#[test]
fn a_tokenizer_without_a_byte_piece_that_may_be_needed_is_refused() {
    for missing in [0x07, 0xea] {
        let error = open_changed(|document| {
            let vocab = document["model"]["vocab"].as_object_mut().expect("an object");
            let id = vocab.shift_remove(&format!("<0x{missing:02X}>")).expect("there");
            vocab.insert("not a byte".into(), id);
        });
        assert!(
            matches!(error, TokenizerError::MissingByte { byte, .. } if byte == missing),
            "{error}"
        );
    }
}

#[test]
fn other_kinds_of_tokenizers_are_refused_by_name() {
    let error = open_changed(|document| document["model"]["type"] = json!("Unigram"));
    assert!(matches!(&error, TokenizerError::NotBpe { found, .. } if found == "Unigram"));
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first",
        "split": false});
    let error = open_changed(|document| document["pre_tokenizer"] = metaspace.clone());
    assert!(error.to_string().contains("Metaspace"), "a second space mark: {error}");
    let error = open_changed(|document| {
        document["normalizer"] = Value::Null;
        document["pre_tokenizer"] = metaspace.clone();
        document["pre_tokenizer"]["split"] = json!(true);
    });
    assert!(error.to_string().contains("Metaspace"), "{error}");
    let split = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
        "invert": false});
    let error = open_changed(|document| {
        document["normalizer"] = Value::Null;
        document["pre_tokenizer"] = split.clone();
    });
    assert!(error.to_string().contains("Split"), "blanks are left: {error}");
    let error = open_changed(|document| {
        document["pre_tokenizer"] = split.clone();
        document["pre_tokenizer"]["invert"] = json!(true);
    });
    assert!(error.to_string().contains("invert"), "all else is cut: {error}");
    let error = open_changed(|document| document["normalizer"] = json!({"type": "NFC"}));
    assert!(error.to_string().contains("NFC"), "{error}");
    let error = open_changed(|document| document["model"]["byte_fallback"] = json!(false));
    assert!(error.to_string().contains("byte_fallback"), "{error}");
}

/// The error of a piece that is added with one attribute.
fn open_with_added(content: &str, attribute: &str) -> String {
    let error = open_changed(|document| {
        let added = document["added_tokens"].as_array_mut().expect("a list");
        added.push(json!({"id": 700, "content": content, "special": false}));
        added[3][attribute] = json!(true);
    });
    error.to_string()
}

#[test]
fn an_attribute_of_an_added_piece_that_cannot_be_followed_is_refused_by_name() {
    let words = open_with_added("[tool]", "single_word");
    assert!(words.contains("added_tokens[3].single_word") && words.contains("[tool]"), "{words}");
    assert!(words.contains("not supported"), "{words}");
    let words = open_with_added("☃", "normalized");
    assert!(words.contains("normalized = true") && words.contains('☃'), "{words}");
}

#[test]
fn a_merge_that_makes_a_special_piece_is_refused_by_name() {
    let error = open_changed(|document| {
        let added = document["added_tokens"].as_array_mut().expect("a list");
        added.push(json!({"id": 700, "content": "th", "special": true}));
        document["added_tokens"][3]["id"] = document["model"]["vocab"]["th"].clone();
    });
    let words = error.to_string();
    assert!(words.contains("special piece \"th\""), "{words}");
}

#[test]
fn an_added_piece_without_text_is_refused() {
    let error = open_changed(|document| document["added_tokens"][0]["content"] = json!(""));
    assert!(error.to_string().contains("added_tokens[0].content"), "{error}");
}

#[test]
fn added_pieces_that_contradict_each_other_or_are_no_list_are_refused() {
    let error = open_changed(|document| {
        let added = document["added_tokens"].as_array_mut().expect("a list");
        added.push(added[1].clone());
        added[3]["lstrip"] = json!(true);
    });
    assert!(matches!(error, TokenizerError::DuplicateId { id: 1, .. }), "{error}");
    let error = open_changed(|document| document["added_tokens"] = json!({"<s>": 1}));
    assert!(error.to_string().contains("added_tokens: expected a list"), "{error}");
}

#[test]
fn a_decoder_that_would_lose_the_blank_before_a_word_is_refused() {
    let error = open_changed(|document| {
        let decoders = document["decoder"]["decoders"].as_array_mut().expect("a list");
        decoders.retain(|decoder| decoder["type"] != "Strip");
    });
    assert!(error.to_string().contains("loses or gains blanks"), "{error}");
}

/// The bytes of the small `tokenizer.model` with the trainer's model type replaced.
fn model_of_type(number: u8) -> (TempDir, PathBuf) {
    let folder = saved();
    let path = folder.path().join("tokenizer.model");
    let mut bytes = fs::read(&path).expect("saved");
    // Field 3 (0x18) with value 2, then field 4 (0x20): once, near the end of the file.
    let at = bytes.windows(3).rposition(|three| three == [0x18, 2, 0x20]).expect("a model type");
    bytes[at + 1] = number;
    fs::write(&path, bytes).expect("written");
    (folder, path)
}

#[test]
fn a_unigram_model_is_refused_by_name() {
    let (_folder, path) = model_of_type(1);
    let error = Tokenizer::open(&path).err().expect("unigram");
    assert!(
        matches!(&error, TokenizerError::NotBpe { found, .. } if found == "unigram"),
        "{error}"
    );
}

#[test]
fn any_file_that_is_no_model_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokenizer.model");
    for bytes in [&b""[..], b"{\"a\": 1}", b"<html>", &[0xff; 64], &[0x0a, 0x00]] {
        fs::write(&path, bytes).expect("written");
        let error = Tokenizer::open(&path).err().expect("no model").to_string();
        assert!(error.contains("tokenizer.model"), "{error}");
    }
}

#[test]
fn a_folder_without_a_tokenizer_says_what_it_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Tokenizer::open(folder.path()).err().expect("empty");
    assert!(matches!(error, TokenizerError::NoTokenizer { .. }), "{error}");
}

#[test]
fn a_failed_save_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").expect("written");
    let error = small_tokenizer().save(&in_the_way).expect_err("not a folder");
    assert!(matches!(error, TokenizerError::Write { .. }), "{error}");
}
