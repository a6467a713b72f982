//! Decoding: a stream says what decoding at once says, and both say what Hugging Face says.

mod support;

use kollama_tokenizer::{TokenId, Tokenizer};
use support::{Random, data, small_tokenizer};

/// Rows of ids of three kinds: any, mostly bytes, and real text with a byte knocked in.
fn random_ids(random: &mut Random, tokenizer: &Tokenizer) -> Vec<TokenId> {
    let size = tokenizer.vocab_size() as u64;
    let length = random.below(30) as usize;
    match random.below(3) {
        0 => (0..length).map(|_| random.below(size) as TokenId).collect(),
        1 => (0..length)
            .map(|_| {
                let below = if random.below(9) == 0 { size } else { 259 };
                random.below(below) as TokenId
            })
            .collect(),
        _ => {
            let mut ids = tokenizer.encode_to_vec(&random.text());
            let at = random.below(ids.len() as u64 + 1) as usize;
            ids.insert(at, random.below(259) as TokenId);
            ids
        }
    }
}

fn check(tokenizer: &Tokenizer) {
    let folder = tempfile::tempdir().expect("a folder");
    tokenizer.save(folder.path()).expect("saved");
    let peer = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json"))
        .expect("Hugging Face loads it");
    let mut random = Random(5);
    let mut stream = tokenizer.decode_stream();
    for _ in 0..10_000 {
        let ids = random_ids(&mut random, tokenizer);
        let whole = tokenizer.decode(&ids);
        assert_eq!(whole, peer.decode(&ids, true).expect("decodes"), "{ids:?}");
        let mut streamed = String::new();
        for &id in &ids {
            streamed.push_str(stream.push(id));
            assert!(whole.starts_with(&streamed), "{ids:?}: {streamed:?} is taken back");
        }
        assert_eq!(streamed + &stream.finish(), whole, "{ids:?}");
    }
}

#[test]
fn a_stream_of_a_small_tokenizer_is_what_decoding_at_once_gives() {
    check(&small_tokenizer());
}

#[test]
fn a_stream_of_llama_2_is_what_decoding_at_once_gives() {
    let Some(folder) = data("llama2-tokenizer") else {
        return;
    };
    check(&Tokenizer::open(&folder).expect("sound"));
}

#[test]
fn a_character_of_three_bytes_appears_whole() {
    let tokenizer = small_tokenizer();
    let byte = |byte: u8| tokenizer.id_of(&format!("<0x{byte:02X}>")).expect("a byte piece");
    let space = tokenizer.id_of("▁").expect("a blank");
    let mut stream = tokenizer.decode_stream();
    let ids = [0xEB, 0xB7, 0x81].map(byte);
    assert_eq!(ids.map(|id| stream.push(id).to_owned()).concat(), "");
    assert_eq!(stream.push(space), "뷁 ");
    assert_eq!(stream.push(byte(0xFF)), "\u{fffd}", "certainly broken");
    assert_eq!(stream.push(byte(0xEB)), "\u{fffd}", "part of a broken run");
    assert_eq!(stream.finish(), "");
}
