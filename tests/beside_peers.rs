//! `bench tokenize`: its JSON, and what becomes of peers that are right, wrong, or fall over.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod program;

use program::Workplace;
use serde_json::Value;

/// Three tokenizers: one asks kollama, one gives every text no id, one refuses.
const PEERS: &str = r#"
import json, struct, subprocess, sys
if len(sys.argv) == 1:
    sys.exit(print("right 1\nwrong 2\nabsent 3"))
name, tokenizer, threads = sys.argv[1].split()[0], sys.argv[2], sys.argv[3]
def say(**fields):
    sys.stdout.buffer.write(json.dumps(fields).encode() + b"\n")
    sys.stdout.flush()
if name == "absent":
    sys.exit(say(error="another form"))
say(ready=True)
def encode(text):
    if name == "wrong":
        return []
    command = ["KOLLAMA", "tokenizer", "encode", "--tokenizer", tokenizer, "--json", "--", text]
    return json.loads(subprocess.run(command, capture_output=True).stdout)["ids"]
texts = []
while line := sys.stdin.buffer.readline():
    if line.startswith(b"documents"):
        count = int(line.split()[1])
        lengths = struct.unpack(f"<{count}I", sys.stdin.buffer.read(4 * count))
        texts = [sys.stdin.buffer.read(length).decode() for length in lengths]
    elif line == b"encode\n":
        rows = [encode(text) for text in texts]
        say(seconds=1e9)
    else:
        say(ids=len(rows))
        ids = [id for row in rows for id in row]
        numbers = [len(row) for row in rows] + ids
        sys.stdout.buffer.write(struct.pack(f"<{len(numbers)}I", *numbers))
        sys.stdout.flush()
"#;

fn python_is_there() -> bool {
    let there = std::process::Command::new("python3").arg("--version").output().is_ok();
    if !there {
        println!("skipped: no python3");
    }
    there
}

#[test]
fn a_plain_measurement_has_its_fields() {
    let place = Workplace::with_tokenizer();
    let bench = "bench tokenize --tokenizer tok --corpus english.txt --repeats 1 --json";
    let plain = place.done(bench).json();
    for field in ["documents", "bytes", "tokens", "threads", "mb_per_second"] {
        assert!(plain[field].is_number(), "{field}: {plain}");
    }
    assert_eq!(plain["threads"], 1);
    let cells = place.done(&format!("{bench} --document-size line,whole --threads 2")).json();
    let sizes = cells["cells"].as_array().unwrap().iter().map(|cell| &cell["document_size"]);
    assert_eq!(sizes.collect::<Vec<_>>(), ["one line", "whole"]);
}

#[test]
fn peers_with_other_ids_are_named_and_peers_that_refuse_are_left_out() {
    if !python_is_there() {
        return;
    }
    let place = Workplace::with_tokenizer();
    place.write("peers.py", PEERS.replace("KOLLAMA", env!("CARGO_BIN_EXE_kollama")));
    let mut bench = place.command(
        "bench tokenize --tokenizer tok --corpus english.txt --document-size whole --repeats 1 \
         --json --against peers.py",
    );
    let output = bench.env("KOLLAMA_PYTHON", "python3").output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}");
    assert!(talk.contains("absent 3 takes no part: another form"), "{talk}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cell = &found["cells"][0];
    let differing = |index: usize| &cell["peers"][index]["documents_that_differ"];
    assert_eq!((differing(0), differing(2)), (&Value::from(0), &Value::Null), "{cell}");
    // Both turns: one text is the same in each.
    assert_eq!(differing(1), 2, "{cell}");
    assert!(cell["ratio_to_fastest_exact"].as_f64().unwrap() > 1.0, "{cell}");
}

#[test]
fn a_script_that_is_not_there_is_named() {
    let place = Workplace::with_tokenizer();
    let answer = place
        .run("bench tokenize --tokenizer tok --corpus english.txt --against no/such/script.py");
    assert_eq!(answer.code, Some(1));
    assert!(answer.err.contains("no/such/script.py"), "{}", answer.err);
}
