//! Pieces that are added to a `tokenizer.json`, with every attribute that they may have, are cut out as
//! Hugging Face cuts them out with `encode_special_tokens`, also when the tokenizer is extended.

mod support;

use std::fs;

use kollama_tokenizer::{LearnOptions, Tokenizer, extend, learn};
use serde_json::{Value, json};
use support::{LINES, Random, forms, hugging_face_ids, small_document, sound};

/// What texts are put together from.
const PARTS: [&str; 18] = [
    "[tool]",
    "[tool",
    "[t]",
    "<|end|>",
    "|end|",
    "<s>",
    "</s>",
    " ",
    "  ",
    "\n",
    "\t\u{3000}",
    "▁",
    "a",
    "the ",
    "안녕",
    "▁[tool]",
    " [t]",
    "lazy",
];

/// Four added pieces: the third is special and hides the fourth. `bits` gives attributes to the
/// first two.
fn add_pieces(document: &mut Value, bits: usize) {
    let flag = |bit: usize| bits >> bit & 1 == 1;
    let added = document["added_tokens"].as_array_mut().expect("a list");
    let pieces = [
        ("[tool]", false, [flag(0), flag(1), flag(2)]),
        ("[t]", false, [flag(3), flag(4), flag(5)]),
        ("<|end|>", true, [flag(0), flag(1), flag(5)]),
        ("|end|", false, [false; 3]),
    ];
    for (id, (text, special, [lstrip, rstrip, normalized])) in (700..).zip(pieces) {
        added.push(json!({"id": id, "content": text, "single_word": false, "lstrip": lstrip,
            "rstrip": rstrip, "normalized": normalized, "special": special}));
    }
}

fn texts(random: &mut Random) -> Vec<String> {
    let text = |random: &mut Random| -> String {
        let length = random.below(9);
        (0..length).map(|_| PARTS[random.below(PARTS.len() as u64) as usize]).collect()
    };
    (0..150).map(|_| text(random)).collect()
}

fn agree(ours: &Tokenizer, random: &mut Random, name: &str) {
    let json = ours.to_json().expect("what was read can be written");
    let mut peer = tokenizers::Tokenizer::from_bytes(json).expect("Hugging Face loads it");
    peer.set_encode_special_tokens(true);
    for text in texts(random) {
        let ids = ours.encode_to_vec(&text);
        assert_eq!(ids, hugging_face_ids(&peer, &text), "{name}: {text:?}");
        let decoded = peer.decode(&ids, true).expect("every id is a piece");
        assert_eq!(ours.decode(&ids), decoded, "{name}: {text:?}");
        let mut end = 0;
        for (_, range) in ours.encode_with_offsets(&text) {
            assert_eq!(range.start, end, "{name}: {text:?}");
            end = range.end;
        }
        assert_eq!(end, text.len(), "{name}: {text:?}");
    }
}

#[test]
fn every_attribute_in_every_form_agrees_with_hugging_face() {
    let mut random = Random(6);
    for form in forms() {
        for bits in 0..64 {
            let mut document = small_document(&form);
            add_pieces(&mut document, bits);
            let ours = Tokenizer::from_json(document.to_string().as_bytes()).expect("sound");
            agree(&ours, &mut random, &format!("{}, attributes {bits:06b}", form.0));
        }
    }
}

#[test]
fn a_special_piece_that_is_normalized_is_skipped_where_hugging_face_forgets_that_it_is_special() {
    let mut document = small_document(&forms()[0]);
    add_pieces(&mut document, 0b100_000);
    let bytes = document.to_string();
    let peer = tokenizers::Tokenizer::from_bytes(&bytes).expect("Hugging Face loads it");
    assert_eq!(peer.decode(&[702], true).expect("a piece"), "<|end|>");
    let ours = Tokenizer::from_json(bytes.as_bytes()).expect("sound");
    assert_eq!(ours.decode(&[702]), "");
}

#[test]
fn attributes_that_decide_ids_decide_the_fingerprint() {
    let form = &forms()[0];
    let mut seen: Vec<String> = (0..64)
        .map(|bits| {
            let mut document = small_document(form);
            add_pieces(&mut document, bits);
            Tokenizer::from_json(document.to_string().as_bytes()).expect("sound").fingerprint()
        })
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 64);
}

#[test]
fn an_extension_comes_after_the_pieces_that_were_added_and_keeps_them() {
    let mut document = small_document(&forms()[0]);
    add_pieces(&mut document, 0b100_010);
    let added = document["added_tokens"].as_array_mut().expect("a list");
    added.push(json!({"id": 704, "content": "<pad>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true}));
    let base = Tokenizer::from_json(document.to_string().as_bytes()).expect("sound");
    let lines = LINES.iter().cycle().take(60).map(|line| line.to_string());
    let learned = learn(&base, sound(lines), &LearnOptions::hangul(20)).expect("learned");
    let extension = extend(&base, &learned, 725).expect("enough");
    let folder = tempfile::tempdir().expect("a folder");
    extension.tokenizer.save(folder.path()).expect("saved");
    let again = Tokenizer::open(folder.path()).expect("sound");
    assert_eq!(again.id_of("<pad>"), Some(704));
    assert_eq!(again.fingerprint(), extension.tokenizer.fingerprint());
    agree(&again, &mut Random(7), "extended");
    let written = fs::read(folder.path().join("tokenizer.json")).expect("written");
    let written: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(written["added_tokens"], document["added_tokens"]);
    let peer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json"));
    let peer = peer.expect("Hugging Face loads it");
    for id in [700, 703, 704, 705, 724] {
        assert_eq!(peer.id_to_token(id).as_deref(), again.piece(id));
    }
}
