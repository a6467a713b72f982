//! What is not to be trained stays bit for bit, and what is to be trained moves.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod workshop;

use kollama_kernels::Device;
use kollama_llama::{Llama, LlamaConfig};
use kollama_trainer::{RunEnd, TrainError, TrainSettings, Trainer, run};
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use workshop::{Workshop, goldens};

const BASE: usize = 64;
const FIELDS: &str = "steps = 3\nbatch_size = 2\nsequence_length = 32\nlearning_rate = 1e-2\n\
                      weight_decay = 0.1\n";

fn workshop() -> Workshop {
    let tiny = LlamaConfig::preset("tiny").unwrap();
    let config = LlamaConfig { vocab_size: 96, ..tiny };
    Workshop::new(&config, 3, &goldens().join("constant.jsonl"))
}

/// Rows of a tensor that differ between two model folders, by name.
fn moved(before: &Path, after: &Path) -> Vec<(String, Vec<usize>)> {
    let device = Device::cpu(1).unwrap();
    let (before, after) =
        (Llama::open(before, &device).unwrap(), Llama::open(after, &device).unwrap());
    let pairs = before.parameters.named().into_iter().zip(after.parameters.named());
    pairs
        .map(|((name, before), (_, after))| {
            let (columns, before, after) = (before.columns(), before.to_vec(), after.to_vec());
            let rows = before.chunks(columns).zip(after.chunks(columns)).enumerate();
            (name, rows.filter(|(_, (b, a))| b != a).map(|(row, _)| row).collect())
        })
        .collect()
}

fn train(workshop: &Workshop, settings: TrainSettings) -> Vec<(String, Vec<usize>)> {
    let out = settings.out.clone();
    let mut trainer = Trainer::start(settings, &Device::cpu(2).unwrap(), None).unwrap();
    let end = run(&mut trainer, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    assert!(matches!(end, RunEnd::Finished { .. }));
    moved(&workshop.path("model"), &out)
}

#[test]
fn only_new_rows_move_when_only_they_are_trained() {
    let workshop = workshop();
    let config = workshop.path("model").join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replacen('{', &format!("{{\"kollama_base_vocab_size\": {BASE},"), 1);
    fs::write(&config, text).unwrap();
    let settings = workshop.settings("out", &format!("{FIELDS}train_only = 'new-rows'\n"));
    for (name, rows) in train(&workshop, settings) {
        match name.as_str() {
            "lm_head.weight" => assert_eq!(rows, Vec::from_iter(BASE..96), "{name}"),
            "model.embed_tokens.weight" => {
                assert!(!rows.is_empty() && rows.iter().all(|&row| row >= BASE), "{name} {rows:?}");
            }
            _ => assert!(rows.is_empty(), "{name} {rows:?}"),
        }
    }
}

#[test]
fn inner_weights_stay_when_only_embeddings_are_trained() {
    let workshop = workshop();
    let settings = workshop.settings("out", &format!("{FIELDS}train_only = 'embeddings'\n"));
    for (name, rows) in train(&workshop, settings) {
        let whole = name == "lm_head.weight" || name == "model.embed_tokens.weight";
        assert_eq!(rows, Vec::from_iter(0..if whole { 96 } else { 0 }), "{name}");
    }
}

#[test]
fn every_row_moves_when_all_is_trained() {
    let workshop = workshop();
    for (name, rows) in train(&workshop, workshop.settings("out", FIELDS)) {
        assert!(!rows.is_empty(), "{name}");
    }
}

#[test]
fn new_rows_that_nobody_knows_the_beginning_of_are_refused() {
    let workshop = workshop();
    let start = |fields: &str| {
        let settings =
            workshop.settings("out", &format!("{FIELDS}train_only = 'new-rows'\n{fields}"));
        Trainer::start(settings, &Device::cpu(1).unwrap(), None).err().unwrap()
    };
    let error = start("");
    assert!(matches!(error, TrainError::BaseVocabularyUnknown { .. }), "{error}");
    let error = start("base_vocab_size = 96\n");
    assert!(matches!(error, TrainError::NoNewRows { base: 96, vocab_size: 96 }), "{error}");
}
