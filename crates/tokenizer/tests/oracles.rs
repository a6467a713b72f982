//! Strange texts, and every twentieth document of all corpora, get the ids that Hugging Face and
//! SentencePiece give. `tools/check_ids.py` compares every document.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use kollama_tokenizer::{LearnOptions, TokenId, Tokenizer, extend, learn};
use support::strange_texts::strange_texts;
use support::{
    Random, data, forms, holds_special, hugging_face_ids, sentence_piece_ids, small_document,
    small_model_with, small_tokenizer, sound, texts,
};

/// Compares on texts; the tokenizer is saved first, so that all read the same files.
fn agree(tokenizer: &Tokenizer, texts: &[String]) {
    let folder = tempfile::tempdir().expect("a folder");
    tokenizer.save(folder.path()).expect("saved");
    let json = folder.path().join("tokenizer.json");
    let model = folder.path().join("tokenizer.model");
    let peer = tokenizers::Tokenizer::from_file(&json).expect("Hugging Face loads it");
    let ours = [&json, &model].map(|path| Tokenizer::open(path).expect("sound"));
    for text in texts {
        let [ids, from_model] = ours.each_ref().map(|tokenizer| tokenizer.encode_to_vec(text));
        assert_eq!(ids, from_model, "{text:?}");
        if !holds_special(text) {
            assert_eq!(ids, hugging_face_ids(&peer, text), "{text:?}");
        }
        assert_eq!(tokenizer.decode(&ids), text.replace('▁', " "), "{text:?}");
    }
    for (text, ids) in texts.iter().zip(sentence_piece_ids(&model, texts).unwrap_or_default()) {
        assert_eq!(tokenizer.encode_to_vec(text), ids, "{text:?}");
    }
}

fn agree_on_strange_texts(tokenizer: &Tokenizer) {
    let mut texts = strange_texts(tokenizer, 1, 30_000);
    texts.extend((1..400).map(|length| " ".repeat(length)));
    texts.push("<s> text </s> <unk><0x0A>".into());
    agree(tokenizer, &texts);
}

/// The files of a folder of the data with this ending, in order.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut files: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

/// Every twentieth document of every corpus, where there is one.
fn documents() -> Vec<String> {
    let folders = ["ko-corpus", "en-corpus"].into_iter().filter_map(data);
    let paths = folders.flat_map(|folder| files(&folder, ".jsonl.zst"));
    paths.flat_map(|path| texts(&path).step_by(20)).collect()
}

#[test]
fn a_small_tokenizer_agrees_with_both_peers() {
    agree_on_strange_texts(&small_tokenizer());
}

#[test]
fn llama_2_agrees_with_both_peers() {
    let Some(folder) = data("llama2-tokenizer") else {
        return;
    };
    let tokenizer = Tokenizer::open(&folder).expect("sound");
    agree_on_strange_texts(&tokenizer);
    agree(&tokenizer, &documents());
}

#[test]
fn stories_agree_with_both_peers() {
    let Some(folder) = data("stories260k/hf") else {
        return;
    };
    let tokenizer = Tokenizer::open(&folder).expect("sound");
    agree_on_strange_texts(&tokenizer);
    agree(&tokenizer, &documents());
}

#[test]
fn an_extension_agrees_with_both_peers() {
    let (Some(base), Some(corpus)) = (data("llama2-tokenizer"), data("ko-corpus")) else {
        return;
    };
    let base = Tokenizer::open(&base).expect("sound");
    let reviews = texts(&corpus.join("nsmc-raw.jsonl.zst")).step_by(20);
    let learned = learn(&base, sound(reviews), &LearnOptions::hangul(4000)).expect("learned");
    let extension = extend(&base, &learned, base.vocab_size() + 4000).expect("enough text");
    agree_on_strange_texts(&extension.tokenizer);
    agree(&extension.tokenizer, &documents());
}

/// What SentencePiece makes of texts with the bytes of a model.
fn ids_of_model(bytes: &[u8], texts: &[String]) -> Option<Vec<Vec<TokenId>>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokenizer.model");
    fs::write(&path, bytes).expect("written");
    sentence_piece_ids(&path, texts)
}

#[test]
fn of_equal_scores_the_leftmost_pair_goes_first_and_no_other_file_can_say_so() {
    let pieces = [("☃", 0.0, 1), ("☄", 0.0, 1), ("☃☄", -1e4, 1), ("☄☃", -1e4, 1)];
    let model = small_model_with(&pieces);
    let tokenizer = Tokenizer::from_model(&model).expect("sound");
    assert!(tokenizer.to_json().is_none());
    let texts = ["☄☃☄", "☃☄☃", "☃☄☃☄☃☄☄☃☃☄☃"].map(String::from);
    let theirs = ids_of_model(&model, &texts);
    for (text, theirs) in texts.iter().zip(theirs.unwrap_or_default()) {
        assert_eq!(tokenizer.encode_to_vec(text), theirs, "{text}");
    }
    // In the order of a list the first of two pieces would be made twice.
    assert_eq!(tokenizer.encode_to_vec("☄☃☄")[1..], [703, 701]);
}

#[test]
fn a_piece_with_a_character_that_is_no_piece_is_made_by_sentence_piece_alone() {
    let model = small_model_with(&[("힣안", -1e4, 1)]);
    let text = ["힣안".to_owned()];
    if let Some(theirs) = ids_of_model(&model, &text) {
        assert_eq!(theirs[0].last(), Some(&700));
    }
    let error = Tokenizer::from_model(&model).err().expect("no list of merges says that");
    assert!(error.to_string().contains("\"힣안\""), "{error}");
    let mut document = small_document(&forms()[0]);
    document["model"]["vocab"]["힣안"] = 700.into();
    let bytes = document.to_string();
    let ours = Tokenizer::from_json(bytes.as_bytes()).expect("sound");
    let peer = tokenizers::Tokenizer::from_bytes(bytes).expect("Hugging Face loads it");
    assert_eq!(ours.encode_to_vec(&text[0]), hugging_face_ids(&peer, &text[0]));
    assert!(ours.to_model().is_none(), "a model with these pieces gives other ids");
}

#[test]
fn a_very_long_text_without_blanks_gets_the_same_ids_from_the_heap() {
    let tokenizer = small_tokenizer();
    let folder = tempfile::tempdir().expect("a folder");
    tokenizer.save(folder.path()).expect("saved");
    let peer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json"))
        .expect("Hugging Face loads it");
    let mut random = Random(2);
    let text: String = (0..3000).map(|_| random.text().replace(' ', "")).collect();
    assert!(!holds_special(&text));
    assert_eq!(tokenizer.encode_to_vec(&text), hugging_face_ids(&peer, &text));
}

#[test]
fn many_threads_get_the_ids_of_one() {
    let tokenizer = small_tokenizer();
    let mut random = Random(3);
    let texts: Vec<String> = (0..500).map(|_| random.text()).collect();
    let alone: Vec<Vec<TokenId>> = texts.iter().map(|t| tokenizer.encode_to_vec(t)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (text, ids) in texts.iter().zip(&alone) {
                    assert_eq!(&tokenizer.encode_to_vec(text), ids);
                }
            });
        }
    });
}
