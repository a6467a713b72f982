//! Clients that mean harm, or know no better: each gets its stated answer, and others are served
//! meanwhile and afterwards.

use crate::small_server::{CONTEXT, Server, head, read_answer, settings};
use kollama_server::Settings;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer that does not end while a test runs.
fn endless() -> String {
    let most = CONTEXT / 2;
    json!({ "prompt": "a", "max_tokens": most, "logit_bias": { "2": -100 }, "stream": true })
        .to_string()
}

/// Begins an endless answer and waits for its first event.
fn begin(server: &Server) -> TcpStream {
    let body = endless();
    let mut stream = server.open(&head("/v1/completions", body.len()), body.as_bytes());
    let mut some = [0; 600];
    assert!(stream.read(&mut some).unwrap() > 0);
    assert!(some.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&some));
    stream
}

fn others_are_served(server: &Server) {
    let answer = server.complete(json!({ "prompt": "오늘은", "max_tokens": 4, "temperature": 0 }));
    assert_eq!(answer["choices"].as_array().unwrap().len(), 1);
}

#[test]
fn five_hundred_slow_connections_are_closed_and_hold_nobody_up() {
    let quick = Settings { read_timeout: Duration::from_secs(2), ..settings() };
    let server = Server::start(quick);
    let slow: Vec<TcpStream> = (0..500)
        .map(|place| match place % 2 {
            0 => server.open("POST /v1/completions HTTP/1.1\r\nHost: loc", b""),
            _ => server.open(&head("/v1/completions", 1000), b"{\"prompt\": "),
        })
        .collect();
    others_are_served(&server);
    for (place, stream) in slow.into_iter().enumerate() {
        let answer = read_answer(stream);
        assert!(answer.status == 408 || (place % 2 == 0 && answer.status == 0), "{answer:?}");
    }
    others_are_served(&server);
}

#[test]
fn a_hundred_megabytes_are_refused_without_being_read() {
    let server = Server::start(settings());
    let answer = server.send(&head("/v1/completions", 100 << 20), b"{\"prompt\": \"a");
    assert_eq!(answer.status, 413, "{answer:?}");
    let chunked = "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                   Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let mut stream = server.open(chunked, b"");
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let sent = (0..1600).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(sent < 1600, "the server took all of it");
    others_are_served(&server);
}

#[test]
fn what_is_no_json_or_no_text_or_too_deep_is_refused() {
    let server = Server::start(settings());
    let deep = ["[".repeat(100_000), "{\"prompt\":".repeat(65)];
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"{\"prompt\": NaN}",
        b"{\"prompt\": \"a\", \"temperature\": 1e999}",
        b"{\"prompt\": \"\xff\xfe\"}",
        deep[0].as_bytes(),
        deep[1].as_bytes(),
    ];
    for body in bodies {
        let answer = server.post_bytes("/v1/completions", body);
        assert_eq!(answer.status, 400, "{:?}: {answer:?}", String::from_utf8_lossy(body));
        assert!(answer.json()["error"]["message"].is_string());
    }
    let plain = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
                 Content-Length: 2\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send(plain, b"{}").status, 415);
    others_are_served(&server);
}

#[test]
fn numbers_out_of_range_and_thousands_of_stops_are_refused_by_name() {
    let server = Server::start(settings());
    let stops: Vec<String> = (0..10_000).map(|place| format!("stop {place}")).collect();
    for (name, value) in [
        ("temperature", json!(-1)),
        ("temperature", json!("NaN")),
        ("top_p", json!(-0.1)),
        ("top_k", json!(-5)),
        ("max_tokens", json!(-1)),
        ("n", json!(0)),
        ("n", json!(1_000_000)),
        ("frequency_penalty", json!(-1e300)),
        ("repetition_penalty", json!(0)),
        ("logprobs", json!(50_000)),
        ("stop", json!(stops)),
        ("stop", json!("x".repeat(257))),
    ] {
        let mut body = json!({ "prompt": "a" });
        body[name] = value;
        let answer = server.post("/v1/completions", &body);
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        assert_eq!(answer.json()["error"]["param"], name);
    }
    others_are_served(&server);
}

