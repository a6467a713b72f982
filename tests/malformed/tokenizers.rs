//! Tokenizers that would not give every text its ids.

use crate::program::{TRAIN, Workplace};
use crate::refuses;
use serde_json::{Value, json};

/// Refuses `tok/tokenizer.json` after `change`, wherever it is read.
fn refuses_tokenizer(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let place = Workplace::with_tokenizer();
    place.edit_json("tok/tokenizer.json", change);
    let expected = [expected, &["tok/tokenizer.json"]].concat();
    refuses(&place, "tokenizer encode --tokenizer tok abc", &expected);
    refuses(&place, "model init --config config.json --tokenizer tok --out model", &expected);
    let extend = "tokenizer extend --base tok --corpus korean.txt --vocab-size 340 --out larger";
    refuses(&place, extend, &expected);
}

/// Adds a merge in the notation of the file.
fn add_merge(tokenizer: &mut Value, left: &str, right: &str) {
    let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
    let merge = match merges[0].is_array() {
        true => json!([left, right]),
        false => json!(format!("{left} {right}")),
    };
    merges.push(merge);
}

#[test]
fn a_merge_of_parts_that_are_no_pieces_is_refused() {
    let unknown = |tokenizer: &mut Value| add_merge(tokenizer, "☃", "e");
    refuses_tokenizer(unknown, &["☃", "not in the vocabulary"]);
}

#[test]
fn a_merge_into_what_is_no_piece_is_refused() {
    let endless = |tokenizer: &mut Value| add_merge(tokenizer, "e", "<0x41>");
    refuses_tokenizer(endless, &["e<0x41>", "not in the vocabulary"]);
}

#[test]
fn two_pieces_with_one_id_are_refused() {
    let doubled = |tokenizer: &mut Value| tokenizer["model"]["vocab"]["e"] = json!(300);
    refuses_tokenizer(doubled, &["id 300", "\"e\""]);
}

#[test]
fn ids_with_a_hole_are_refused() {
    let holed = |tokenizer: &mut Value| {
        let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        let last = vocabulary.values_mut().find(|id| **id == json!(319)).unwrap();
        *last = json!(400);
    };
    refuses_tokenizer(holed, &["no piece has id 319"]);
}

#[test]
fn a_byte_without_a_piece_is_refused() {
    let deaf = |tokenizer: &mut Value| {
        let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        let id = vocabulary.remove("<0xEA>").unwrap();
        vocabulary.insert("another".to_owned(), id);
    };
    refuses_tokenizer(deaf, &["<0xEA>", "256"]);
}

#[test]
fn a_tokenizer_of_another_kind_is_refused() {
    let unigram = |tokenizer: &mut Value| tokenizer["model"]["type"] = json!("Unigram");
    refuses_tokenizer(unigram, &["Unigram", "BPE"]);
}

#[test]
fn a_tokenizer_that_is_not_json_is_refused_by_line() {
    let place = Workplace::with_tokenizer();
    let mut text = place.read("tok/tokenizer.json");
    text.truncate(text.len() / 2);
    place.write("tok/tokenizer.json", text);
    refuses(&place, "tokenizer encode --tokenizer tok abc", &["tok/tokenizer.json", "line"]);
}

#[test]
fn a_model_with_a_damaged_tokenizer_is_not_used_as_if_it_had_none() {
    let place = Workplace::with_rows();
    place.write("model/tokenizer.json", "{");
    for line in ["model info model", "model verify model", "score --model model", TRAIN] {
        refuses(&place, line, &["model/tokenizer.json"]);
    }
}

#[test]
fn a_truncated_sentencepiece_model_is_refused_by_byte() {
    let place = Workplace::with_tokenizer();
    let whole = place.read("tok/tokenizer.model");
    for length in [whole.len() / 2, whole.len() - 1, 7] {
        place.write("cut.model", &whole[..length]);
        refuses(&place, "tokenizer encode --tokenizer cut.model abc", &["cut.model", "byte"]);
    }
}

#[test]
fn a_folder_without_a_tokenizer_is_refused() {
    let place = Workplace::with_tokenizer();
    std::fs::create_dir(place.path("empty")).unwrap();
    refuses(&place, "tokenizer encode --tokenizer empty abc", &["empty", "tokenizer.json"]);
    refuses(&place, "tokenizer encode --tokenizer nowhere abc", &["nowhere"]);
}
