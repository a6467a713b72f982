//! `kollama eval` as a user runs it: malformed data and task files are one clear error that leaves
//! nothing behind, and a run that was killed ends with the same results as one that was not.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod program;

use program::{Answer, Workplace};
use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

const EVAL: &str = "eval --model model --data data --tasks kobest_copa --out out";
const HEADER: &str = "sentence\tquestion\t1\t2\tAnswer\n";
const ROW: &str = "비가 온다.\t결과\t길이 젖는다.\t해가 난다.\t1\n";
const PARQUET: &[u8] = include_bytes!("../crates/harness/tests/goldens/snappy.parquet");

/// A model and the two splits of COPA, ten good rows each.
fn with_data() -> Workplace {
    let place = Workplace::with_model();
    fs::create_dir_all(place.path("data/COPA")).unwrap();
    for split in ["train", "test"] {
        place.write(&format!("data/COPA/{split}.tsv"), format!("{HEADER}{}", ROW.repeat(10)));
    }
    place
}

/// Runs what has to fail with `code`: one message with the `expected` parts, and no file more or
/// less than before.
fn refuses(place: &Workplace, line: &str, code: i32, expected: &[&str]) {
    let before = place.contents();
    let Answer { code: found, out, err } = place.run(line);
    assert_eq!((found, out.as_str()), (Some(code), ""), "{line}: {err}");
    let messages = err.lines().filter(|line| line.starts_with("kollama: ")).count();
    assert!(messages == 1 && !err.contains("panicked"), "{err}");
    for part in expected {
        assert!(err.contains(part), "{part:?} is not in: {err}");
    }
    assert_eq!(place.contents(), before, "kollama {line}: {err}");
}

#[test]
fn malformed_data_is_one_error_that_names_the_place_and_leaves_nothing() {
    let cut = &PARQUET[..PARQUET.len() - 100];
    let cases: [(&str, &[u8], &[&str]); 12] = [
        ("test.tsv", b"", &["test.tsv: no rows"]),
        ("test.tsv", HEADER.as_bytes(), &["test.tsv: no rows"]),
        (
            "test.tsv",
            b"sentence\tquestion\tAnswer\na\tb\t1\n",
            &["test.tsv:2", "alternative_1 or 1", "\"question\""],
        ),
        ("test.tsv", b"sentence\tsentence\na\tb\n", &["two columns are called \"sentence\""]),
        ("test.tsv", b"sentence\tquestion\na\n", &["test.tsv:2: 1 fields, expected 2"]),
        ("test.tsv", b"sentence\n\xff\n", &["test.tsv:2: not UTF-8"]),
        ("test.tsv.zst", b"sentence\n", &["test.tsv.zst: cannot be unpacked as zstd"]),
        ("test.csv", b"sentence,question\n\"a,b\n", &["test.csv:2"]),
        ("test.jsonl", b"{}\n{\"sentence\": }\n", &["test.jsonl:2:14: not JSON"]),
        ("test.json", b"[{}, 3]", &["test.json:2: a number where a row should be"]),
        ("test.parquet", cut, &["test.parquet: cannot be read as parquet"]),
        ("test.parquet", PARQUET, &["test.parquet:1", "\"endings\""]),
    ];
    for (name, bytes, expected) in cases {
        let place = with_data();
        fs::remove_file(place.path("data/COPA/test.tsv")).unwrap();
        place.write(&format!("data/COPA/{name}"), bytes);
        refuses(&place, EVAL, 1, expected);
    }
}

#[test]
fn a_label_out_of_range_names_its_line_and_what_was_expected() {
    let place = with_data();
    let text = format!("{HEADER}{ROW}{}", ROW.replace("\t1\n", "\t3\n"));
    place.write("data/COPA/train.tsv", text);
    refuses(&place, EVAL, 1, &["train.tsv:3", "\"Answer\" holds \"3\"", "1 or 2"]);
}

#[test]
fn a_split_that_is_not_there_says_what_was_looked_for_and_where() {
    let place = with_data();
    fs::remove_file(place.path("data/COPA/test.tsv")).unwrap();
    let parts = ["no test split", "test.{parquet,", "data/COPA, data/kobest/COPA", "skt/kobest_v1"];
    refuses(&place, EVAL, 1, &parts);
    refuses(
        &place,
        &EVAL.replace("--data data", "--data nowhere"),
        1,
        &["nowhere: cannot be read"],
    );
}

#[test]
fn more_shots_than_the_pool_has_are_refused_with_both_numbers() {
    let place = with_data();
    let Answer { code, err, .. } = place.run(&format!("{EVAL} --shots 11"));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("11 shots") && err.contains("10 examples"), "{err}");
    assert!(!place.names("out").iter().any(|name| name.contains("results")), "{err}");
}

