//! Requests that begin alike share what was read, long prompts let others write, and nothing of it
//! changes an answer. Log-probabilities are those of the scorer.

#![allow(clippy::unwrap_used)] // What cannot be prepared has failed its test.

mod small_model;

use kollama_engine::{Details, Emission, Engine, Finish, Request, Sampling, ScoreRequest, Scorer};
use kollama_engine::{Tokenizer, prompt_ids};
use small_model::{TEXTS, drain, model, tokenizer};

const ALL: Details =
    Details { logit_bias: Vec::new(), logprobs: Some(3), of_prompt: true, turn: 0 };

fn request(tokenizer: &Tokenizer, prompt: &str, max_new_tokens: usize) -> Request {
    let prompt = prompt_ids(tokenizer, prompt);
    Request { prompt, max_new_tokens, sampling: Sampling::GREEDY, stop: Vec::new() }
}

fn emissions(engine: &mut Engine<'_>) -> Vec<Emission> {
    let mut all = Vec::new();
    while !engine.is_idle() {
        all.extend(engine.step().unwrap());
    }
    all
}

fn cached(emissions: &[Emission]) -> Vec<usize> {
    emissions.iter().filter_map(|e| Some(e.prompt.as_ref()?.cached)).collect()
}

fn tokens(emissions: &[Emission]) -> Vec<u32> {
    emissions.iter().map(|emission| emission.token).collect()
}

#[test]
fn what_begins_like_an_earlier_request_is_not_read_again_and_answers_stay_the_same() {
    let words = tokenizer();
    let first = request(&words, TEXTS[1], 10);
    let longer = request(&words, &format!("{} 사람이", TEXTS[1]), 10);
    let fresh = |request: &Request| {
        let mut engine = Engine::new(model(&words, 2), &words, 400).unwrap();
        engine.submit(request.clone()).unwrap();
        tokens(&emissions(&mut engine))
    };
    // Of 400 rows all is kept; the fewest hold one request only, so that the next goes on in its place.
    for rows in [400, longer.prompt.len() + 10] {
        let mut engine = Engine::new(model(&words, 2), &words, rows).unwrap();
        for (request, known) in
            [(&first, 0), (&first, first.prompt.len() - 1), (&longer, first.prompt.len())]
        {
            engine.submit(request.clone()).unwrap();
            let answer = emissions(&mut engine);
            assert_eq!(tokens(&answer), fresh(request), "{rows} rows");
            assert_eq!(cached(&answer), [known], "{rows} rows");
        }
        let status = engine.status();
        assert_eq!(status.rows_lent, 0);
        assert!(status.rows_kept > 0);
        assert_eq!(status.cached_tokens, 2 * first.prompt.len() as u64 - 1);
    }
}

#[test]
fn requests_that_come_together_read_their_common_beginning_once() {
    let words = tokenizer();
    let request = request(&words, TEXTS[0], 12);
    let mut engine = Engine::new(model(&words, 1), &words, 800).unwrap();
    for _ in 0..6 {
        engine.submit(request.clone()).unwrap();
    }
    let answers = drain(&mut engine);
    let first = answers.values().next().unwrap();
    assert!(answers.values().all(|answer| answer == first));
    let status = engine.status();
    let prompt = request.prompt.len() as u64;
    assert_eq!((status.prompt_tokens, status.cached_tokens), (prompt + 5, 5 * (prompt - 1)));
}

#[test]
fn one_that_follows_a_request_which_is_cancelled_reads_for_itself() {
    let words = tokenizer();
    let request = request(&words, TEXTS[0], 12);
    let mut alone = Engine::new(model(&words, 1), &words, 400).unwrap();
    alone.submit(request.clone()).unwrap();
    let expected = tokens(&emissions(&mut alone));
    let mut engine = Engine::new(model(&words, 1), &words, 400).unwrap();
    let other = Details { of_prompt: true, ..Details::default() };
    let leader = engine.submit_with(request.clone(), other).unwrap();
    engine.submit(request.clone()).unwrap();
    engine.cancel(leader);
    assert_eq!(tokens(&emissions(&mut engine)), expected);
}

#[test]
fn a_cancelled_request_leaves_its_slot_at_once_and_says_no_more() {
    let words = tokenizer();
    let mut engine = Engine::new(model(&words, 1), &words, 120).unwrap();
    let long = engine.submit(request(&words, "오늘은", 80)).unwrap();
    let next = engine.submit(request(&words, "The river", 60)).unwrap();
    engine.step().unwrap();
    assert_eq!((engine.status().running, engine.status().waiting), (1, 1));
    engine.cancel(long);
    assert_eq!(engine.status().rows_lent, 0);
    let rest = emissions(&mut engine);
    assert!(rest.iter().all(|emission| emission.request == next));
    assert_eq!(rest.last().unwrap().finish, Some(Finish::Length));
}

