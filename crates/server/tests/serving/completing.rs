//! Completions: streams and whole answers are the same, so are crowds and single requests;
//! log-probabilities are the scorer's; what is not supported is refused by name.

use crate::small_server::{Server, TEXTS, settings, tokenizer};
use kollama_engine::{ScoreRequest, Scorer};
use kollama_kernels::Device;
use kollama_llama::Llama;
use serde_json::{Value, json};
use std::thread;

fn texts(answer: &Value) -> Vec<String> {
    let choices = answer["choices"].as_array().unwrap();
    choices.iter().map(|choice| choice["text"].as_str().unwrap().to_owned()).collect()
}

/// The texts of a stream's answers, joined.
fn streamed(server: &Server, mut body: Value) -> (Vec<String>, Vec<Value>) {
    body["stream"] = true.into();
    let answer = server.post("/v1/completions", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let events = answer.events();
    let mut texts = vec![String::new(); 8];
    for choice in events.iter().flat_map(|event| event["choices"].as_array().unwrap()) {
        texts[choice["index"].as_u64().unwrap() as usize] += choice["text"].as_str().unwrap();
    }
    let choices = body["n"].as_u64().unwrap_or(1);
    texts.truncate(choices as usize);
    (texts, events)
}

#[test]
fn a_stream_joined_is_the_answer_in_one_piece() {
    let server = Server::start(settings());
    let mut broken = 0;
    for seed in 0..12 {
        let body = json!({
            "prompt": TEXTS[0], "max_tokens": 60, "temperature": 1.3, "seed": seed, "n": 2,
            "stop": ["걸", "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"], "echo": seed % 2 == 0,
        });
        let whole = texts(&server.complete(body.clone()));
        broken += whole.iter().filter(|text| text.contains('\u{FFFD}')).count();
        assert_eq!(streamed(&server, body).0, whole, "seed {seed}");
    }
    assert!(broken > 5, "the answers hold bytes that are no characters");
}

#[test]
fn thirty_two_greedy_streams_at_once_are_what_each_is_alone() {
    let server = Server::start(settings());
    let body = |place: usize| {
        let prompt: String =
            TEXTS[place % 3].chars().cycle().skip(place).take(20 + 7 * place).collect();
        json!({ "prompt": prompt, "max_tokens": 48, "temperature": 0 })
    };
    let crowd: Vec<Vec<String>> = thread::scope(|scope| {
        let one = |place| {
            scope.spawn({
                let (server, body) = (&server, body(place));
                move || streamed(server, body).0
            })
        };
        let all: Vec<_> = (0..32).map(one).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let fresh = Server::start(settings());
    for (place, together) in crowd.iter().enumerate() {
        assert_eq!(&texts(&fresh.complete(body(place))), together, "request {place}");
    }
}

#[test]
fn an_echo_tells_how_likely_the_prompt_is_as_the_scorer_does() {
    let server = Server::start(settings());
    let words = tokenizer();
    let ids = words.encode_to_vec(TEXTS[2]);
    let body = json!({ "prompt": [ids, ids[..9]], "echo": true, "logprobs": 4, "max_tokens": 0 });
    let answer = server.complete(body);
    assert_eq!(answer["usage"]["completion_tokens"], 0);
    assert_eq!(answer["usage"]["prompt_tokens"], ids.len() + 9);
    let told = &answer["choices"][0]["logprobs"];
    assert_eq!(told["token_ids"], json!(ids));
    assert_eq!(answer["choices"][0]["text"], TEXTS[2]);
    assert_eq!(
        (&told["token_logprobs"][0], &told["top_logprobs"][0]),
        (&Value::Null, &Value::Null)
    );
    let llama = Llama::open(&server.folder, &Device::cpu(1).unwrap()).unwrap();
    let mut scorer = Scorer::new(llama, None).unwrap();
    for place in 1..ids.len() {
        let (context, continuation) = (ids[..place].to_vec(), vec![ids[place]]);
        let score =
            &scorer.score(&[ScoreRequest { context, continuation }], &mut |_| ()).unwrap()[0];
        let logprob = told["token_logprobs"][place].as_f64().unwrap();
        assert!((logprob - score.logprob).abs() < 1e-3, "{place}: {logprob} {score:?}");
        assert_eq!(told["top_logprobs"][place].as_object().unwrap().len(), 4);
        assert_eq!(told["top_token_ids"][place].as_array().unwrap().len(), 4);
    }
    let offsets: Vec<u64> =
        told["text_offset"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap()).collect();
    assert!(offsets.is_sorted() && offsets[0] == 0, "{offsets:?}");
}

#[test]
fn streams_tell_every_token_once_and_their_usage_last() {
    let server = Server::start(settings());
    let options = json!({ "include_usage": true });
    let body = json!({
        "prompt": "오늘은", "max_tokens": 20, "temperature": 0, "logprobs": 2,
        "stream_options": options,
    });
    let (_, events) = streamed(&server, body.clone());
    let usage = &events.last().unwrap()["usage"];
    assert!(events.last().unwrap()["choices"].as_array().unwrap().is_empty());
    assert_eq!(usage["completion_tokens"], 20);
    assert!(events[..20].iter().all(|event| event["usage"].is_null()));
    let told: Vec<&Value> = events[..events.len() - 1]
        .iter()
        .flat_map(|event| event["choices"][0]["logprobs"]["token_ids"].as_array().unwrap())
        .collect();
    assert_eq!(told.len(), 20);
    assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "length");
}

#[test]
fn a_beginning_that_is_known_is_counted_and_changes_nothing() {
    let server = Server::start(settings());
    let body = json!({ "prompt": TEXTS[1], "max_tokens": 8, "temperature": 0 });
    let (first, second) = (server.complete(body.clone()), server.complete(body));
    let cached = |answer: &Value| {
        let usage = &answer["usage"];
        let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        usage["prompt_tokens"].as_u64().unwrap() - cached
    };
    assert_eq!(cached(&second), 1);
    assert!(cached(&first) > 10);
    assert_eq!(texts(&first), texts(&second));
}

#[test]
fn the_same_seed_gives_the_same_text_and_choices_differ() {
    let server = Server::start(settings());
    let body = json!({ "prompt": "The river", "max_tokens": 16, "seed": 7, "n": 3 });
    let (first, second) = (texts(&server.complete(body.clone())), texts(&server.complete(body)));
    assert_eq!(first, second);
    assert!(first[0] != first[1] && first[1] != first[2]);
}

#[test]
fn what_is_not_known_or_not_supported_is_refused_by_name() {
    let server = Server::start(settings());
    for (body, status, field) in [
        (json!({ "prompt": "a", "mirostat": 2 }), 400, "mirostat"),
        (json!({ "prompt": "a", "best_of": 4 }), 400, "best_of"),
        (json!({ "prompt": "a", "suffix": "b" }), 400, "suffix"),
        (json!({ "prompt": "a", "logprobs": 101 }), 400, "logprobs"),
        (json!({ "prompt": "a", "max_tokens": 0 }), 400, "max_tokens"),
        (json!({ "prompt": { "text": "a" } }), 400, "prompt"),
        (json!({ "prompt": [1, 2, 330] }), 400, "prompt"),
        (json!({ "prompt": ["a", 5] }), 400, "prompt"),
        (json!({ "max_tokens": 3 }), 400, "prompt"),
        (json!({ "prompt": "a", "logit_bias": { "4000": 1 } }), 400, "prompt"),
    ] {
        let answer = server.post("/v1/completions", &body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert_eq!(answer.json()["error"]["param"], field, "{body}");
    }
    let unknown = server.post("/v1/completions", json!({ "model": "none", "prompt": "a" }));
    assert_eq!(
        (unknown.status, unknown.json()["error"]["code"].as_str()),
        (404, Some("model_not_found"))
    );
}

#[test]
fn what_is_known_of_the_model_is_told() {
    let server = Server::start(settings());
    assert_eq!(server.get("/v1/models").json()["data"][0]["id"], "small");
    assert_eq!(server.get("/v1/models/small").json()["id"], "small");
    let info = server.get("/info").json();
    assert_eq!(info["tokenizers"], json!(["small", "other"]));
    assert_eq!((&info["chat"], &info["weights"]), (&json!(false), &json!("f32")));
    assert_eq!(info["config"]["hidden_size"], 64);
    assert!(info["memory"]["weight_bytes"].as_u64().unwrap() > 1000);
    server.complete(json!({ "prompt": "a", "max_tokens": 3, "temperature": 0 }));
    assert!(server.figure("written_tokens_total") >= 1.0);
}
