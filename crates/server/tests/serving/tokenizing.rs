//! Texts to tokens and back over HTTP.

use crate::small_server::{Server, settings, tokenizer};
use serde_json::{Value, json};

#[test]
fn tokens_name_their_bytes_and_their_place() {
    let server = Server::start(settings());
    let text = "강가 뷁\n<s>";
    let answer = server.post("/tokenize", json!({ "text": text })).json();
    assert_eq!(answer["characters"], text.chars().count());
    assert_eq!(answer["ids"], json!(tokenizer().encode_to_vec(text)));
    let tokens = answer["tokens"].as_array().unwrap();
    let mut end = 0;
    for token in tokens {
        let range =
            token["start"].as_u64().unwrap() as usize..token["end"].as_u64().unwrap() as usize;
        assert_eq!(range.start, end);
        end = range.end;
        match token["text"].as_str() {
            Some(piece) => assert_eq!(piece.trim_start(), text[range].trim_start()),
            None => assert_eq!(token["bytes"], json!(text.as_bytes()[range])),
        }
    }
    assert_eq!(end, text.len());
    assert!(tokens.iter().any(|token| token["is_byte"] == true && token["bytes"].is_array()));
    let back = server.post("/detokenize", json!({ "ids": answer["ids"] })).json();
    assert_eq!(back["text"], text);
}

#[test]
fn special_tokens_stand_in_front_where_they_are_asked_for_and_others_may_be_compared() {
    let server = Server::start(settings());
    let ids = |body: Value| server.post("/tokenize", body).json()["ids"].clone();
    let plain = ids(json!({ "text": "a", "model": "other" }));
    let special = ids(json!({ "text": "a", "add_special": true }));
    let front: Vec<u32> =
        tokenizer().bos_id().filter(|_| tokenizer().add_bos()).into_iter().collect();
    assert_eq!(special.as_array().unwrap().len(), plain.as_array().unwrap().len() + front.len());
    assert_eq!(server.post("/tokenize", json!({ "text": "a", "model": "third" })).status, 404);
    assert_eq!(server.post("/detokenize", json!({ "ids": [99_999] })).status, 400);
}