#[test]
fn whoever_writes_gets_a_token_in_every_step_that_reads_a_long_prompt() {
    let words = tokenizer();
    let mut llama = model(&words, 1);
    llama.config.max_position_embeddings = 4096;
    let mut engine = Engine::new(llama, &words, 4096).unwrap();
    engine.set_speculation(false);
    let writer = engine.submit(request(&words, "오늘은", 90)).unwrap();
    engine.step().unwrap();
    let reader = engine.submit(request(&words, &TEXTS[1].repeat(20), 1)).unwrap();
    let mut steps = 0;
    loop {
        let emitted = engine.step().unwrap();
        assert_eq!(emitted.iter().filter(|e| e.request == writer).count(), 1, "step {steps}");
        steps += 1;
        if emitted.iter().any(|emission| emission.request == reader) {
            break;
        }
    }
    assert!(steps > 5, "{steps} steps");
}

#[test]
fn prompts_are_told_what_the_scorer_says() {
    let words = tokenizer();
    let asked = request(&words, TEXTS[2], 3);
    let mut engine = Engine::new(model(&words, 2), &words, 400).unwrap();
    engine.submit_with(asked.clone(), ALL).unwrap();
    let answer = emissions(&mut engine);
    let mut all = answer[0].prompt.clone().unwrap().logprobs;
    assert_eq!(all.len(), asked.prompt.len() - 1);
    all.extend(answer.iter().map(|emission| emission.logprobs.clone().unwrap()));
    let ids: Vec<u32> = asked.prompt.iter().copied().chain(tokens(&answer)).collect();
    let mut scorer = Scorer::new(model(&words, 1), None).unwrap();
    for (place, told) in all.iter().enumerate() {
        let (context, continuation) = (ids[..=place].to_vec(), vec![ids[place + 1]]);
        let score =
            &scorer.score(&[ScoreRequest { context, continuation }], &mut |_| ()).unwrap()[0];
        assert_eq!(told.token, ids[place + 1]);
        assert!((f64::from(told.logprob) - score.logprob).abs() < 1e-4, "{told:?} {score:?}");
        assert_eq!(told.likeliest[0].0 == told.token, score.is_greedy, "{told:?}");
        assert_eq!(told.likeliest.len(), 3);
    }
}

#[test]
fn a_prompt_may_only_be_read() {
    let words = tokenizer();
    let asked = request(&words, TEXTS[2], 0);
    let mut engine = Engine::new(model(&words, 2), &words, 400).unwrap();
    assert!(engine.submit(asked.clone()).is_err());
    engine.submit_with(asked.clone(), ALL).unwrap();
    let answer = emissions(&mut engine);
    assert_eq!(answer.len(), 1);
    assert_eq!((answer[0].text.as_str(), answer[0].finish), ("", Some(Finish::Length)));
    assert_eq!(answer[0].prompt.as_ref().unwrap().logprobs.len(), asked.prompt.len() - 1);
}

#[test]
fn a_bias_decides_and_does_not_change_what_is_told() {
    let words = tokenizer();
    let mut engine = Engine::new(model(&words, 2), &words, 400).unwrap();
    let id = words.id_of("<0xEC>").unwrap();
    let plain = Details { logprobs: Some(400), ..Details::default() };
    let biased = Details { logit_bias: vec![(id, 100.0)], ..plain.clone() };
    engine.submit_with(request(&words, "오늘은", 1), plain).unwrap();
    let before = emissions(&mut engine).swap_remove(0).logprobs.unwrap();
    engine.submit_with(request(&words, "오늘은", 6), biased).unwrap();
    let after = emissions(&mut engine);
    assert_eq!(tokens(&after), [id; 6]);
    let text: String = after.iter().map(|emission| emission.text.as_str()).collect();
    assert_eq!(text, "\u{FFFD}".repeat(6));
    let told = after[0].logprobs.as_ref().unwrap();
    assert_eq!(told.likeliest, before.likeliest);
    let bad = Details { logit_bias: vec![(5000, 1.0)], ..Details::default() };
    assert!(engine.submit_with(request(&words, "오늘은", 6), bad).is_err());
}
