//! Twenty steps follow PyTorch's loss and gradient norm in f64, in every way of training there is.
//! The goldens, and the weights and rows that belong to them, are made by tools/training_goldens.py.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod workshop;

use kollama_kernels::Device;
use kollama_llama::LlamaConfig;
use kollama_trainer::Trainer;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs;
use workshop::{Workshop, goldens};

const LOSS_TOLERANCE: f64 = 2e-6;
const NORM_TOLERANCE: f64 = 2e-5;

/// bf16 keeps eight bits of a number, so a loss of 4 made of some hundred logits is off by a few
/// thousandths; what is rounded wrong, or not summed in f32, is soon off by a tenth.
const BF16_LOSS_TOLERANCE: f64 = 5e-3;
const BF16_NORM_TOLERANCE: f64 = 3e-2;

#[derive(Deserialize)]
struct Golden {
    model: Value,
    seed: u64,
    settings: Map<String, Value>,
    /// Of the input embedding.
    first_weights: Vec<f32>,
    loss: Vec<f64>,
    grad_norm: Vec<f64>,
    gap_of_torch_f32: Gap,
}

#[derive(Deserialize, Debug, Default)]
struct Gap {
    loss: f64,
    grad_norm: f64,
}

/// Largest relative distance of a run from its golden.
fn gap_of(name: &str, further: &str) -> (Gap, Golden) {
    let text = fs::read(goldens().join(format!("{name}.json"))).unwrap();
    let golden: Golden = serde_json::from_slice(&text).unwrap();
    let config = config(&golden.model);
    let rows = goldens().join(format!("{name}.jsonl"));
    let workshop = Workshop::new(&config, golden.seed, &rows);
    let fields: String =
        golden.settings.iter().map(|(name, x)| format!("{name} = {x}\n")).collect();
    let settings = workshop.settings("out", &format!("{fields}{further}"));
    let mut trainer = Trainer::start(settings, &Device::cpu(2).unwrap(), None).unwrap();
    let mut weights = Vec::new();
    let (_, first) = trainer.master().weights()[0];
    first
        .for_each_part(|_, rows| {
            weights.extend(rows.to_vec());
            Ok(())
        })
        .unwrap();
    let same = golden.first_weights.iter().zip(weights).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(same, "{name} begins with other weights: run tools/training_goldens.py again");
    let mut gap = Gap::default();
    for (loss, grad_norm) in golden.loss.iter().zip(&golden.grad_norm) {
        let record = trainer.step().unwrap();
        gap.loss = gap.loss.max((record.loss - loss).abs() / loss);
        gap.grad_norm = gap.grad_norm.max((record.grad_norm - grad_norm).abs() / grad_norm);
    }
    (gap, golden)
}

fn config(fields: &Value) -> LlamaConfig {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, fields.to_string()).unwrap();
    LlamaConfig::from_file(&path).unwrap()
}

fn follows(name: &str) {
    let (gap, golden) = gap_of(name, "");
    println!("{name}: {gap:?}; torch in f32 {:?}", golden.gap_of_torch_f32);
    assert_eq!(golden.loss.len(), 20, "{name}");
    assert!(gap.loss < LOSS_TOLERANCE, "{name}: {gap:?}");
    assert!(gap.grad_norm < NORM_TOLERANCE, "{name}: {gap:?}");
}

#[test]
fn a_constant_learning_rate_follows() {
    follows("constant");
}

#[test]
fn warm_up_cosine_clipping_and_grouped_queries_follow() {
    follows("warmup_cosine_clip");
}

#[test]
fn micro_batches_with_unequal_numbers_of_counted_labels_follow() {
    follows("accumulation");
}

#[test]
fn documents_that_do_not_see_each_other_follow() {
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
fn the_korean_vocabulary_with_grouped_queries_and_a_linear_schedule_follows() {
    follows("korean_vocabulary");
}

#[test]
fn activations_computed_again_follow_too() {
    let (gap, _) = gap_of("documents", "recompute = 'layer'\n");
    assert!(gap.loss < LOSS_TOLERANCE && gap.grad_norm < NORM_TOLERANCE, "{gap:?}");
}

#[test]
fn bf16_follows_as_closely_as_it_can_in_every_way_of_training() {
    for name in
        ["constant", "warmup_cosine_clip", "accumulation", "documents", "new_rows", "embeddings"]
    {
        let (gap, _) = gap_of(name, "dtype = 'bf16'\n");
        println!("{name} in bf16: {gap:?}");
        assert!(gap.loss < BF16_LOSS_TOLERANCE && gap.loss > LOSS_TOLERANCE, "{name}: {gap:?}");
        assert!(gap.grad_norm < BF16_NORM_TOLERANCE, "{name}: {gap:?}");
    }
}
