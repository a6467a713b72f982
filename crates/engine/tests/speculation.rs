//! Guessed tokens change how many steps an answer takes, never the answer.

#![allow(clippy::unwrap_used)] // What cannot be prepared has failed its test.

mod small_model;

use kollama_engine::{Emission, Engine, Finish, Request, Sampling, Tokenizer, prompt_ids};
use kollama_kernels::{DType, Device};
use kollama_llama::Llama;
use small_model::{Answers, drain, model, submit_all, tokenizer};
use std::path::Path;

/// A prompt that comes round to its beginning, so that there is something to look up.
const CIRCLE: &str = "The river was wide. The river was wide. The river";

/// The small model with layers that say little: a token nearly decides the next one, and so answers
/// soon go in circles.
fn circling_model(words: &Tokenizer, threads: usize) -> Llama {
    let mut llama = model(words, threads);
    for layer in &mut llama.parameters.layers {
        for matrix in [&mut layer.o_proj, &mut layer.down_proj] {
            let values: Vec<f32> = matrix.to_vec().into_iter().map(|value| value * 1e-4).collect();
            matrix.write_rows(0, &values);
        }
    }
    llama
}

fn samplings() -> Vec<Sampling> {
    let hot = Sampling { temperature: 1.0, top_p: 0.95, seed: 3, ..Sampling::GREEDY };
    let cool = Sampling { temperature: 0.05, top_k: 40, seed: 8, ..Sampling::GREEDY };
    let varied = Sampling { repetition_penalty: 1.3, ..Sampling::GREEDY };
    vec![Sampling::GREEDY, hot, cool, varied, Sampling { min_p: 0.1, ..cool }]
}

fn requests(tokenizer: &Tokenizer, prompts: &[&str], max_new_tokens: usize) -> Vec<Request> {
    let pairs = prompts.iter().flat_map(|prompt| samplings().into_iter().map(move |s| (prompt, s)));
    let request = |(prompt, sampling): (&&str, Sampling)| Request {
        prompt: prompt_ids(tokenizer, prompt),
        max_new_tokens,
        sampling,
        stop: Vec::new(),
    };
    pairs.map(request).collect()
}

/// Answers to all requests at once, and one after the other.
fn answers(engine: &mut Engine<'_>, requests: &[Request]) -> (Answers, Vec<Answers>) {
    submit_all(engine, requests);
    let crowd = drain(engine);
    let alone = requests.iter().map(|request| {
        engine.submit(request.clone()).unwrap();
        drain(engine)
    });
    (crowd, alone.collect())
}

fn same_with_and_without(llama: impl Fn(usize) -> Llama, words: &Tokenizer, requests: &[Request]) {
    let rows = requests.iter().map(|request| request.prompt.len() + request.max_new_tokens).sum();
    let mut plain = Engine::new(llama(1), words, rows).unwrap();
    plain.set_speculation(false);
    let expected = answers(&mut plain, requests);
    for threads in [1, 2] {
        let mut engine = Engine::new(llama(threads), words, rows).unwrap();
        assert_eq!(answers(&mut engine, requests), expected, "{threads} threads");
    }
}

#[test]
fn answers_are_the_same_with_guesses_and_without() {
    let words = tokenizer();
    let prompts = ["오늘은", "The river", "뷁", CIRCLE];
    let requests = requests(&words, &prompts, 40);
    same_with_and_without(|threads| model(&words, threads), &words, &requests);
    same_with_and_without(|threads| circling_model(&words, threads), &words, &requests);
}

#[test]
fn a_model_that_learnt_stories_tells_the_same_with_guesses_and_without() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("KOLLAMA_DATA").map_or(default, Into::into);
    let folder = root.join("stories260k/hf");
    if !folder.is_dir() {
        println!("skipped: {} is not there; set KOLLAMA_DATA", folder.display());
        return;
    }
    let words = Tokenizer::open(&folder).unwrap();
    let prompts = ["Once upon a time", "One day, Lily and Ben went to the park. They saw"];
    let requests = requests(&words, &prompts, 50);
    for weights in [DType::F32, DType::PackedBf16, DType::Q8, DType::Q4] {
        let device = |threads| Device::cpu(threads).unwrap();
        let llama = |threads| Llama::open_as(&folder, &device(threads), weights).unwrap();
        same_with_and_without(llama, &words, &requests);
    }
}

fn steps_and_emissions(engine: &mut Engine<'_>) -> (usize, Vec<Emission>) {
    let (mut steps, mut emissions) = (0, Vec::new());
    while !engine.is_idle() {
        emissions.extend(engine.step().unwrap());
        steps += 1;
    }
    (steps, emissions)
}

#[test]
fn an_answer_that_goes_in_circles_takes_fewer_steps_than_tokens() {
    let words = tokenizer();
    let mut engine = Engine::new(circling_model(&words, 1), &words, 128).unwrap();
    let request = requests(&words, &["The river"], 80).swap_remove(0);
    engine.submit(request.clone()).unwrap();
    let (steps, guessed) = steps_and_emissions(&mut engine);
    assert_eq!(guessed.len(), 80, "one emission for each token");
    assert!(steps < 40, "{steps} steps for 80 tokens");
    engine.set_speculation(false);
    engine.submit(request).unwrap();
    let (steps, plain) = steps_and_emissions(&mut engine);
    assert_eq!(steps, 80);
    let pieces = |emissions: Vec<Emission>| -> Vec<_> {
        emissions.into_iter().map(|e| (e.token, e.text, e.finish)).collect()
    };
    assert_eq!(pieces(guessed), pieces(plain));
}

/// The first place at which an answer of the small model ends inside a run of right guesses.
fn ends_alike(change: impl Fn(&mut Llama, &mut Request, &[u32], &str), finish: Finish) {
    let words = tokenizer();
    let request = requests(&words, &[CIRCLE], 60).swap_remove(0);
    let answer = |speculates: bool, llama: Llama, request: &Request| {
        let mut engine = Engine::new(llama, &words, 128).unwrap();
        engine.set_speculation(speculates);
        engine.submit(request.clone()).unwrap();
        drain(&mut engine).into_values().next().unwrap()
    };
    let (ids, text, _) = answer(false, circling_model(&words, 1), &request);
    for place in 20..50 {
        let changed = |speculates| {
            let (mut llama, mut request) = (circling_model(&words, 1), request.clone());
            let after: String = text.chars().skip(place).take(9).collect();
            change(&mut llama, &mut request, &ids[..place], &after);
            answer(speculates, llama, &request)
        };
        let (plain, guessed) = (changed(false), changed(true));
        assert_eq!(plain, guessed, "ended at {place}");
        assert_eq!(guessed.2, Some(finish));
    }
}

#[test]
fn an_answer_ends_where_it_should_inside_a_run_of_right_guesses() {
    ends_alike(|_, request, ids, _| request.max_new_tokens = ids.len(), Finish::Length);
    ends_alike(|_, request, _, after| request.stop = vec![after.to_owned()], Finish::Stop);
    ends_alike(
        |llama, _, ids, _| llama.config.eos_token_id = ids.last().copied(),
        Finish::EndToken,
    );
}
