//! What the files carry besides pieces: configs to the letter, added pieces, chat templates.

mod support;

use std::fs;

use kollama_tokenizer::{LearnOptions, TokenId, Tokenizer, TokenizerError, extend, learn};
use serde_json::{Value, json};
use support::{
    LINES, forms, hugging_face_ids, sentence_piece_ids, small_document, small_model_with,
    small_tokenizer, sound,
};

#[test]
fn an_extension_of_either_file_alone_is_written_as_both() {
    let saved = tempfile::tempdir().expect("a folder");
    small_tokenizer().save(saved.path()).expect("saved");
    let mut ids = Vec::new();
    for name in ["tokenizer.json", "tokenizer.model"] {
        let alone = tempfile::tempdir().expect("a folder");
        fs::copy(saved.path().join(name), alone.path().join(name)).expect("copied");
        let base = Tokenizer::open(alone.path()).expect("sound");
        let lines = LINES.iter().cycle().take(60).map(|line| line.to_string());
        let learned = learn(&base, sound(lines), &LearnOptions::hangul(20)).expect("learned");
        let extension = extend(&base, &learned, base.vocab_size() + 20).expect("enough");
        let out = tempfile::tempdir().expect("a folder");
        extension.tokenizer.save(out.path()).expect("saved");
        let peer = tokenizers::Tokenizer::from_file(out.path().join("tokenizer.json"));
        let peer = peer.expect("Hugging Face loads it");
        let texts = LINES.map(str::to_owned);
        let ours: Vec<Vec<TokenId>> =
            texts.iter().map(|text| extension.tokenizer.encode_to_vec(text)).collect();
        for (text, ours) in texts.iter().zip(&ours) {
            assert_eq!(&hugging_face_ids(&peer, text), ours, "{name}: {text}");
        }
        let model = out.path().join("tokenizer.model");
        if let Some(theirs) = sentence_piece_ids(&model, &texts) {
            assert_eq!(theirs, ours, "{name}");
        }
        ids.push(ours);
    }
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn config_and_template_are_kept_to_the_letter_through_an_extension() {
    let folder = tempfile::tempdir().expect("a folder");
    small_tokenizer().save(folder.path()).expect("saved");
    let config = "{\n \"chat_template\": \"{{ messages }}\", \"add_bos_token\": false,\n \
                  \"bos_token\": {\"content\": \"</s>\"},\n \
                  \"model_max_length\": 1000000000000000019884624838656}";
    fs::write(folder.path().join("tokenizer_config.json"), config).expect("written");
    let base = Tokenizer::open(folder.path()).expect("sound");
    assert_eq!(base.chat_template(), Some("{{ messages }}"));
    assert!(!base.add_bos());
    assert_eq!(base.bos_id(), base.id_of("</s>"));
    let lines = LINES.iter().cycle().take(60).map(|line| line.to_string());
    let learned = learn(&base, sound(lines), &LearnOptions::hangul(10)).expect("learned");
    let extension = extend(&base, &learned, base.vocab_size() + 10).expect("enough");
    let out = tempfile::tempdir().expect("a folder");
    extension.tokenizer.save(out.path()).expect("saved");
    let written = fs::read_to_string(out.path().join("tokenizer_config.json")).expect("written");
    assert_eq!(written, config);
    assert_eq!(extension.tokenizer.chat_template(), base.chat_template());
}

/// The small tokenizer with a special and an ordinary piece added, as `add_tokens` adds them.
fn with_added_pieces() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    small_tokenizer().save(folder.path()).expect("saved");
    let path = folder.path().join("tokenizer.json");
    let mut document: Value =
        serde_json::from_slice(&fs::read(&path).expect("saved")).expect("JSON");
    let added = document["added_tokens"].as_array_mut().expect("a list");
    for (id, text, special) in [(700, "[tool]", false), (701, "[end]", true)] {
        added.push(json!({"id": id, "content": text, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": special}));
    }
    document["a field of tomorrow"] = json!({"kept": true});
    fs::write(&path, document.to_string()).expect("written");
    fs::remove_file(folder.path().join("tokenizer.model")).expect("there");
    folder
}

#[test]
fn special_pieces_are_never_made_from_text() {
    let folder = with_added_pieces();
    let tokenizer = Tokenizer::open(folder.path()).expect("sound");
    let ids = tokenizer.encode_to_vec("a [tool]b[end] <s>");
    assert!(ids.contains(&700) && !ids.contains(&701) && !ids.contains(&1));
    // As Hugging Face decodes it: each stretch was given a blank, one is taken away.
    assert_eq!(tokenizer.decode(&ids), "a [tool] b[end] <s>");
}

/// The small `tokenizer.model` with pieces added as `user_defined_symbols` adds them.
fn with_user_defined_piece() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    small_tokenizer().save(folder.path()).expect("saved");
    let bytes = small_model_with(&[("[tool]", 0.0, 4), ("[a b]", 0.0, 4), ("▁☃", 0.0, 4)]);
    fs::write(folder.path().join("tokenizer.model"), bytes).expect("written");
    fs::remove_file(folder.path().join("tokenizer.json")).expect("there");
    folder
}

#[test]
fn user_defined_pieces_of_a_model_are_cut_out_as_in_sentence_piece() {
    let folder = with_user_defined_piece();
    let tokenizer = Tokenizer::open(folder.path()).expect("sound");
    let mark = tokenizer.id_of("▁").expect("a piece");
    assert_eq!(tokenizer.encode_to_vec("[tool]"), [mark, 700]);
    let out = tempfile::tempdir().expect("a folder");
    // Another tokenizer's file, which must not stay.
    small_tokenizer().save(out.path()).expect("saved");
    tokenizer.save(out.path()).expect("saved");
    assert!(!out.path().join("tokenizer.json").exists(), "no tokenizer.json gives these ids");
    let again = Tokenizer::open(out.path()).expect("sound");
    assert_eq!(again.fingerprint(), tokenizer.fingerprint());
    assert!(!tokenizer.encode_to_vec("[a b]").contains(&701), "SentencePiece never finds a blank");
    let texts = [
        "[tool]",
        " [tool] [tool]",
        "x[tool]y",
        "[tool",
        "▁[tool]",
        "안녕[tool]안녕",
        "[a b]",
        " x",
        "x",
        "y x[a b]▁x",
    ]
    .map(String::from);
    for text in &texts {
        assert_eq!(tokenizer.decode(&tokenizer.encode_to_vec(text)), text.replace('▁', " "));
    }
    if let Some(theirs) = sentence_piece_ids(&out.path().join("tokenizer.model"), &texts) {
        for (text, theirs) in texts.iter().zip(theirs) {
            assert_eq!(tokenizer.encode_to_vec(text), theirs, "{text:?}");
        }
    }
}

/// The error of opening the small tokenizer's model with one more file beside it.
fn open_model_beside(name: &str, text: &str) -> Result<Tokenizer, TokenizerError> {
    let folder = tempfile::tempdir().expect("a folder");
    small_tokenizer().save(folder.path()).expect("saved");
    fs::remove_file(folder.path().join("tokenizer.json")).expect("there");
    fs::write(folder.path().join(name), text).expect("written");
    Tokenizer::open(folder.path())
}

#[test]
fn a_piece_that_only_a_file_beside_adds_is_refused_by_name() {
    let decoder =
        r#"{"added_tokens_decoder": {"0": {"content": "<unk>"}, "700": {"content": "<pad>"}}}"#;
    let added = r#"{"<unk>": 0, "<pad>": 700}"#;
    for (name, text) in [("tokenizer_config.json", decoder), ("added_tokens.json", added)] {
        let error = open_model_beside(name, text).err().expect("<pad> is nowhere");
        let TokenizerError::ForeignPiece { path, piece, id: 700, .. } = &error else {
            panic!("{error}")
        };
        assert!(path.ends_with(name) && piece == "<pad>", "{error}");
        open_model_beside(name, &text.replace("<pad>", "</s>").replace("700", "2")).expect("there");
    }
    for (name, text) in [
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"x": {"content": "<pad>"}}}"#),
        ("added_tokens.json", "[]"),
        ("added_tokens.json", r#"{"<pad>": "x"}"#),
    ] {
        let error = open_model_beside(name, text).err().expect("malformed");
        assert!(matches!(error, TokenizerError::Field { .. }), "{error}");
    }
}

#[test]
fn a_config_that_contradicts_the_prefix_of_the_tokenizer_is_refused_by_name() {
    let name = "tokenizer_config.json";
    for value in ["true", "null"] {
        let config = format!("{{\"add_prefix_space\": {value}}}");
        open_model_beside(name, &config).expect("it says what the model says");
    }
    let refused = open_model_beside(name, r#"{"add_prefix_space": false}"#);
    assert!(refused.err().expect("refused").to_string().contains("add_prefix_space = false"));
    let folder = tempfile::tempdir().expect("a folder");
    for form in forms() {
        let document = small_document(&form).to_string();
        fs::write(folder.path().join("tokenizer.json"), document).expect("written");
        for value in [true, false] {
            let config = json!({"add_prefix_space": value}).to_string();
            fs::write(folder.path().join(name), config).expect("written");
            // Where a prefix is put, a blank is taken away again.
            assert_eq!(Tokenizer::open(folder.path()).is_ok(), value == form.3, "{}", form.0);
        }
    }
}

#[test]
fn fields_that_play_no_part_are_kept() {
    let folder = with_added_pieces();
    let out = tempfile::tempdir().expect("a folder");
    Tokenizer::open(folder.path()).expect("sound").save(out.path()).expect("saved");
    let bytes = fs::read(out.path().join("tokenizer.json")).expect("written");
    let document: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(document["a field of tomorrow"]["kept"], true);
    assert_eq!(document["model"]["vocab"]["[tool]"], 700);
}
