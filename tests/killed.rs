//! A run that is killed at any moment and resumed is, bit for bit, the run that never stopped.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod program;

use program::Workplace;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const RUN: &str = "train --model model --data rows --batch-size 2 --accumulate 2 --lr 3e-3 \
                   --sequence-length 16 --warmup-steps 10 --weight-decay 0.1 --clip 1";
/// With a constant rate the number of steps has no part in the numbers of a step, so a run that is
/// to be killed can be given so many that it never ends by itself.
const ENDLESS: &str = "--steps 1000000";

/// When a run is killed. Each moment is told by what the run has left on the disk and not by a
/// clock: a slow machine kills at the same places as a fast one.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// As soon as it was started.
    AtOnce,
    /// When it has logged so many steps more than any run before it.
    Logged(usize),
    /// When it is seen to write a checkpoint.
    Saving,
    /// When it has put a new checkpoint in its place.
    Saved,
}

use Moment::{AtOnce, Logged, Saved, Saving};

/// The first is before the first checkpoint, so the next run begins again.
const MOMENTS: [Moment; 10] =
    [Logged(1), Logged(3), Saving, AtOnce, Saved, Saving, Logged(2), Saving, Logged(4), Saved];

impl Moment {
    fn has_come(self, before: &Left, now: &Left) -> bool {
        match self {
            AtOnce => true,
            Logged(steps) => now.lines >= before.lines + steps,
            // More lines than before: so the unfinished checkpoint is none that was found.
            Saving => now.is_saving && now.lines > before.lines,
            Saved => now.newest > before.newest,
        }
    }
}

/// What a run has left on the disk so far.
#[derive(Debug)]
struct Left {
    /// Lines of the log.
    lines: usize,
    /// Step of the newest checkpoint.
    newest: usize,
    /// Whether there is half a checkpoint.
    is_saving: bool,
}

impl Left {
    fn by(place: &Workplace) -> Left {
        let log = fs::read(place.path("run/train.jsonl")).unwrap_or_default();
        let checkpoints = place.names("run/checkpoints");
        let step = |name: &String| name.strip_prefix("step-")?.parse().ok();
        Left {
            lines: log.iter().filter(|&&byte| byte == b'\n').count(),
            newest: checkpoints.iter().filter_map(step).max().unwrap_or(0),
            is_saving: checkpoints.iter().any(|name| step(name).is_none()),
        }
    }
}

/// Starts a run without an end and waits for a moment of its life.
fn run_until(moment: Moment, place: &Workplace, flags: &str) -> Child {
    let before = Left::by(place);
    let mut command = place.command(&format!("{RUN} --out run {ENDLESS} {flags}"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !moment.has_come(&before, &Left::by(place)) {
        if child.try_wait().unwrap().is_some() {
            panic!("it ended before {moment:?}: {}", talk_of(&mut child));
        }
        thread::sleep(Duration::from_micros(100));
    }
    child
}

fn talk_of(child: &mut Child) -> String {
    std::io::read_to_string(child.stderr.as_mut().unwrap()).unwrap()
}

/// The log without the one field that tells of the clock.
fn log_of(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("train.jsonl")).unwrap();
    let without_speed = |line| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().remove("tokens_per_second").unwrap();
        record
    };
    text.lines().map(without_speed).collect()
}

/// The log, the weights and the files of two runs are the same.
fn assert_same(place: &Workplace, runs: [&str; 2], steps: usize) {
    let [one, other] = runs.map(|name| place.path(name));
    let log = log_of(&one);
    assert_eq!(log, log_of(&other));
    assert!(
        log.iter()
            .map(|record| &record["step"])
            .eq(&(1..=steps).map(Value::from).collect::<Vec<_>>())
    );
    assert_ne!(log[0]["loss"], log[steps - 1]["loss"], "nothing was learned");
    let weights = [&one, &other].map(|run| fs::read(run.join("model.safetensors")).unwrap());
    assert!(weights[0] == weights[1], "the weights differ");
    for folder in ["", "checkpoints"] {
        let [one, other] = runs.map(|run| place.names(&format!("{run}/{folder}")));
        assert_eq!(one, other, "left over");
    }
}

#[test]
fn a_run_killed_ten_times_ends_as_if_it_had_never_stopped() {
    let place = Workplace::with_rows();
    for (count, moment) in MOMENTS.into_iter().enumerate() {
        let resume = if count == 0 { "" } else { "--resume" };
        let mut child = run_until(moment, &place, &format!("--save-every 3 {resume}"));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(ended.code(), None, "it ended by itself: {}", talk_of(&mut child));
    }
    // As if the last one had been killed in the middle of a line.
    let log = place.path("run/train.jsonl");
    let lines = fs::read(&log).unwrap();
    fs::write(&log, [&lines, b"{\"step\":7,\"lo".as_slice()].concat()).unwrap();
    let steps = Left::by(&place).newest + 4;
    place.done(&format!("{RUN} --save-every 3 --out run --steps {steps} --resume"));
    place.done(&format!("{RUN} --save-every 3 --out whole --steps {steps}"));
    assert_same(&place, ["run", "whole"], steps);
    place.done("model verify run");
}

#[test]
fn a_run_that_is_asked_to_stop_leaves_a_checkpoint_and_says_how_to_go_on() {
    for signal in ["INT", "TERM"] {
        let place = Workplace::with_rows();
        let mut child = run_until(Logged(12), &place, "");
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let (ended, talk) = (child.wait().unwrap(), talk_of(&mut child));
        assert_eq!(ended.code(), Some(1), "SIG{signal}: {talk}");
        let left = Left::by(&place);
        assert_eq!((left.newest, left.is_saving), (left.lines, false));
        let told = format!("kollama: stopped after step {} of 1000000", left.newest);
        assert!(talk.contains(&told) && talk.contains("--resume"), "SIG{signal}: {talk}");
        let steps = left.newest + 3;
        place.done(&format!("{RUN} --out run --steps {steps} --resume"));
        place.done(&format!("{RUN} --out whole --steps {steps}"));
        let weights = ["run", "whole"].map(|run| place.read(&format!("{run}/model.safetensors")));
        assert!(weights[0] == weights[1], "the weights differ");
        assert_eq!(log_of(&place.path("run")), log_of(&place.path("whole")));
    }
}

#[test]
fn a_run_is_the_same_with_any_number_of_threads_and_either_way_of_keeping_activations() {
    let place = Workplace::with_rows();
    for (out, flags) in
        [("one", "--threads 1"), ("two", "--threads 2"), ("three", "--threads 3 --recompute layer")]
    {
        place.done(&format!("{RUN} --schedule cosine --steps 20 --out {out} {flags}"));
    }
    assert_same(&place, ["one", "two"], 20);
    assert_same(&place, ["one", "three"], 20);
}

#[test]
fn a_run_that_was_interrupted_may_go_on_with_another_number_of_threads() {
    let place = Workplace::with_rows();
    let line = format!("{RUN} --save-every 10");
    place.done(&format!("{line} --out run --steps 10 --threads 1"));
    place.done(&format!("{line} --out run --steps 20 --threads 2 --resume"));
    place.done(&format!("{line} --out whole --steps 20"));
    assert_same(&place, ["run", "whole"], 20);
}

#[test]
fn a_finished_run_that_is_resumed_stays_as_it_is() {
    let place = Workplace::with_rows();
    place.done(&format!("{RUN} --out run --steps 12"));
    let before = place.contents();
    place.done(&format!("{RUN} --out run --steps 12 --resume"));
    assert_eq!(place.contents(), before);
}