#[test]
fn without_a_folder_and_offline_the_hub_is_named_and_what_to_do() {
    let place = with_data();
    let mut command = place.command(&EVAL.replace("--data data", ""));
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", place.path("home"));
    let output = command.env_remove("HF_HUB_CACHE").env_remove("HUGGINGFACE_HUB_CACHE").output();
    let output = output.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    for part in ["skt/kobest_v1: not in ", "home/hub", "HF_HUB_OFFLINE"] {
        assert!(err.contains(part), "{part:?} is not in: {err}");
    }
    assert!(!place.path("home").exists() && !place.path("out").exists());
}

#[test]
fn malformed_task_files_are_one_error_that_names_the_file() {
    const GOOD: &str = "name = \"mine\"\n[data]\nfolders = [\"COPA\"]\nquotes = false\n\
        [splits]\ndocuments = [\"test\"]\n\
        [task]\ntext = \"{{ sentence }}\"\nchoices = [\"a\", \"b\"]\ngold = { Answer = [\"1\", \"2\"] }\n";
    let place = with_data();
    let line = EVAL.replace("kobest_copa", "mine.toml");
    place.write("mine.toml", GOOD);
    place.done(&line);
    fs::remove_dir_all(place.path("out")).unwrap();
    let cases: [(&str, &str, &[&str]); 7] = [
        ("name = \"mine\"", "name = ", &["mine.toml:1"]),
        ("choices =", "choises =", &["mine.toml:9", "choises"]),
        ("text = \"{{ sentence }}\"\n", "", &["mine.toml", "text"]),
        ("{{ sentence }}", "{{ sentence", &["mine.toml"]),
        ("{{ sentence }}", "{{ phrase }}", &["test.tsv:2", "phrase"]),
        ("Answer", "Label", &["test.tsv:2", "Label"]),
        ("[\"1\", \"2\"]", "[\"2\", \"3\"]", &["test.tsv:2", "Answer"]),
    ];
    for (from, to, expected) in cases {
        assert!(GOOD.contains(from), "{from}");
        place.write("mine.toml", GOOD.replace(from, to));
        refuses(&place, &line, 1, expected);
    }
    refuses(&place, &line.replace("mine", "no"), 1, &["no.toml: cannot be read"]);
    refuses(&place, &EVAL.replace("kobest_copa", "kobest"), 1, &["no test split"]);
    refuses(&place, &EVAL.replace("kobest_copa", "copa"), 2, &["\"copa\"", "kobest_copa"]);
}

/// A task with so many documents that no machine is at its end when the first answers are written.
fn with_much_to_score() -> Workplace {
    let place = with_data();
    let words = ["비가", "온다", "길이", "젖는다", "해가", "난다", "사람이", "걷는다"];
    let word = |number: usize| words[number % words.len()];
    let row = |number: usize| {
        let text = (0..8).map(|place| word(number / (place + 1) + place)).collect::<Vec<_>>();
        let question = if number.is_multiple_of(2) { "원인" } else { "결과" };
        let (one, other) = (word(number / 3), word(number / 5));
        format!("{number} {}\t{question}\t{one}.\t{other}?\t{}\n", text.join(" "), number % 2 + 1)
    };
    let rows: String = (0..DOCUMENTS).map(row).collect();
    place.write("data/COPA/test.tsv", format!("{HEADER}{rows}"));
    place
}

const DOCUMENTS: usize = 3000;
const KILLED: &str = "eval --model model --data data --tasks kobest_copa --shots 0,2 --threads 1";

fn known_answers(place: &Workplace) -> u64 {
    fs::metadata(place.path("killed/requests.cache")).map_or(0, |data| data.len())
}

/// Starts the run and lets it live until it has answered something new, and `more` beyond that.
fn run_a_while(place: &Workplace, more: Duration) -> Child {
    let before = known_answers(place);
    let mut command = place.command(&format!("{KILLED} --out killed"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while known_answers(place) <= before.max(100) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(more);
    child
}

#[test]
fn a_run_killed_five_times_ends_with_the_results_of_one_that_was_not() {
    let place = with_much_to_score();
    // Each run has got further than the one before; where it is then is chance.
    for more in [0, 13, 2, 30, 7].map(Duration::from_millis) {
        let mut child = run_a_while(&place, more);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it ended by itself");
        assert!(!place.path("killed/results.json").exists(), "it was at its end");
    }
    let resumed = place.done(&format!("{KILLED} --out killed"));
    assert!(resumed.err.contains("scores were known"), "{}", resumed.err);
    let whole = place.done(&format!("{KILLED} --out whole"));
    assert_eq!(resumed.out, whole.out);
    assert_eq!(place.names("killed"), place.names("whole"), "left over");
    for name in place.names("whole").iter().filter(|name| *name != "requests.cache") {
        let [killed, whole] = ["killed", "whole"].map(|run| place.read(&format!("{run}/{name}")));
        assert!(killed == whole, "{name} differs");
    }
}
