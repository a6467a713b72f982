//! `kollama serve` as a process: how it starts, how it ends under load, and that it keeps no memory of
//! what it has answered.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.
#![cfg(unix)]

mod program;

use program::Workplace;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// A context in which an answer may go on for as long as a test runs.
const LONG: &str = "262144";

/// A server, killed when dropped.
struct Serving {
    child: Child,
    talk: BufReader<ChildStderr>,
    address: String,
}

impl Serving {
    fn start(place: &Workplace, flags: &str) -> Serving {
        let mut command = place.command(&format!("serve --model model --port 0 {flags}"));
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap().to_owned();
        let serving = Serving { child, talk, address };
        while !serving.get("/health").starts_with("HTTP/1.1 200") {}
        serving
    }

    fn open(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    fn get(&self, path: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        rest(self.open(&head))
    }

    /// A connection on which a completion was asked for.
    fn ask(&self, body: &str) -> TcpStream {
        self.open(&format!(
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
             Content-Type: application/json\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn end(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        let mut talk = String::new();
        self.talk.read_to_string(&mut talk).unwrap();
        assert_eq!(talk, "", "nothing is said at the end");
        status
    }

    /// Memory of the process in bytes.
    fn memory(&self) -> f64 {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn place_with_a_long_context() -> Workplace {
    let place = Workplace::with_tokenizer();
    place.write("config.json", program::CONFIG.replace("128", LONG));
    place.done("model init --config config.json --tokenizer tok --seed 1 --out model");
    place
}

const ENDLESS: &str =
    r#"{"prompt": "a", "max_tokens": 200000, "logit_bias": {"2": -100}, "stream": true}"#;

#[test]
fn the_signal_to_end_lets_short_answers_finish_and_ends_long_ones_properly() {
    for signal in ["-TERM", "-INT"] {
        let place = place_with_a_long_context();
        let serving = Serving::start(&place, "--shutdown-timeout 2");
        let mut streams: Vec<TcpStream> = (0..3).map(|_| serving.ask(ENDLESS)).collect();
        for stream in &mut streams {
            assert!(stream.read(&mut [0; 600]).unwrap() > 0);
        }
        let short = r#"{"prompt": "a", "max_tokens": 50, "logit_bias": {"2": -100}}"#;
        let short = serving.ask(short);
        while !serving.get("/metrics").contains("kollama_requests_total{model=\"model\"} 4") {}
        serving.signal(signal);
        let answer = rest(short);
        assert!(answer.contains("\"finish_reason\":\"length\""), "{answer}");
        for stream in streams {
            let text = rest(stream);
            assert!(text.contains("\"finish_reason\":\"abort\""), "{signal}: no proper end");
            assert!(text.trim_end().ends_with("0"), "{signal}: the body has its end");
            assert!(text.contains("data: [DONE]"), "{signal}: the stream has its end");
        }
        assert!(serving.end().success());
    }
}

#[test]
fn memory_after_ten_thousand_requests_is_that_after_a_hundred() {
    let place = Workplace::with_model();
    // What is kept for equal beginnings, and what the tokenizer remembers, is full after a hundred.
    let serving = Serving::start(&place, "--kv-memory 64K");
    let ask = |number: usize| {
        let body = format!(
            r#"{{"prompt": "story {number} of the harbour", "max_tokens": 2, "logprobs": 3}}"#
        );
        let answer = rest(serving.ask(&body));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    (0..100).for_each(ask);
    let before = serving.memory();
    (100..10_000).for_each(ask);
    let after = serving.memory();
    assert!(after < before * 1.05, "{before} bytes, then {after}");
}

#[test]
fn what_cannot_be_served_is_said_and_ends_with_its_code() {
    let place = Workplace::with_model();
    for (line, code, words) in [
        ("serve --model model --model model", 2, "name of its own"),
        ("serve --model nowhere", 1, "nowhere"),
        ("serve --model model --host no.such.host.invalid", 2, "no address"),
        ("serve --model model --port 0 --kv-memory 10", 1, "too few"),
        ("serve --model model --kv-memory much", 2, "with K, M, G"),
        ("serve --model model --api-key-file none", 1, "none"),
    ] {
        let answer = place.run(line);
        assert_eq!(answer.code, Some(code), "{line}: {}", answer.err);
        assert!(answer.err.contains(words), "{line}: {}", answer.err);
    }
    let taken = Serving::start(&place, "");
    let port = taken.address.rsplit(':').next().unwrap();
    let answer = place.run(&format!("serve --model model --port {port}"));
    assert_eq!(answer.code, Some(1), "{}", answer.err);
    assert!(answer.err.contains("cannot listen"), "{}", answer.err);
}
