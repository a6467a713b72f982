//! A request gets the same tokens alone and in a crowd, and text that ends where it should.

#![allow(clippy::unwrap_used)] // What cannot be prepared has failed its test.

mod small_model;

use kollama_engine::{
    Details, Engine, Finish, Request, Sampling, ScoreRequest, Scorer, certain_text,
};
use kollama_tokenizer::Tokenizer;
use small_model::{TEXTS, drain, model, submit_all, tokenizer};

fn requests(tokenizer: &Tokenizer) -> Vec<Request> {
    let hot = Sampling { temperature: 1.0, top_p: 0.95, seed: 3, ..Sampling::GREEDY };
    // 뷁 is no piece: a prompt that ends in byte tokens, which are text only with what follows.
    let prompts = ["오늘은", "The river", "뷁", "사람이 많았다. The people", "a"];
    let samplings = [Sampling::GREEDY, hot, hot, Sampling::GREEDY, hot];
    let request = |(prompt, sampling): (&str, Sampling)| Request {
        prompt: tokenizer.encode_to_vec(prompt),
        max_new_tokens: 20,
        sampling,
        stop: Vec::new(),
    };
    prompts.into_iter().zip(samplings).map(request).collect()
}

#[test]
fn a_request_gets_the_same_tokens_alone_and_in_a_crowd() {
    let tokenizer = tokenizer();
    let requests = requests(&tokenizer);
    let mut crowd = Engine::new(model(&tokenizer, 2), &tokenizer, 400).unwrap();
    submit_all(&mut crowd, &requests);
    let together: Vec<_> = drain(&mut crowd).into_values().collect();
    let mut alone = Engine::new(model(&tokenizer, 1), &tokenizer, 60).unwrap();
    for (request, together) in requests.into_iter().zip(together) {
        alone.submit(request).unwrap();
        let answers: Vec<_> = drain(&mut alone).into_values().collect();
        assert_eq!(answers, [together]);
    }
}

#[test]
fn a_small_cache_makes_requests_wait_and_changes_nothing() {
    let tokenizer = tokenizer();
    let answers = |rows| {
        let mut engine = Engine::new(model(&tokenizer, 2), &tokenizer, rows).unwrap();
        submit_all(&mut engine, &requests(&tokenizer));
        drain(&mut engine)
    };
    assert_eq!(answers(60), answers(1000));
}

#[test]
fn whose_turn_is_earlier_goes_first_and_equal_turns_go_in_order() {
    let tokenizer = tokenizer();
    let mut engine = Engine::new(model(&tokenizer, 2), &tokenizer, 60).unwrap();
    let long = Request { max_new_tokens: 40, ..requests(&tokenizer).swap_remove(4) };
    let turns = [4, 2, 3, 2];
    let ask = |turn| {
        let details = Details { turn, logit_bias: vec![(2, -100.0)], ..Details::default() };
        engine.submit_with(long.clone(), details).unwrap()
    };
    let ids = turns.map(ask);
    let mut ended = Vec::new();
    while !engine.is_idle() {
        let emissions = engine.step().unwrap();
        ended.extend(emissions.iter().filter(|e| e.finish.is_some()).map(|e| e.request));
    }
    assert_eq!(ended, [1, 3, 2, 0].map(|index: usize| ids[index]));
    assert_eq!(engine.turn(), 4);
}

#[test]
fn the_streamed_text_is_the_text_of_the_tokens() {
    let tokenizer = tokenizer();
    let mut engine = Engine::new(model(&tokenizer, 1), &tokenizer, 400).unwrap();
    let requests = requests(&tokenizer);
    submit_all(&mut engine, &requests);
    for ((ids, text, _), request) in drain(&mut engine).into_values().zip(requests) {
        let whole = request.prompt.iter().chain(&ids);
        let bytes: Vec<u8> = whole.flat_map(|&id| tokenizer.bytes_of(id)).copied().collect();
        let all = String::from_utf8_lossy(&bytes);
        let all = all.strip_prefix(' ').unwrap_or(&all);
        assert_eq!(certain_text(&tokenizer, &request.prompt) + &text, all);
    }
}

