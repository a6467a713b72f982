//! The bytes that an id stands for are those that Hugging Face names, and together they are the text.

mod support;

use std::ops::Range;

use kollama_tokenizer::Tokenizer;
use serde_json::json;
use support::{Random, data, forms, holds_special, small_document, small_tokenizer};

fn random_texts(count: usize) -> Vec<String> {
    let mut random = Random(11);
    let mut texts: Vec<String> = (0..count).map(|_| random.text()).collect();
    texts.extend(["", " ", "  a", "▁", "a ▁ b", "힣", "\u{10ffff} \u{10ffff}"].map(str::to_owned));
    texts
}

fn ranges(tokenizer: &Tokenizer, text: &str) -> Vec<Range<usize>> {
    tokenizer.encode_with_offsets(text).into_iter().map(|(_, range)| range).collect()
}

#[test]
fn ranges_lie_side_by_side_and_cover_the_text() {
    let tokenizer = small_tokenizer();
    for text in random_texts(3000) {
        let mut end = 0;
        for range in ranges(&tokenizer, &text) {
            assert_eq!(range.start, end, "{text:?}");
            end = range.end;
        }
        assert_eq!(end, text.len(), "{text:?}");
    }
}

/// Hugging Face gives each byte of a character that has no piece the whole character, and the mark
/// put before a text the first character of it.
fn whole_characters(text: &str, range: Range<usize>) -> (usize, usize) {
    let start = text.floor_char_boundary(range.start);
    (start, text.ceil_char_boundary(range.end.max(start + 1)))
}

fn agrees_with_hugging_face(tokenizer: &Tokenizer) {
    let folder = tempfile::tempdir().expect("a folder");
    tokenizer.save(folder.path()).expect("saved");
    let peer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json"));
    let peer = peer.expect("Hugging Face loads it");
    for text in random_texts(3000).iter().filter(|text| !holds_special(text)) {
        let expected = peer.encode(text.as_str(), false).expect("encoded");
        let found = ranges(tokenizer, text).into_iter();
        let found: Vec<(usize, usize)> = found.map(|range| whole_characters(text, range)).collect();
        assert_eq!(found, expected.get_offsets(), "{text:?}");
    }
}

#[test]
fn a_small_tokenizer_gives_the_ranges_of_hugging_face() {
    agrees_with_hugging_face(&small_tokenizer());
}

#[test]
fn llama_2_gives_the_ranges_of_hugging_face() {
    if let Some(folder) = data("llama2-tokenizer") {
        agrees_with_hugging_face(&Tokenizer::open(&folder).expect("sound"));
    }
}

#[test]
fn blanks_that_go_with_a_piece_and_are_pieces_have_the_ranges_of_hugging_face() {
    let mut random = Random(12);
    let parts = ["\n", " ", "[t]", "힣", "a", "\n\n", "\t", "안녕"];
    // Hugging Face panics where "\n" takes the blanks before it, and "[t]" took "\n".
    let bits = (0..16).filter(|bits| bits & 0b1011 != 0b1001);
    for (form, bits) in forms().iter().flat_map(|form| bits.clone().map(move |bits| (form, bits))) {
        let mut document = small_document(form);
        for (place, content) in ["\n", "[t]"].iter().enumerate() {
            let flag = |bit: usize| bits >> (2 * place + bit) & 1 == 1;
            let added = document["added_tokens"].as_array_mut().expect("a list");
            added.push(json!({"id": 700 + place, "content": content, "special": false,
                "lstrip": flag(0), "rstrip": flag(1), "single_word": false, "normalized": false}));
        }
        let bytes = document.to_string();
        let ours = Tokenizer::from_json(bytes.as_bytes()).expect("sound");
        let peer = tokenizers::Tokenizer::from_bytes(&bytes).expect("Hugging Face loads it");
        for _ in 0..200 {
            let length = random.below(9);
            let one = |_| parts[random.below(parts.len() as u64) as usize];
            let text: String = (0..length).map(one).collect();
            let expected = peer.encode(text.as_str(), false).expect("encoded");
            let found = ours.encode_with_offsets(&text);
            let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, expected.get_ids(), "{}, {bits:04b}: {text:?}", form.0);
            for ((id, range), expected) in found.into_iter().zip(expected.get_offsets()) {
                let range = whole_characters(&text, range);
                assert_eq!(range, *expected, "{}, {bits:04b}: {text:?}, {id}", form.0);
            }
        }
    }
}

#[test]
fn bytes_that_merges_join_have_the_ranges_of_their_bytes() {
    let mut document = small_document(&forms()[0]);
    document["model"]["vocab"]["<0xED><0x9E>"] = json!(700);
    let merges = document["model"]["merges"].as_array_mut().expect("a list");
    merges.insert(0, json!("<0xED> <0x9E>"));
    let ours = Tokenizer::from_json(document.to_string().as_bytes()).expect("sound");
    let found = ours.encode_with_offsets("힣힢a");
    let of_pair: Vec<_> =
        found.iter().filter(|(id, _)| *id == 700).map(|(_, r)| r.clone()).collect();
    assert_eq!(of_pair, [0..2, 3..5]);
    assert_eq!(found.last().map(|(_, range)| range.clone()), Some(6..7));
}