#[test]
fn names_of_models_are_names_and_not_paths() {
    let server = Server::start(settings());
    for name in ["../small", "/etc/passwd", "small/../small", "..%2f..%2fetc%2fpasswd", "\u{0}", ""]
    {
        let answer = server.post("/v1/completions", json!({ "model": name, "prompt": "a" }));
        assert_eq!(answer.status, 404, "{name}: {answer:?}");
    }
    for path in ["/v1/models/..%2f..%2fetc%2fpasswd", "/../../etc/passwd", "/v1/models/%00"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert_eq!(server.post("/v1/models", "{}").status, 405);
}

#[test]
fn a_prompt_beyond_the_context_is_refused_with_its_figures() {
    let server = Server::start(settings());
    let ids = vec![5; CONTEXT + 1];
    let answer = server.post("/v1/completions", json!({ "prompt": ids }));
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_str()),
        (400, Some("context_length_exceeded"))
    );
    assert!(answer.body.contains(&(CONTEXT + 1).to_string()), "{answer:?}");
    others_are_served(&server);
}

#[test]
fn a_client_that_goes_frees_its_slot() {
    let server = Server::start(settings());
    let stream = begin(&server);
    server.wait_until("it runs", |server| server.figure("running") == 1.0);
    let whole = endless().replace("\"stream\":true", "\"stream\":false");
    let unread = server.open(&head("/v1/completions", whole.len()), whole.as_bytes());
    server.wait_until("both run", |server| server.figure("running") == 2.0);
    others_are_served(&server);
    drop(unread);
    server
        .wait_until("the one in one piece is gone", |server| server.figure("aborted_total") == 1.0);
    drop(stream);
    server.wait_until("the stream is gone", |server| server.figure("running") == 0.0);
    assert_eq!(server.figure("aborted_total"), 2.0);
    assert_eq!(server.figure("cache_rows_lent"), 0.0);
}

#[test]
fn whoever_asks_most_waits_longest() {
    let server = Server::start(settings());
    let body = endless();
    let asked = head("/v1/completions", body.len());
    // More and more of them, until one waits.
    let mut greedy = Vec::new();
    while server.figure("waiting") == 0.0 {
        greedy.push(server.open(&asked, body.as_bytes()));
        let all = |server: &Server| server.figure("running") + server.figure("waiting");
        server.wait_until("it is there", |server| all(server) == greedy.len() as f64);
    }
    let short = json!({ "prompt": "a", "max_tokens": 4 }).to_string();
    let asked = head("/v1/completions", short.len());
    let answer = read_answer(server.open_from("127.0.0.2", &asked, short.as_bytes()));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.figure("waiting"), 1.0);
}

#[test]
fn one_too_many_is_told_when_to_come_back() {
    let server = Server::start(Settings { queue: 2, ..settings() });
    let running = [begin(&server), begin(&server)];
    let refused = server.post("/v1/completions", json!({ "prompt": "a" }));
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.head.contains("retry-after: "), "{refused:?}");
    drop(running);
    server.wait_until("both are gone", |server| server.figure("running") == 0.0);
    others_are_served(&server);
}

#[test]
fn an_answer_that_takes_too_long_is_ended() {
    let server = Server::start(Settings { request_timeout: Duration::from_secs(1), ..settings() });
    let body = endless().replace("\"stream\":true", "\"stream\":false");
    assert_eq!(server.post("/v1/completions", &body).status, 504);
    let streamed = server.post("/v1/completions", endless());
    assert_eq!(streamed.events().last().unwrap()["choices"][0]["finish_reason"], "abort");
    others_are_served(&server);
}

#[test]
fn without_the_key_nothing_but_health_is_told() {
    let server = Server::start(Settings { api_key: Some("open sesame".to_owned()), ..settings() });
    for path in ["/v1/models", "/metrics", "/info"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    assert_eq!(server.post("/tokenize", json!({ "text": "a" })).status, 401);
    let with = |key: &str| {
        let head = format!(
            "GET /v1/models HTTP/1.1\r\nHost: example.org\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
        );
        server.send(&head, b"").status
    };
    assert_eq!(
        (with("open sesame"), with("open"), with("open sesame!"), with("")),
        (200, 401, 401, 401)
    );
}

#[test]
fn pages_of_others_may_not_ask() {
    let server = Server::start(settings());
    let from = |host: &str| {
        let origin = "http://evil.example";
        server.send(&format!("GET /v1/models HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"), b"")
    };
    assert!(!from("localhost").head.contains("access-control"), "CORS is off");
    assert_eq!(from("evil.example").status, 403, "a name that was made to point here");
    let open =
        Server::start(Settings { allowed_origin: Some("https://a.example".into()), ..settings() });
    let answer = open.send("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: https://a.example\r\nConnection: close\r\n\r\n", b"");
    assert!(answer.head.contains("access-control-allow-origin: https://a.example"), "{answer:?}");
}
