//! Tables that no trainer makes, but a file may hold, give the ids of Hugging Face all the same.

mod support;

use std::fs;

use kollama_tokenizer::Tokenizer;
use serde_json::{Value, json};
use support::{Random, holds_special, hugging_face_ids, small_tokenizer};

/// Changes the file of the small tokenizer and compares on random texts.
fn agrees_after(change: impl FnOnce(&mut Value)) -> Tokenizer {
    let folder = tempfile::tempdir().expect("a folder");
    small_tokenizer().save(folder.path()).expect("saved");
    let path = folder.path().join("tokenizer.json");
    let mut document: Value =
        serde_json::from_slice(&fs::read(&path).expect("saved")).expect("JSON");
    change(&mut document);
    fs::write(&path, document.to_string()).expect("written");
    let ours = Tokenizer::open(&path).expect("sound");
    let peer = tokenizers::Tokenizer::from_file(&path).expect("Hugging Face loads it");
    let mut random = Random(31);
    let texts: Vec<String> = (0..4000).map(|_| random.text()).collect();
    for text in texts.iter().filter(|text| !holds_special(text)) {
        let ids = ours.encode_to_vec(text);
        assert_eq!(ids, hugging_face_ids(&peer, text), "{text:?}");
        assert_eq!(ours.decode(&ids), peer.decode(&ids, true).expect("pieces"), "{text:?}");
    }
    ours
}

fn add_piece(document: &mut Value, piece: &str) {
    let vocabulary = document["model"]["vocab"].as_object_mut().expect("an object");
    let id = vocabulary.len();
    vocabulary.insert(piece.into(), id.into());
}

#[test]
fn merges_of_bytes() {
    agrees_after(|document| {
        add_piece(document, "<0xEA><0xB0>");
        let merges = document["model"]["merges"].as_array_mut().expect("a list");
        merges.insert(0, json!("<0xEA> <0xB0>"));
    });
}

#[test]
fn merges_of_bytes_of_two_characters() {
    let bare = small_tokenizer();
    let ours = agrees_after(|document| {
        for (left, right) in [("<0xA3>", "<0xED>"), ("<0x7F>", "<0x7F>")] {
            add_piece(document, &format!("{left}{right}"));
            let merges = document["model"]["merges"].as_array_mut().expect("a list");
            merges.insert(0, json!(format!("{left} {right}")));
        }
    });
    for text in ["힣힣", "\u{7f}\u{7f}"] {
        let [ours, bare] = [&ours, &bare].map(|tokenizer| tokenizer.encode_to_vec(text).len());
        assert_eq!(ours, bare - 1, "{text:?}");
    }
}

#[test]
fn merges_in_another_order_than_they_were_learned_in() {
    agrees_after(|document| {
        document["model"]["merges"].as_array_mut().expect("a list").reverse();
    });
}

#[test]
fn a_merge_that_is_missing() {
    agrees_after(|document| {
        let merges = document["model"]["merges"].as_array_mut().expect("a list");
        (0..merges.len() / 3).for_each(|at| drop(merges.remove(at * 2)));
    });
}

#[test]
fn a_space_mark_without_a_piece() {
    agrees_after(|document| {
        let model = &mut document["model"];
        let vocabulary = model["vocab"].as_object_mut().expect("an object");
        let id = vocabulary.remove("▁").expect("the mark has a piece");
        vocabulary.insert("\u{e000}".into(), id);
        let is_of_mark = |merge: &Value| {
            merge.as_str().is_some_and(|merge| merge.split(' ').any(|part| part == "▁"))
        };
        model["merges"].as_array_mut().expect("a list").retain(|merge| !is_of_mark(merge));
    });
}

#[test]
fn a_character_in_place_of_its_byte() {
    let ours = agrees_after(|document| {
        let vocabulary = document["model"]["vocab"].as_object_mut().expect("an object");
        for (byte, character) in [("<0x09>", "\t"), ("<0x0A>", "\n")] {
            let id = vocabulary.remove(byte).expect("a byte");
            vocabulary.insert(character.into(), id);
        }
    });
    assert!(ours.encode_to_vec("a\t\nb").contains(&12));
    assert!(ours.to_model().is_none(), "sentencepiece wants all byte pieces");
}

#[test]
fn a_piece_with_a_blank_in_it() {
    agrees_after(|document| {
        add_piece(document, " ");
        add_piece(document, " the");
    });
}
