//! Ten thousand strange texts get the ids that Hugging Face and SentencePiece give.

mod support;

use kollama_tokenizer::{TokenId, Tokenizer};
use support::{Random, data, holds_special, hugging_face_ids, sentence_piece_ids, small_tokenizer};

/// Compares on random texts; the tokenizer is saved first, so that all read the same files.
fn agree_on_random_texts(tokenizer: &Tokenizer) {
    let folder = tempfile::tempdir().expect("a folder");
    tokenizer.save(folder.path()).expect("saved");
    let json = folder.path().join("tokenizer.json");
    let model = folder.path().join("tokenizer.model");
    let peer = tokenizers::Tokenizer::from_file(&json).expect("Hugging Face loads it");
    let ours = [&json, &model].map(|path| Tokenizer::open(path).expect("sound"));
    let mut random = Random(1);
    let mut texts: Vec<String> = (0..10_000).map(|_| random.text()).collect();
    texts.extend((1..400).map(|length| " ".repeat(length)));
    texts.push("<s> text </s> <unk><0x0A>".into());
    for text in &texts {
        let [ids, from_model] = ours.each_ref().map(|tokenizer| tokenizer.encode_to_vec(text));
        assert_eq!(ids, from_model, "{text:?}");
        if !holds_special(text) {
            assert_eq!(ids, hugging_face_ids(&peer, text), "{text:?}");
        }
        assert_eq!(tokenizer.decode(&ids), text.replace('▁', " "), "{text:?}");
    }
    for (text, ids) in texts.iter().zip(sentence_piece_ids(&model, &texts).unwrap_or_default()) {
        assert_eq!(tokenizer.encode_to_vec(text), ids, "{text:?}");
    }
}

#[test]
fn a_small_tokenizer_agrees_with_both_peers() {
    agree_on_random_texts(&small_tokenizer());
}

#[test]
fn llama_2_agrees_with_both_peers() {
    let Some(folder) = data("llama2-tokenizer") else {
        return;
    };
    agree_on_random_texts(&Tokenizer::open(&folder).expect("sound"));
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
