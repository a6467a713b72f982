//! The tokenizer of Llama 2 from both of its files: ids, texts, fingerprints, files written again.

mod support;

use std::fs;
use std::path::Path;

use kollama_tokenizer::{TokenId, Tokenizer};
use support::{data, json_lines};

fn open_both() -> Option<[Tokenizer; 2]> {
    let folder = data("llama2-tokenizer")?;
    let open = |name| Tokenizer::open(&folder.join(name)).expect("a sound tokenizer");
    Some([open("tokenizer.json"), open("tokenizer.model")])
}

#[test]
fn the_stored_cases_have_the_stored_ids_and_decode_back() {
    let Some(both) = open_both() else { return };
    let folder = data("llama2-tokenizer").expect("just opened");
    let mut cases = 0;
    for case in json_lines(&folder.join("cases.jsonl.zst")) {
        let text = case["text"].as_str().expect("a text");
        let ids: Vec<TokenId> = serde_json::from_value(case["ids"].clone()).expect("ids");
        let decoded = case["decoded"].as_str().unwrap_or(text);
        for tokenizer in &both {
            assert_eq!(tokenizer.encode_to_vec(text), ids, "{text:?}");
            assert_eq!(tokenizer.decode(&ids), decoded);
        }
        cases += 1;
    }
    assert_eq!(cases, 521);
}

#[test]
fn both_files_are_one_tokenizer() {
    let Some([json, model]) = open_both() else {
        return;
    };
    assert_eq!(json.fingerprint(), model.fingerprint());
    for tokenizer in [json, model] {
        assert_eq!(tokenizer.vocab_size(), 32_000);
        assert_eq!(tokenizer.bos_id(), Some(1));
        assert_eq!(tokenizer.eos_id(), Some(2));
        assert!(tokenizer.add_bos());
        assert_eq!(tokenizer.piece(29871), Some("▁"));
        assert_eq!(tokenizer.id_of("▁안"), None);
    }
}

#[test]
fn what_is_read_is_written_again_to_the_letter() {
    let Some(folder) = data("llama2-tokenizer") else {
        return;
    };
    let out = tempfile::tempdir().expect("a folder");
    Tokenizer::open(&folder).expect("sound").save(out.path()).expect("saved");
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        assert!(fs::read(folder.join(name)).ok() == fs::read(out.path().join(name)).ok(), "{name}");
    }
    let from_model = tempfile::tempdir().expect("a folder");
    let model = Tokenizer::open(&folder.join("tokenizer.model")).expect("sound");
    model.save(from_model.path()).expect("saved");
    let name = "tokenizer.model";
    assert!(fs::read(folder.join(name)).ok() == fs::read(from_model.path().join(name)).ok());
}

#[test]
fn either_file_alone_gives_the_other() {
    let Some(folder) = data("llama2-tokenizer") else {
        return;
    };
    let original = Tokenizer::open(&folder).expect("sound");
    for name in ["tokenizer.json", "tokenizer.model"] {
        let alone = tempfile::tempdir().expect("a folder");
        fs::copy(folder.join(name), alone.path().join(name)).expect("copied");
        let out = tempfile::tempdir().expect("a folder");
        Tokenizer::open(alone.path()).expect("sound").save(out.path()).expect("saved");
        for written in ["tokenizer.json", "tokenizer.model"] {
            let again = Tokenizer::open(&out.path().join(written)).expect("sound");
            assert_eq!(again.fingerprint(), original.fingerprint(), "{name} to {written}");
            assert_eq!([again.bos_id(), again.eos_id()], [Some(1), Some(2)]);
        }
    }
}

#[test]
fn blanks_come_back_as_they_went_in() {
    let Some(both) = open_both() else { return };
    for text in [" a", "  a", "a ", "a  b   c", " ", "   ", "\n a", "안녕 하세요", " 안녕  하세요 "]
    {
        for tokenizer in &both {
            let ids = tokenizer.encode_to_vec(text);
            assert_eq!(tokenizer.decode(&ids), text);
            let mut stream = tokenizer.decode_stream();
            let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).to_owned()).collect();
            assert_eq!(pieces.concat() + &stream.finish(), text);
        }
    }
}

#[test]
fn a_model_cut_anywhere_is_an_error_and_never_a_panic() {
    let Some(folder) = data("llama2-tokenizer") else {
        return;
    };
    let bytes = fs::read(folder.join("tokenizer.model")).expect("there");
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().join("tokenizer.model");
    for len in (0..200).chain([1000, 100_000, bytes.len() - 300, bytes.len() - 1]) {
        fs::write(&path, &bytes[..len]).expect("written");
        let error = Tokenizer::open(&path).err().expect("cut off").to_string();
        assert!(error.contains("tokenizer.model"), "{error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Tokenizer::open(Path::new("/nowhere/tokenizer.json")).err().expect("missing");
    assert!(error.to_string().contains("/nowhere/tokenizer.json"));
}

#[test]
fn a_tiny_real_model_has_one_tokenizer_in_both_files() {
    let Some(folder) = data("stories260k") else { return };
    let open = |name| Tokenizer::open(&folder.join("hf").join(name)).expect("sound");
    let [json, model] = ["tokenizer.json", "tokenizer.model"].map(open);
    assert_eq!(json.vocab_size(), 512);
    for text in ["Once upon a time", " Lily  and Tim\nplayed.", "날씨가 좋네요"] {
        assert_eq!(json.encode_to_vec(text), model.encode_to_vec(text));
        assert_eq!(json.decode(&json.encode_to_vec(text)), text);
    }
    assert_eq!(json.fingerprint(), model.fingerprint());
}
