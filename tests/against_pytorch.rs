//! Through the command line, as a user trains: `corpus pack --ids`, then `train --order sequential
//! --log`. The log follows PyTorch's losses and gradient norms in f64; the goldens are those of the
//! trainer, made by tools/training_goldens.py.

#![allow(clippy::unwrap_used)] // What cannot be prepared has failed its test.

mod program;

use kollama_llama::{LlamaConfig, StoredType, init_checkpoint};
use program::Workplace;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const LOSS_TOLERANCE: f64 = 2e-6;
const NORM_TOLERANCE: f64 = 2e-5;
/// As the trainer's test has them, which says why.
const BF16_TOLERANCES: (f64, f64) = (5e-3, 3e-2);

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/trainer/tests/goldens").join(name)
}

/// The settings of a golden as flags; a recipe's `learning_rate` is `--lr` here.
fn flags(settings: &Value) -> String {
    let flag = |(name, value): (&String, &Value)| {
        let name = if name == "learning_rate" { "lr".to_owned() } else { name.replace('_', "-") };
        format!(" --{name} {}", value.to_string().trim_matches('"'))
    };
    settings.as_object().unwrap().iter().map(flag).collect()
}

fn follows(name: &str) {
    follows_within(name, "", (LOSS_TOLERANCE, NORM_TOLERANCE));
}

fn follows_within(name: &str, further: &str, tolerances: (f64, f64)) {
    let golden_file = fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
    let expected: Value = serde_json::from_str(&golden_file).unwrap();
    let place = Workplace::new();
    place.write("golden.json", expected["model"].to_string());
    let config = LlamaConfig::from_file(&place.path("golden.json")).unwrap();
    let seed = expected["seed"].as_u64().unwrap();
    init_checkpoint(&config, seed, StoredType::F32, &place.path("start"), &mut |_, _| ()).unwrap();
    place.write("rows.jsonl", fs::read(golden(&format!("{name}.jsonl"))).unwrap());
    let vocab_size = config.vocab_size;
    place.done(&format!("corpus pack --ids rows.jsonl --vocab-size {vocab_size} --out packed"));
    let flags = flags(&expected["settings"]);
    place.done(&format!(
        "train --model start --data packed --out run --log log.jsonl{flags}{further}"
    ));

    let log = String::from_utf8(place.read("log.jsonl")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 20);
    for (field, tolerance) in [("loss", tolerances.0), ("grad_norm", tolerances.1)] {
        let golden = expected[field].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
        let ours = lines.iter().map(|line| line[field].as_f64().unwrap());
        let gap = golden.zip(ours).map(|(golden, ours)| (ours - golden).abs() / golden);
        let worst = gap.fold(0.0, f64::max);
        println!("{name}: {field} at most {worst:.1e} from PyTorch in f64");
        assert!(worst < tolerance, "{name}: {field} is {worst:.1e} away");
    }
}

#[test]
fn a_constant_learning_rate_follows() {
    follows("constant");
}

#[test]
fn warm_up_cosine_and_clipping_follow() {
    follows("warmup_cosine_clip");
}

#[test]
fn accumulation_with_unequal_numbers_of_labels_follows() {
    follows("accumulation");
}

#[test]
fn packed_documents_follow() {
    follows("documents");
}

#[test]
fn training_only_new_rows_follows() {
    follows("new_rows");
}

#[test]
fn training_only_the_embeddings_follows() {
    follows("embeddings");
}

#[test]
fn the_korean_vocabulary_with_grouped_queries_follows() {
    follows("korean_vocabulary");
}

#[test]
fn bf16_follows_as_closely_as_it_can() {
    follows_within("warmup_cosine_clip", " --dtype bf16", BF16_TOLERANCES);
}