#[test]
fn an_answer_ends_before_its_stop_string() {
    let tokenizer = tokenizer();
    let mut engine = Engine::new(model(&tokenizer, 1), &tokenizer, 400).unwrap();
    let mut request = requests(&tokenizer).swap_remove(1);
    engine.submit(request.clone()).unwrap();
    let (_, whole, _) = drain(&mut engine).into_values().next().unwrap();
    let stop: String = whole.chars().skip(6).take(3).collect();
    request.stop = vec![stop.clone()];
    engine.submit(request).unwrap();
    let (_, text, finish) = drain(&mut engine).into_values().next().unwrap();
    assert_eq!(finish, Some(Finish::Stop));
    assert_eq!(text, whole.split(&stop).next().unwrap());
}

#[test]
fn an_answer_ends_at_any_of_several_end_tokens() {
    let tokenizer = tokenizer();
    let request = requests(&tokenizer).swap_remove(1);
    let answer = |end_tokens: Vec<u32>| {
        let mut llama = model(&tokenizer, 1);
        llama.config.eos_token_id = Some(end_tokens[0]);
        llama.config.other_fields.insert("eos_token_id".to_owned(), end_tokens.into());
        let mut engine = Engine::new(llama, &tokenizer, 400).unwrap();
        engine.submit(request.clone()).unwrap();
        drain(&mut engine).into_values().next().unwrap()
    };
    let (whole, _, finish) = answer(vec![2, 1]);
    assert_eq!(finish, Some(Finish::Length));
    let end = whole[6];
    let first = whole.iter().position(|&token| token == end).unwrap();
    let (ids, _, finish) = answer(vec![2, end]);
    assert_eq!((ids.as_slice(), finish), (&whole[..=first], Some(Finish::EndToken)));
}

#[test]
fn what_does_not_fit_is_turned_away_by_name() {
    let tokenizer = tokenizer();
    let mut engine = Engine::new(model(&tokenizer, 1), &tokenizer, 400).unwrap();
    let request = requests(&tokenizer).swap_remove(0);
    let with = |change: fn(&mut Request)| {
        let mut request = request.clone();
        change(&mut request);
        request
    };
    for (bad, word) in [
        (with(|request| request.prompt.clear()), "empty"),
        (with(|request| request.max_new_tokens = 500), "positions"),
        (with(|request| request.max_new_tokens = 0), "max_new_tokens"),
        (with(|request| request.prompt.push(5000)), "5000"),
        (with(|request| request.sampling.top_p = 0.0), "top_p"),
        (with(|request| request.sampling.temperature = f32::NAN), "temperature"),
    ] {
        let message = engine.submit(bad).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    assert!(engine.is_idle());
}

#[test]
fn scores_do_not_depend_on_which_requests_share_a_batch() {
    let tokenizer = tokenizer();
    let request = |context: &str, continuation: &str| ScoreRequest {
        context: tokenizer.encode_to_vec(context),
        continuation: tokenizer.encode_to_vec(continuation),
    };
    let requests: Vec<ScoreRequest> = (0..40)
        .map(|i| request(&TEXTS[i % 3].repeat(1 + i % 5), [" 강가", " the", " 사람이"][i % 3]))
        .collect();
    let mut scorer = Scorer::new(model(&tokenizer, 2), tokenizer.eos_id()).unwrap();
    let together = scorer.score(&requests, &mut |_| ()).unwrap();
    let mut one = Scorer::new(model(&tokenizer, 1), tokenizer.eos_id()).unwrap();
    for (request, together) in requests.iter().zip(together) {
        let alone = one.score(std::slice::from_ref(request), &mut |_| ()).unwrap()[0];
        assert_eq!(alone.num_tokens, together.num_tokens);
        assert_eq!(alone.is_greedy, together.is_greedy);
        assert!((alone.logprob - together.logprob).abs() < 1e-4, "{alone:?} {together:?}");
    }
}

#[test]
fn a_request_longer_than_the_window_keeps_its_end() {
    let tokenizer = tokenizer();
    let mut scorer = Scorer::new(model(&tokenizer, 1), tokenizer.eos_id()).unwrap();
    let window = scorer.window();
    let long = tokenizer.encode_to_vec(&TEXTS[0].repeat(20));
    let continuation = tokenizer.encode_to_vec(" 강가");
    let kept = long[long.len() + continuation.len() - (window + 1)..].to_vec();
    let requests =
        [long, kept].map(|context| ScoreRequest { context, continuation: continuation.clone() });
    let scores = scorer.score(&requests, &mut |_| ()).unwrap();
    assert_eq!(scores[0], scores[1]);
}
