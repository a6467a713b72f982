//! What the program says to what it cannot work with: one clear error that names the culprit, exit
//! code 1 (2 for a wrong use of the command line), no panic, and nothing left behind.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod configuration;
mod outputs;
#[path = "../program/mod.rs"]
mod program;
mod questions;
mod runs;
mod texts;
mod tokenizers;
mod weights;

use program::{Answer, Workplace};

/// What every refusal has in common; `expected` are parts of the message, on any of its lines.
fn assert_is_a_refusal(answer: &Answer, code: i32, expected: &[&str]) {
    let Answer { code: found, out, err } = answer;
    assert_eq!(*found, Some(code), "{err}\n{out}");
    assert!(!err.contains("panicked"), "{err}");
    assert_eq!(out, "", "a result beside the error: {err}");
    for part in expected {
        assert!(err.contains(part), "{part:?} is not in: {err}");
    }
}

/// Runs what has to fail, on the machine's side of the door: code 1, and the folder as before.
fn refuses(place: &Workplace, line: &str, expected: &[&str]) {
    let before = place.contents();
    let answer = place.run(line);
    assert_is_one_message(&answer, expected);
    assert_eq!(place.contents(), before, "kollama {line}: {}", answer.err);
}

/// The same for a wrong use of the command line: code 2.
fn refuses_usage(place: &Workplace, line: &str, expected: &[&str]) {
    let before = place.contents();
    assert_is_a_refusal(&place.run(line), 2, expected);
    assert_eq!(place.contents(), before, "kollama {line}");
}

fn assert_is_one_message(answer: &Answer, expected: &[&str]) {
    assert_is_a_refusal(answer, 1, expected);
    let err = &answer.err;
    let mut lines = err.lines().skip_while(|line| line.contains(": done in "));
    assert!(lines.next().is_some_and(|line| line.starts_with("kollama: ")), "{err}");
    assert!(!lines.any(|line| line.starts_with("kollama: ")), "{err}");
    let parts: Vec<&str> = err.trim_end().split(": ").collect();
    assert!(parts.windows(2).all(|two| two[0] != two[1]), "said twice: {err}");
}

/// A model, rows for it, and a tokenizer to extend it to.
fn with_everything() -> Workplace {
    let place = Workplace::with_rows();
    place.done("tokenizer extend --base tok --corpus korean.txt --vocab-size 340 --out larger");
    place
}

#[test]
fn a_wrong_use_of_the_command_line_exits_with_2() {
    let place = Workplace::new();
    for (line, named) in [
        ("trian", "trian"),
        ("model", "Usage"),
        ("train --model m", "--data"),
        ("train --modle m", "--modle"),
        ("tokenizer train --corpus english.txt --out new", "--vocab-size"),
        ("tokenizer train --corpus english.txt --vocab-size many --out new", "many"),
        ("corpus pack english.txt --out new", "--tokenizer"),
        ("corpus pack --ids rows.jsonl --out new", "--vocab-size"),
        ("generate --model m --threads 0", "--threads"),
        ("model init --config tiny --tokenizer tok --out new --dtype int8", "int8"),
    ] {
        let before = place.contents();
        assert_is_a_refusal(&place.run(line), 2, &[named]);
        assert_eq!(place.contents(), before);
    }
}
