//! How many tokens a model reads for whole tasks, counted on the real data without one: the figures
//! that the tree of prompts is there for.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod real_data;

use kollama_engine::{Tokenizer, Tokens, count_tokens};
use kollama_harness::{Asking, DataSource, Mode, requests, shots, tasks};

const WINDOW: usize = 4096;

/// The tokens of a task, or a group, task by task as they are evaluated.
fn count(name: &str, shots: usize, data: &DataSource, tokenizer: &Tokenizer) -> Tokens {
    let mut all = Tokens::default();
    for task in tasks::load(name, Mode::LmEval, data).unwrap() {
        let prompts = shots::prompts(&task, &Asking { shots, ..Asking::default() }).unwrap();
        let requests = requests::requests(&task, &prompts, tokenizer).unwrap();
        let Tokens { plain, read } = count_tokens(&requests, WINDOW, tokenizer.eos_id()).unwrap();
        all = Tokens { plain: all.plain + plain, read: all.read + read };
    }
    all
}

/// Counted once with a tree of Python dictionaries: 45,159,852 and 1,541,180 for all subjects in one
/// tree; apart, each of 57 begins with the same dozen tokens.
#[test]
fn mmlu_is_read_in_one_token_of_twenty_nine() {
    let Some(root) = real_data::folder(&["open-llm-leaderboard/mmlu", "llama2-tokenizer"]) else {
        return;
    };
    let tokenizer = real_data::tokenizer(&root);
    let Tokens { plain, read } = count("mmlu", 5, &DataSource::folder(&root), &tokenizer);
    assert_eq!(plain, 45_159_852);
    assert!((1_541_180..1_541_180 + 57 * 20).contains(&read), "{read}");
}

/// 55.0 and 29.2 million by the same count.
#[test]
fn the_card_is_read_in_about_half_of_its_tokens() {
    let Some(root) = real_data::folder(&["kobest", "llama2-tokenizer"]) else { return };
    let tokenizer = real_data::tokenizer(&root);
    let data = DataSource::folder(&root);
    let mut all = Tokens::default();
    for name in ["kobest_copa", "kobest_hellaswag", "kobest_boolq", "kobest_sentineg"] {
        for shots in [0, 5, 10, 50] {
            let Tokens { plain, read } = count(name, shots, &data, &tokenizer);
            println!("{name} {shots}: {plain} {read}");
            all = Tokens { plain: all.plain + plain, read: all.read + read };
        }
    }
    assert!((54_950_000..55_050_000).contains(&all.plain), "{all:?}");
    assert!(all.read < 29_250_000, "{all:?}");
}
