//! What transformers makes of the config beside a tokenizer, by goldens of `tools/transformers_goldens.py`:
//! which form of `tokenizer.json` each of its readings is, and where it keeps chat templates.

mod support;

use std::fs;
use std::path::Path;

use kollama_tokenizer::{LearnOptions, TokenId, Tokenizer, extend, learn};
use serde_json::{Value, json};
use support::{LINES, data, forms, in_form, small_tokenizer, sound};

fn golden() -> Value {
    serde_json::from_str(include_str!("goldens/transformers.json")).expect("JSON")
}

/// Llama 2 in the form of that name, with `[tool]` added.
fn llama_in(form: &str, llama: &Tokenizer) -> Tokenizer {
    let form = forms().into_iter().find(|(name, ..)| *name == form).expect("a form");
    let mut document = in_form(llama, &form);
    let tool = json!({"id": 32_000, "content": "[tool]", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": false});
    document["added_tokens"].as_array_mut().expect("a list").push(tool);
    Tokenizer::from_json(document.to_string().as_bytes()).expect("sound")
}

#[test]
fn each_reading_of_transformers_is_one_form_of_the_file() {
    let Some(folder) = data("llama2-tokenizer") else { return };
    let llama = Tokenizer::open(&folder).expect("sound");
    let golden = golden();
    let texts = golden["texts"].as_array().expect("a list");
    for (reading, form) in [
        ("legacy", "always"),
        ("not legacy", "first"),
        ("no prefix", "never"),
        ("as the file", "prepend"),
    ] {
        let ours = llama_in(form, &llama);
        for (text, ids) in texts.iter().zip(golden["ids"][reading].as_array().expect("a list")) {
            let text = text.as_str().expect("a text");
            let ids: Vec<TokenId> = serde_json::from_value(ids.clone()).expect("ids");
            assert_eq!(ours.encode_to_vec(text), ids, "{reading}: {text:?}");
        }
    }
}

/// The small tokenizer in a folder with a config and template files.
fn folder_with(config: &Value, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    small_tokenizer().save(folder.path()).expect("saved");
    fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).expect("written");
    fs::create_dir(folder.path().join("additional_chat_templates")).expect("made");
    for (path, text) in files {
        fs::write(folder.path().join(path), text).expect("written");
    }
    folder
}

fn extended(folder: &Path) -> Tokenizer {
    let base = Tokenizer::open(folder).expect("sound");
    let lines = LINES.iter().cycle().take(60).map(|line| line.to_string());
    let learned = learn(&base, sound(lines), &LearnOptions::hangul(10)).expect("learned");
    extend(&base, &learned, base.vocab_size() + 10).expect("enough").tokenizer
}

#[test]
fn chat_templates_are_found_where_transformers_writes_them_and_kept_by_an_extension() {
    for one in golden()["templates"].as_array().expect("a list") {
        let files = one["files"].as_object().expect("an object").iter();
        let files: Vec<(&str, &str)> =
            files.map(|(path, text)| (path.as_str(), text.as_str().expect("a text"))).collect();
        let config = json!({"chat_template": one["field"], "a field of tomorrow": [1, 2]});
        let folder = folder_with(&config, &files);
        let tokenizer = extended(folder.path());
        assert_eq!(tokenizer.chat_template(), one["meant"].as_str(), "{one}");
        let out = tempfile::tempdir().expect("a folder");
        let named = out.path().join("additional_chat_templates");
        fs::create_dir(&named).expect("made");
        for path in [out.path().join("chat_template.jinja"), named.join("of another.jinja")] {
            fs::write(path, "of another").expect("written");
        }
        tokenizer.save(out.path()).expect("saved");
        let read = |path: &str| fs::read_to_string(out.path().join(path)).ok();
        assert_eq!(read("tokenizer_config.json"), Some(config.to_string()));
        for (path, text) in &files {
            assert_eq!(read(path).as_deref(), Some(*text), "{path}");
        }
        assert_eq!(out.path().join("chat_template.jinja").exists(), !files.is_empty());
        assert!(!named.join("of another.jinja").exists());
        let again = Tokenizer::open(out.path()).expect("sound");
        assert_eq!(again.chat_template(), one["meant"].as_str());
    }
}

#[test]
fn whether_pieces_are_put_around_a_text_is_read_from_the_template_and_then_the_config() {
    let folder = folder_with(&json!({}), &[]);
    let path = folder.path().join("tokenizer.json");
    let mut document: Value =
        serde_json::from_slice(&fs::read(&path).expect("saved")).expect("JSON");
    let end = json!({"SpecialToken": {"id": "</s>", "type_id": 0}});
    document["post_processor"]["single"].as_array_mut().expect("a list").push(end);
    fs::write(&path, document.to_string()).expect("written");
    let open = || {
        let tokenizer = Tokenizer::open(folder.path()).expect("sound");
        [tokenizer.add_bos(), tokenizer.add_eos()]
    };
    assert_eq!(open(), [true, true]);
    let config = json!({"add_bos_token": false, "add_eos_token": false}).to_string();
    fs::write(folder.path().join("tokenizer_config.json"), config).expect("written");
    assert_eq!(open(), [false, false]);
}

#[test]
fn a_model_that_ends_its_texts_says_so_in_the_files_made_of_it() {
    let folder = folder_with(&json!({"add_eos_token": true}), &[]);
    fs::remove_file(folder.path().join("tokenizer.json")).expect("there");
    let out = tempfile::tempdir().expect("a folder");
    Tokenizer::open(folder.path()).expect("sound").save(out.path()).expect("saved");
    let peer = tokenizers::Tokenizer::from_file(out.path().join("tokenizer.json")).expect("loads");
    let ids = peer.encode("the", true).expect("encoded").get_ids().to_vec();
    assert_eq!([ids.first(), ids.last()], [Some(&1), Some(&2)]);
}
