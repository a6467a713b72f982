//! A tiny tokenizer and model of random weights, and what an engine answers with them.
#![allow(dead_code, reason = "each test file uses its own part")]

use kollama_engine::{Engine, Finish, Request, RequestId};
use kollama_kernels::Device;
use kollama_llama::{Llama, LlamaConfig, StoredType, init_checkpoint};
use kollama_tokenizer::{Tokenizer, TokenizerError, train};
use std::collections::BTreeMap;

/// What the tokenizer learns from.
pub const TEXTS: [&str; 3] = [
    "오늘은 날씨가 좋아서 강가를 오래 걸었다. 강가에는 사람이 많았다.",
    "The river was wide, and the people walked along the river for a long time.",
    "물고기를 파는 사람은 새벽마다 같은 자리에서 같은 노래를 불렀다.",
];

/// 330 pieces.
pub fn tokenizer() -> Tokenizer {
    let texts = TEXTS.iter().map(|text| Ok::<_, TokenizerError>(text.repeat(4)));
    train(texts, 330, 1.0).unwrap()
}

/// A model of random weights for it.
pub fn model(tokenizer: &Tokenizer, threads: usize) -> Llama {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let mut config = LlamaConfig::preset("tiny").unwrap();
    config.vocab_size = tokenizer.vocab_size();
    config.initializer_range = 0.3;
    config.max_position_embeddings = 128;
    init_checkpoint(&config, 5, StoredType::F32, &path, &mut |_, _| ()).unwrap();
    Llama::open(&path, &Device::cpu(threads).unwrap()).unwrap()
}

/// Puts all in the queue.
pub fn submit_all(engine: &mut Engine<'_>, requests: &[Request]) {
    for request in requests {
        engine.submit(request.clone()).unwrap();
    }
}

/// Tokens, text and end of every request.
pub type Answers = BTreeMap<RequestId, (Vec<u32>, String, Option<Finish>)>;

/// Steps until nothing runs.
pub fn drain(engine: &mut Engine<'_>) -> Answers {
    let mut answers = Answers::new();
    while !engine.is_idle() {
        for emission in engine.step().unwrap() {
            let answer = answers.entry(emission.request).or_default();
            answer.0.push(emission.token);
            answer.1.push_str(&emission.text);
            answer.2 = emission.finish;
        }
    }
    answers
}
