//! What was answered once is answered from the file, to the bit, however the run before ended.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

use kollama_engine::{Score, ScoreRequest, Scorer};
use kollama_harness::{HarnessError, RequestCache};
use kollama_kernels::{DType, Device};
use kollama_llama::{Llama, LlamaConfig, StoredType, init_checkpoint};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Where a killed run keeps its answers; only the child has it.
const FILE_OF_CHILD: &str = "KOLLAMA_TEST_REQUEST_CACHE";

fn scorer(seed: u64, kept: DType) -> Scorer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let tiny = LlamaConfig::preset("tiny").unwrap();
    let config = LlamaConfig { vocab_size: 300, initializer_range: 0.3, ..tiny };
    init_checkpoint(&config, seed, StoredType::F32, &path, &mut |_, _| ()).unwrap();
    let llama = Llama::open(&path, &Device::cpu(1).unwrap()).unwrap();
    Scorer::with_cache(llama, Some(2), kept).unwrap()
}

fn requests(count: u32) -> Vec<ScoreRequest> {
    let request = |i: u32| ScoreRequest {
        context: (0..i % 90).map(|place| (place * place + i / 7) % 300).collect(),
        continuation: (0..1 + i % 4).map(|place| (place + i) % 300).collect(),
    };
    (0..count).map(request).collect()
}

fn ask(path: &Path, scorer: &mut Scorer, requests: &[ScoreRequest]) -> (Vec<Score>, usize) {
    let mut cache = RequestCache::open(path, scorer).unwrap();
    let mut done = 0;
    let scores = cache.score(scorer, requests, &mut |now| done = now).unwrap();
    assert_eq!(done, requests.len());
    (scores, cache.answered())
}

#[test]
fn the_same_requests_ask_the_model_once_and_another_model_or_cache_asks_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.txt");
    let (mut first, all) = (scorer(1, DType::F32), requests(60));
    let expected = first.score(&all, &mut |_| ()).unwrap();
    let read = first.tokens().read;
    assert_eq!(ask(&path, &mut first, &all[..40]), (expected[..40].to_vec(), 0));
    assert_eq!(ask(&path, &mut first, &all), (expected.clone(), 40));
    let read_by_then = first.tokens().read;
    assert!(read_by_then > read);
    assert_eq!(ask(&path, &mut first, &all), (expected.clone(), 60));
    assert_eq!(first.tokens().read, read_by_then, "nothing was left to ask");
    let mut again = scorer(1, DType::F32);
    assert_eq!(ask(&path, &mut again, &all), (expected, 60));
    assert_eq!(again.tokens().read, 0);
    for mut other in [scorer(2, DType::F32), scorer(1, DType::Bf16)] {
        let own = other.score(&all, &mut |_| ()).unwrap();
        assert_eq!(ask(&path, &mut other, &all), (own, 0));
    }
}

#[test]
fn where_the_context_ends_and_what_stands_for_an_empty_one_matters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.txt");
    let mut scorer = scorer(1, DType::F32);
    let request = |context: &[u32], continuation: &[u32]| ScoreRequest {
        context: context.to_vec(),
        continuation: continuation.to_vec(),
    };
    let asked = [request(&[2], &[3, 4]), request(&[2, 3], &[4]), request(&[], &[3, 4])];
    assert_eq!(ask(&path, &mut scorer, &asked[..1]).1, 0);
    assert_eq!(ask(&path, &mut scorer, &asked[1..2]).1, 0);
    assert_eq!(ask(&path, &mut scorer, &asked[2..]).1, 1, "the prefix is written out");
}

#[test]
fn a_torn_line_is_cut_off_and_anything_else_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.txt");
    let (mut scorer, all) = (scorer(1, DType::F32), requests(30));
    let (expected, _) = ask(&path, &mut scorer, &all);
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(37).chain([3, whole.len() - 1]) {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(ask(&path, &mut scorer, &all).0, expected);
        let lines = |bytes: &[u8]| {
            let mut lines: Vec<Vec<u8>> =
                bytes.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&fs::read(&path).unwrap()), lines(&whole), "{length} bytes were left");
    }
    let mut changed = whole.clone();
    let third = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    changed[third + 1] = b'x';
    for (bytes, line) in [(&changed[..], 3), (b"{\"results\": 1}\n", 1), (b"{", 1)] {
        fs::write(&path, bytes).unwrap();
        let error = RequestCache::open(&path, &scorer).err().unwrap();
        assert!(matches!(&error, HarnessError::BadCache { line: found, .. } if *found == line));
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was changed");
    }
}

#[test]
fn a_file_belongs_to_one_evaluation_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.txt");
    let scorer = scorer(1, DType::F32);
    let first = RequestCache::open(&path, &scorer).unwrap();
    let second = RequestCache::open(&path, &scorer).err().unwrap();
    assert!(second.to_string().contains("another evaluation"), "{second}");
    drop(first);
    RequestCache::open(&path, &scorer).unwrap();
}

/// Not a test by itself: what the child of the next one does. It asks little by little, so that it
/// can be killed between any two answers.
#[test]
fn a_run_that_is_killed() {
    let Some(path) = std::env::var_os(FILE_OF_CHILD) else { return };
    let mut scorer = scorer(1, DType::F32);
    let mut cache = RequestCache::open(Path::new(&path), &scorer).unwrap();
    for some in requests(2000).chunks(5) {
        cache.score(&mut scorer, some, &mut |_| ()).unwrap();
    }
    loop {
        thread::park();
    }
}

#[test]
fn a_run_killed_five_times_gives_the_answers_of_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.txt");
    let size = || fs::metadata(&path).map_or(0, |metadata| metadata.len());
    for (kill, more) in [1, 4000, 100, 10_000, 7000].into_iter().enumerate() {
        let before = size();
        let this_test = std::env::current_exe().unwrap();
        let mut child = Command::new(this_test)
            .args(["--exact", "a_run_that_is_killed"])
            .env(FILE_OF_CHILD, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while size() < before + more {
            assert!(child.try_wait().unwrap().is_none(), "it ended before kill {kill}");
            thread::sleep(Duration::from_micros(100));
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it ended by itself");
    }
    // As if the last kill had come in the middle of a line.
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let (mut scorer, all) = (scorer(1, DType::F32), requests(2000));
    let (scores, answered) = ask(&path, &mut scorer, &all);
    assert!((100..2000).contains(&answered), "{answered} answers were left");
    let mut whole = self::scorer(1, DType::F32);
    assert_eq!(scores, whole.score(&all, &mut |_| ()).unwrap());
    assert!(scorer.tokens().read < whole.tokens().read);
}
