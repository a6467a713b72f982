//! Every form of the space mark that a `tokenizer.json` may have, with pieces added and without, gives
//! the ids and the texts of Hugging Face, and still does when it is saved or extended.

mod support;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use kollama_tokenizer::{LearnOptions, Tokenizer, extend, learn};
use serde_json::{Value, json};
use support::{
    Form, LINES, Random, data, forms, holds_special, hugging_face_ids, in_form, small_tokenizer,
    sound,
};

/// A folder for a tokenizer's file in the given form, and the file, with `<|user|>` and `<|user|>▁b`
/// added if `adds`.
fn document_of(tokenizer: &Tokenizer, form: &Form, adds: bool) -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    tokenizer.save(folder.path()).expect("saved");
    let mut document = in_form(tokenizer, form);
    if adds {
        let added = document["added_tokens"].as_array_mut().expect("a list");
        for (id, text) in (tokenizer.vocab_size()..).zip(["<|user|>", "<|user|>▁b"]) {
            added.push(json!({"id": id, "content": text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": false}));
        }
    }
    (folder, document)
}

fn texts() -> Vec<String> {
    let mut random = Random(4);
    let mut texts: Vec<String> = (0..400).map(|_| random.text()).collect();
    texts.extend(["", " ", "  ", " a", "  a", "▁a", "▁", "a ", "hi", "\n a"].map(str::to_owned));
    let added: Vec<String> = texts
        .windows(3)
        .flat_map(|three| [format!("<|user|>{}", three[0]), three.join("<|user|>")])
        .collect();
    texts.extend(["<|user|><|user|>", "<|user|> b", "a<|user|>▁b", " <|user|>"].map(str::to_owned));
    texts.extend(added);
    texts.retain(|text| !holds_special(text));
    texts
}

/// Checks a folder's tokenizer against the same file read by Hugging Face.
fn agree(folder: &Path, name: &str) -> Tokenizer {
    let path = folder.join("tokenizer.json");
    let peer = tokenizers::Tokenizer::from_file(&path).expect("Hugging Face loads it");
    let ours = Tokenizer::open(folder).expect("sound");
    for text in texts() {
        let ids = ours.encode_to_vec(&text);
        assert_eq!(ids, hugging_face_ids(&peer, &text), "{name}: {text:?}");
        let decoded = peer.decode(&ids, true).expect("every id is a piece");
        assert_eq!(ours.decode(&ids), decoded, "{name}: {text:?}");
    }
    ours
}

#[test]
fn every_form_agrees_with_hugging_face_and_stays_what_it_is() {
    let mut fingerprints = HashSet::new();
    for form in forms() {
        for adds in [false, true] {
            let name = format!("{}, added pieces: {adds}", form.0);
            let (folder, document) = document_of(&small_tokenizer(), &form, adds);
            fs::write(folder.path().join("tokenizer.json"), document.to_string()).expect("written");
            let ours = agree(folder.path(), &name);
            fingerprints.insert((adds, ours.fingerprint()));
            // Over the model of the form before, which may not stay unless it says the same.
            ours.save(folder.path()).expect("saved");
            let written = fs::read(folder.path().join("tokenizer.json")).expect("written");
            let written: Value = serde_json::from_slice(&written).expect("JSON");
            assert_eq!([&written["normalizer"], &written["pre_tokenizer"]], [&form.1, &form.2]);
            assert_eq!(agree(folder.path(), &name).fingerprint(), ours.fingerprint());
            let model = folder.path().join("tokenizer.model");
            let can_be_a_model = !adds && !["first", "always"].contains(&form.0);
            assert_eq!(model.exists(), can_be_a_model, "{name}");
            if can_be_a_model {
                let again = Tokenizer::open(&model).expect("sound");
                assert_eq!(again.fingerprint(), ours.fingerprint(), "{name}");
            }
        }
    }
    // Without added pieces `first` and `always` are one; `never` and those with Replace alone
    // always are.
    let count = |adds| fingerprints.iter().filter(|(added, _)| *added == adds).count();
    assert_eq!([count(false), count(true)], [3, 4]);
}

#[test]
fn an_extension_keeps_the_form_of_its_base() {
    for form in forms() {
        let (folder, document) = document_of(&small_tokenizer(), &form, true);
        fs::write(folder.path().join("tokenizer.json"), document.to_string()).expect("written");
        let base = Tokenizer::open(folder.path()).expect("sound");
        let lines = LINES.iter().cycle().take(60).map(|line| line.to_string());
        let learned = learn(&base, sound(lines), &LearnOptions::hangul(20)).expect("learned");
        let extension = extend(&base, &learned, base.vocab_size() + 20).expect("enough");
        extension.tokenizer.save(folder.path()).expect("saved");
        let again = agree(folder.path(), form.0);
        assert_eq!(again.fingerprint(), extension.tokenizer.fingerprint());
    }
}

#[test]
fn llama_2_in_every_form_agrees_with_hugging_face() {
    let Some(llama) = data("llama2-tokenizer") else {
        return;
    };
    let llama = Tokenizer::open(&llama).expect("sound");
    for form in forms() {
        let (folder, mut document) = document_of(&llama, &form, true);
        // As transformers 5 writes it.
        document["model"]["unk_token"] = Value::Null;
        fs::write(folder.path().join("tokenizer.json"), document.to_string()).expect("written");
        let ours = agree(folder.path(), form.0);
        if form.0 == "prepend" {
            assert_eq!(ours.encode_to_vec("hi<|user|>there"), [7251, 32_000, 727]);
            assert_eq!(ours.encode_to_vec("<|user|>x"), [32_000, 921]);
        }
    }
}
