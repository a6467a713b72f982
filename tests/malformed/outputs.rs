//! Places that cannot be written, and writes that fail half way.

use crate::program::{TRAIN, Workplace};
use crate::{assert_is_one_message, refuses, with_everything};

/// What writes from the files of [`with_everything`], but for `--out`.
const COMMANDS_THAT_WRITE: [&str; 5] = [
    "tokenizer train --corpus english.txt --vocab-size 320",
    "tokenizer extend --base tok --corpus korean.txt --vocab-size 340",
    "corpus pack english.txt --tokenizer tok --sequence-length 16",
    "model init --config config.json --tokenizer tok",
    "model extend --base model --tokenizer larger",
];

#[test]
fn an_output_that_holds_something_is_left_as_it_is() {
    let place = with_everything();
    place.write("precious", "1");
    std::fs::create_dir(place.path("full")).unwrap();
    place.write("full/precious", "1");
    for out in ["full", "precious"] {
        for line in COMMANDS_THAT_WRITE {
            refuses(&place, &format!("{line} --out {out}"), &[out]);
        }
    }
}

#[test]
fn an_output_that_cannot_be_made_is_named() {
    let place = with_everything();
    place.write("file", "1");
    for out in ["/proc/kollama", "file/out"] {
        let train =
            "train --model model --data rows --steps 1 --batch-size 1 --sequence-length 16 --lr 1";
        for line in COMMANDS_THAT_WRITE.into_iter().chain([train]) {
            refuses(&place, &format!("{line} --out {out}"), &[out.trim_start_matches('/')]);
        }
    }
}

/// No file may grow beyond a block or two; the signal that usually tells so is turned off.
const SMALL_FILES: &str = "ulimit -f 4; trap '' XFSZ; exec \"$KOLLAMA\"";

#[test]
fn a_write_that_fails_half_way_leaves_nothing() {
    let place = with_everything();
    std::fs::create_dir(place.path("small")).unwrap();
    for line in COMMANDS_THAT_WRITE {
        let answer = place.shell(&format!("{SMALL_FILES} {line} --out small/out"));
        assert_is_one_message(&answer, &["cannot write", "small/", "too large"]);
        assert_eq!(left_in_small(&place), [""; 0], "kollama {line}: {}", answer.err);
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left_on_it() {
    let place = with_everything();
    if place.shell("unshare --mount --map-root-user true").code != Some(0) {
        eprintln!("skipped: this system lets nobody mount a small disk");
        return;
    }
    std::fs::create_dir(place.path("small")).unwrap();
    for line in COMMANDS_THAT_WRITE {
        let script = "mount -t tmpfs -o size=8k none small && { \"$KOLLAMA\" LINE; code=$?; \
                      find small -type f; exit $code; }";
        let line = format!("{line} --out small/out");
        let script = script.replace("LINE", &line).replace('\'', "");
        let answer = place.shell(&format!("unshare --mount --map-root-user sh -c '{script}'"));
        assert_is_one_message(&answer, &["cannot write", "small/", "space"]);
    }
}

#[test]
fn a_run_whose_checkpoint_cannot_be_written_goes_on_when_it_can() {
    let place = Workplace::with_rows();
    let answer = place.shell(&format!("{SMALL_FILES} {TRAIN}"));
    assert_is_one_message(&answer, &["cannot write", "run/checkpoints/", "too large"]);
    assert!(!place.path("run/model.safetensors").exists());
    place.done(&format!("{TRAIN} --resume"));
    place.done(&TRAIN.replace("--out run", "--out whole"));
    for folder in ["", "checkpoints", "checkpoints/step-000002"] {
        let names = ["run", "whole"].map(|run| place.names(&format!("{run}/{folder}")));
        assert_eq!(names[0], names[1]);
    }
    let weights = ["run", "whole"].map(|run| place.read(&format!("{run}/model.safetensors")));
    assert!(weights[0] == weights[1], "the weights differ");
}

/// Every file below `small`.
fn left_in_small(place: &Workplace) -> Vec<String> {
    let small = place.path("small");
    let below =
        place.contents().into_keys().filter(|path| path.starts_with(&small) && *path != small);
    below.map(|path| path.display().to_string()).collect()
}
