//! What requests begin with alike is read once, and no bit of an answer tells.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

use kollama_engine::{Score, ScoreRequest, Scorer, count_tokens};
use kollama_kernels::{DType, Device};
use kollama_llama::{Llama, LlamaConfig, StoredType, init_checkpoint};

const VOCABULARY: u32 = 300;
const POSITIONS: usize = 900;

/// Numbers that look like chance.
fn id(seed: u32) -> u32 {
    seed.wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(0x9e37_79b1) % VOCABULARY
}

fn ids(seed: u32, count: u32) -> Vec<u32> {
    (0..count).map(|place| id(1000 * seed + place)).collect()
}

/// As a task forms them: subjects with examples before many questions, choices of one id and of
/// several, questions asked twice, contexts that end in different places, prompts beyond the window.
fn requests() -> Vec<ScoreRequest> {
    let mut requests = Vec::new();
    for subject in 0..3 {
        let examples = ids(subject, 260 * subject + 130);
        for question in 0..7 {
            let asked = ids(50 + question, 5 + 9 * question);
            let context = [examples.clone(), asked].concat();
            let one_id = (0..4).map(|choice| vec![choice]);
            let several = (0..3).map(|choice| [ids(90, choice), ids(91 + choice, 3)].concat());
            for continuation in one_id.chain(several) {
                requests.push(ScoreRequest { context: context.clone(), continuation });
            }
        }
        let too_long = ids(70, 890 + 10 * subject);
        requests.extend([2, 2, 30].map(|length| ScoreRequest {
            context: too_long.clone(),
            continuation: ids(71 + length, length),
        }));
    }
    requests.push(ScoreRequest { context: Vec::new(), continuation: ids(80, 700) });
    requests.push(requests[9].clone());
    requests
}

fn scorer(weights: DType, kept: DType, threads: usize) -> Scorer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let tiny = LlamaConfig::preset("tiny").unwrap();
    let config = LlamaConfig {
        vocab_size: VOCABULARY as usize,
        max_position_embeddings: POSITIONS,
        initializer_range: 0.3,
        ..tiny
    };
    init_checkpoint(&config, 5, StoredType::F32, &path, &mut |_, _| ()).unwrap();
    let llama = Llama::open_as(&path, &Device::cpu(threads).unwrap(), weights).unwrap();
    Scorer::with_cache(llama, Some(2), kept).unwrap()
}

fn bits(scores: &[Score]) -> Vec<(u64, bool, usize)> {
    scores.iter().map(|s| (s.logprob.to_bits(), s.is_greedy, s.num_tokens)).collect()
}

#[test]
fn answers_are_the_same_bits_shared_or_not_alone_or_together_in_any_order_on_any_threads() {
    let requests = requests();
    for (weights, kept) in [
        (DType::F32, DType::F32),
        (DType::F32, DType::Q8Rows),
        (DType::PackedBf16, DType::Bf16),
        (DType::Q8, DType::Q8Rows),
        (DType::Q4, DType::F32),
    ] {
        let mut scorer = self::scorer(weights, kept, 2);
        let shared = scorer.score(&requests, &mut |_| ()).unwrap();
        scorer.set_sharing(false);
        let apart = scorer.score(&requests, &mut |_| ()).unwrap();
        assert!(bits(&shared) == bits(&apart), "{weights:?}, {kept:?}: shared or not");
        let alone = requests
            .iter()
            .step_by(5)
            .flat_map(|request| scorer.score(std::slice::from_ref(request), &mut |_| ()).unwrap());
        let alone: Vec<Score> = alone.collect();
        let fifths: Vec<Score> = shared.iter().copied().step_by(5).collect();
        assert!(bits(&alone) == bits(&fifths), "{weights:?}, {kept:?}: alone");
        let mut one_thread = self::scorer(weights, kept, 1);
        let backwards: Vec<ScoreRequest> = requests.iter().rev().cloned().collect();
        let mut reversed = one_thread.score(&backwards, &mut |_| ()).unwrap();
        reversed.reverse();
        assert!(bits(&reversed) == bits(&shared), "{weights:?}, {kept:?}: order and threads");
    }
}

#[test]
fn what_is_counted_is_what_is_read() {
    let requests = requests();
    let mut scorer = scorer(DType::F32, DType::F32, 2);
    scorer.score(&requests, &mut |_| ()).unwrap();
    let counted = count_tokens(&requests, POSITIONS, Some(2)).unwrap();
    assert_eq!(scorer.tokens(), counted);
    assert!(counted.read * 6 < counted.plain, "{counted:?}");
    scorer.set_sharing(false);
    scorer.score(&requests, &mut |_| ()).unwrap();
    assert_eq!(scorer.tokens().plain, 2 * counted.plain);
    assert_eq!(scorer.tokens().read, counted.plain + counted.read);
}
