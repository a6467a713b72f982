//! Many texts by several threads get the ids of each text alone, long texts included.

mod support;

use kollama_tokenizer::{TokenId, Tokenizer};
use support::{Random, small_tokenizer};

fn alone(tokenizer: &Tokenizer, texts: &[String]) -> Vec<Vec<TokenId>> {
    texts.iter().map(|text| tokenizer.encode_to_vec(text)).collect()
}

fn together(tokenizer: &Tokenizer, texts: &[String], threads: usize) -> Vec<Vec<TokenId>> {
    tokenizer.encode_batch(texts, threads).iter().map(<[TokenId]>::to_vec).collect()
}

#[test]
fn any_number_of_threads_gives_the_ids_of_one() {
    let tokenizer = small_tokenizer();
    let mut random = Random(21);
    let texts: Vec<String> =
        (0..20_000).map(|_| (0..random.below(4)).map(|_| random.text()).collect()).collect();
    let expected = alone(&tokenizer, &texts);
    for threads in [0, 1, 2, 5] {
        assert_eq!(together(&tokenizer, &texts, threads), expected, "{threads} threads");
    }
    assert!(tokenizer.encode_batch(&[] as &[&str], 2).is_empty());
}

#[test]
fn a_long_text_is_divided_where_nothing_is_lost() {
    let tokenizer = small_tokenizer();
    let mut random = Random(22);
    let many = |random: &mut Random| (0..40_000).map(|_| random.text()).collect::<String>();
    let words = many(&mut random);
    let one_word: String = words.chars().filter(|character| character.is_alphabetic()).collect();
    let marks = words.replace(' ', "▁");
    let texts = [words, one_word, marks, "a".into(), "가".repeat(300_000), " ".repeat(700_000)];
    assert!(texts[0].len() > 1 << 21);
    assert_eq!(together(&tokenizer, &texts, 3), alone(&tokenizer, &texts));
}
