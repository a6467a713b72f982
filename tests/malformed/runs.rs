//! Runs and recipes that cannot go on, or would harm what is there.

use crate::program::{TRAIN, Workplace};
use crate::{assert_is_a_refusal, refuses, refuses_usage};

#[test]
fn a_used_folder_is_not_trained_into_without_saying_so() {
    let place = Workplace::with_rows();
    place.done(TRAIN);
    refuses(&place, TRAIN, &["run", "--resume"]);
}

#[test]
fn a_run_is_not_resumed_with_another_setting() {
    let place = Workplace::with_rows();
    place.done(TRAIN);
    let resume = format!("{TRAIN} --resume").replace("--steps 2", "--steps 4");
    for (from, to, named) in [
        ("--lr 1e-2", "--lr 2e-2", "learning_rate"),
        ("--batch-size 2", "--batch-size 1", "batch_size"),
        ("--resume", "--resume --seed 9", "seed"),
    ] {
        refuses(&place, &resume.replace(from, to), &[named, "began with"]);
    }
    place.done("corpus pack korean.txt --tokenizer tok --sequence-length 16 --out korean");
    refuses(&place, &resume.replace("--data rows", "--data korean"), &["data", "began with"]);
}

#[test]
fn a_damaged_checkpoint_is_named_with_the_way_out() {
    let place = Workplace::with_rows();
    place.done(TRAIN);
    let weights = "run/checkpoints/step-000002/model.safetensors";
    let mut bytes = place.read(weights);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    place.write(weights, bytes);
    let resume = format!("{TRAIN} --resume").replace("--steps 2", "--steps 4");
    refuses(&place, &resume, &[weights, "damaged", "remove"]);
}

#[test]
fn values_that_no_run_can_have_are_refused_by_name() {
    let place = Workplace::with_rows();
    for (from, to, named) in [
        ("--lr 1e-2", "--lr 0", "learning_rate"),
        ("--lr 1e-2", "--lr nan", "learning_rate"),
        ("--steps 2", "--steps 0", "steps"),
        ("--batch-size 2", "--batch-size 0", "batch_size"),
        ("--lr 1e-2", "--lr 1e-2 --warmup-steps 3", "warmup_steps"),
        ("--lr 1e-2", "--lr 1e-2 --beta2 1", "beta2"),
    ] {
        refuses_usage(&place, &TRAIN.replace(from, to), &[named]);
    }
    refuses(&place, &format!("{TRAIN} --train-only new-rows"), &["base_vocab_size"]);
}

#[test]
fn a_recipe_is_refused_by_file_and_field() {
    let place = Workplace::new();
    place.write("sample.json", include_str!("../../assets/sample/config.json"));
    let good = include_str!("../../recipes/quickstart.toml")
        .replace("../assets/sample/config.json", "sample.json");
    for (from, to, named) in [
        ("[model]", "[model]\ncolour = 1", "colour"),
        ("warmup_steps", "warmupsteps", "warmupsteps"),
        ("vocab_size = 1024", "", "vocab_size"),
        ("steps = 120", "steps = \"many\"", "steps"),
        ("name = \"quickstart\"", "name = ", "line"),
        ("script = \"Hangul\"", "script = \"Hangul", "line"),
        ("script = \"Hangul\"", "script = \"Klingon\"", "Klingon"),
        ("vocab_size = 3072", "vocab_size = 9000000000000000000", "vocab_size"),
        ("sequence_length = 256", "sequence_length = 100000", "256 positions"),
        ("max_new_tokens = 40", "max_new_tokens = 600", "max_new_tokens"),
        ("max_new_tokens = 40", "max_new_tokens = 40\ntasks = [\"nope\"]", "nope"),
    ] {
        assert!(good.contains(from), "{from}");
        place.write("bad.toml", good.replacen(from, to, 1));
        refuses(&place, "run bad.toml --check", &["bad.toml", named]);
        refuses(&place, "run bad.toml --out new", &["bad.toml", named]);
    }
    refuses(&place, "run nowhere.toml", &["nowhere.toml"]);
}

#[test]
fn a_stage_that_is_not_there_is_answered_with_those_that_are() {
    let place = Workplace::new();
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/quickstart.toml");
    for flag in ["--from", "--to"] {
        let answer =
            place.shell(&format!("exec \"$KOLLAMA\" run '{recipe}' --out new {flag} training"));
        assert_is_a_refusal(&answer, 2, &["training", "base-tokenizer", "comparison"]);
    }
    let backwards = format!("'{recipe}' --out new --from train --to base-tokenizer");
    let answer = place.shell(&format!("exec \"$KOLLAMA\" run {backwards}"));
    assert_is_a_refusal(&answer, 2, &["--from train", "--to base-tokenizer"]);
    assert!(!place.path("new").exists());
}

#[test]
fn a_run_touches_no_folder_that_it_has_not_made() {
    let place = Workplace::new();
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/quickstart.toml");
    std::fs::create_dir_all(place.path("mine/base-tokenizer")).unwrap();
    place.write("mine/base-tokenizer/precious", "1");
    for scope in ["--to base-tokenizer", "--from base-tokenizer --to base-tokenizer"] {
        let answer = place.shell(&format!("exec \"$KOLLAMA\" run '{recipe}' --out mine {scope}"));
        assert_is_a_refusal(&answer, 1, &["mine/base-tokenizer", "not empty"]);
        assert_eq!(place.read("mine/base-tokenizer/precious"), b"1");
    }
}

#[test]
fn a_training_is_not_given_up_because_a_recipe_has_changed() {
    let place = Workplace::new();
    place.done("quickstart --out first --minutes 0.008");
    let recipe = "first/sample/recipes/quickstart.toml";
    let text = String::from_utf8(place.read(recipe)).unwrap();
    place.write(recipe, text.replace("steps = 120", "steps = 21"));
    let trained = place.read("first/base/model.safetensors");
    let answer = place.run(&format!("run {recipe} --out first --to base"));
    assert_is_a_refusal(&answer, 1, &["first/base", "--from base"]);
    assert_eq!(place.read("first/base/model.safetensors"), trained);
    place.done(&format!("run {recipe} --out first --from base --to base"));
    assert_ne!(place.read("first/base/model.safetensors"), trained);
}
