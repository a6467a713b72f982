//! The bytes that an id stands for are those that Hugging Face names, and together they are the text.

mod support;

use std::ops::Range;

use kollama_tokenizer::Tokenizer;
use support::{Random, data, holds_special, small_tokenizer};

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
