//! Logits, loss and gradients equal those of transformers: stored goldens of tiny random models
//! (`tools/llama_goldens.py`), and a real tiny model where the test data lies.

// Helpers of tests are tests, but the lint only knows functions marked as such.
#![allow(clippy::unwrap_used)]

mod golden_model;
mod real_model;

use kollama_kernels::ops::{Before, NOT_COUNTED};
use kollama_kernels::{DType, Device, Matrix, Span, Spans};
use kollama_llama::{Batch, KvCache, Llama, Parameters, Recompute, StoredType, Tape, TrainBatch};
use real_model::stories;
use serde_json::Value;
use std::path::Path;

const CASES: [&str; 3] = ["grouped", "tied", "packed"];

fn devices() -> Vec<Device> {
    vec![Device::reference(), Device::cpu(1).unwrap(), Device::cpu(2).unwrap()]
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn golden(case: &str) -> Value {
    json(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/goldens/{case}.json")))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

fn batch_of(golden: &Value) -> TrainBatch {
    let labels = numbers(&golden["labels"]).into_iter().map(|label| label as i32).collect();
    let lengths = ids(&golden["lengths"]).into_iter().map(|length| length as usize);
    TrainBatch { ids: ids(&golden["ids"]), labels, spans: Spans::of_lengths(lengths) }
}

fn with_model(case: &str, device: &Device, test: impl FnOnce(&Llama)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    golden_model::write(case, &path).unwrap();
    test(&Llama::open(&path, device).unwrap());
}

/// The logits of the rows of a batch, read in one call.
fn logits_of(model: &Llama, ids: &[u32], spans: &Spans) -> Vec<f32> {
    let mut cache = KvCache::new(&model.config, &model.device, ids.len()).unwrap();
    let wanted = (0..ids.len() as u32).collect();
    let batch = Batch { ids: ids.into(), spans: spans.clone(), wanted };
    logits_in(model, &batch, &mut cache)
}

fn logits_in(model: &Llama, batch: &Batch, cache: &mut KvCache) -> Vec<f32> {
    let (rows, columns) = (batch.wanted.len(), model.config.vocab_size);
    let mut logits = Matrix::zeros(&model.device, rows, columns, DType::F32).unwrap();
    model.forward(batch, cache, &mut logits);
    logits.to_vec()
}

fn furthest(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let apart = found.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).abs());
    apart.fold(0.0, f64::max)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64) {
    let apart = (found - expected).abs();
    assert!(apart <= tolerance, "{what}: {found} instead of {expected}, {apart:e} apart");
}

#[test]
fn logits_equal_those_of_transformers() {
    for (case, device) in
        CASES.iter().flat_map(|case| devices().into_iter().map(move |d| (case, d)))
    {
        let golden = golden(case);
        let batch = batch_of(&golden);
        let expected: Vec<f64> =
            golden["logits"].as_array().unwrap().iter().flat_map(numbers).collect();
        with_model(case, &device, |model| {
            let apart = furthest(&logits_of(model, &batch.ids, &batch.spans), &expected);
            println!("{case} on {device:?}: logits {apart:e} apart, up to {}", largest(&expected));
            assert!(apart <= 1e-4 * largest(&expected), "{case} on {device:?}: {apart:e} apart");
        });
    }
}

#[test]
fn loss_and_gradients_equal_those_of_transformers() {
    for (case, device) in
        CASES.iter().flat_map(|case| devices().into_iter().map(move |d| (case, d)))
    {
        let golden = golden(case);
        with_model(case, &device, |model| compare_gradients(case, &golden, model));
    }
}

fn compare_gradients(case: &str, golden: &Value, model: &Llama) {
    let batch = batch_of(golden);
    let mut tape =
        Tape::new(&model.config, &model.device, batch.ids.len(), Recompute::None, DType::F32)
            .unwrap();
    let mut gradients = Parameters::zeros(&model.config, &model.device, DType::F32).unwrap();
    let expected = golden["loss"].as_f64().unwrap();
    let scale = 0.125;
    let loss = model.loss_and_gradients(&batch, scale, &mut tape, &mut gradients, Before::Others);
    assert_near(&format!("{case}: loss"), loss, expected, 1e-6 * expected);
    assert_eq!(model.loss(&batch, &mut tape), loss, "{case}: loss without gradients");
    let named = golden["gradients"].as_object().unwrap();
    assert_eq!(named.len(), gradients.named().len(), "{case}: number of tensors");
    for (name, matrix) in gradients.named() {
        let values: Vec<f64> =
            matrix.to_vec().into_iter().map(|x| f64::from(x) / f64::from(scale)).collect();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let expected = named[&name]["norm"].as_f64().unwrap();
        assert_near(&format!("{case}: norm of {name}"), norm, expected, 1e-4 * expected);
        for (place, value) in named[&name]["values"].as_object().unwrap() {
            let (what, found) =
                (format!("{case}: {name}[{place}]"), values[place.parse::<usize>().unwrap()]);
            // A single value is small where its terms cancel: its size is no measure of the error.
            let size = value.as_f64().unwrap().abs().max(expected / (values.len() as f64).sqrt());
            assert_near(&what, found, value.as_f64().unwrap(), 1e-4 * size);
        }
    }
}

/// Reads `prompt` at once, then goes on with the likeliest token, one at a time.
fn greedy(model: &Llama, prompt: &[u32], length: usize) -> Vec<u32> {
    let mut cache = KvCache::new(&model.config, &model.device, length).unwrap();
    let mut ids = prompt.to_vec();
    let mut read = 0;
    while ids.len() < length {
        let new = ids[read..].to_vec();
        let last = new.len() as u32 - 1;
        let spans = Spans::new(vec![Span { queries: 0..new.len(), keys: 0..ids.len() }]);
        read = ids.len();
        let logits = logits_in(model, &Batch { ids: new, spans, wanted: vec![last] }, &mut cache);
        let likeliest = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        ids.push(likeliest.unwrap() as u32);
    }
    ids
}

#[test]
fn a_real_model_tells_the_documented_story() {
    let Some(folder) = stories() else { return };
    let expected = ids(&json(&folder.join("greedy_from_bos.json"))["ids"]);
    for device in devices() {
        let model = Llama::open(&folder.join("hf"), &device).unwrap();
        assert_eq!(greedy(&model, &expected[..1], expected.len()), expected, "{device:?}");
    }
}

#[test]
fn a_real_model_continues_prompts_and_scores_them_as_transformers_does() {
    let Some(folder) = stories() else { return };
    let expected = json(&folder.join("expected.json"));
    let model = Llama::open(&folder.join("hf"), &Device::cpu(2).unwrap()).unwrap();
    for case in expected["greedy"].as_array().unwrap() {
        let (prompt, all) = (ids(&case["prompt_ids"]), ids(&case["greedy_ids"]));
        assert_eq!(greedy(&model, &prompt, all.len()), all);
        let logits = logits_of(&model, &prompt, &Spans::of_lengths([prompt.len()]));
        let last = &logits[logits.len() - model.config.vocab_size..];
        let apart = furthest(last, &numbers(&case["last_prompt_logits_f32"]));
        println!("last logits {apart:e} apart");
        assert!(apart < 1e-4, "last logits {apart:e} apart");

        let scores = score(&model, &all);
        let sum = |scores: &[(f32, bool)]| -scores.iter().map(|s| f64::from(s.0)).sum::<f64>();
        let (given, continued) = scores.split_at(prompt.len() - 1);
        assert!(continued.iter().all(|score| score.1), "greedy tokens are the likeliest");
        let expected = |field: &str| case[field].as_f64().unwrap();
        assert_near("log p of the prompt", sum(given), expected("prompt_logprob_sum"), 1e-4);
        assert_near("log p of all", sum(&scores), expected("greedy_logprob_sum"), 1e-3);
    }
}

/// −log p of every token but the first.
fn score(model: &Llama, ids: &[u32]) -> Vec<(f32, bool)> {
    let rows = ids.len() - 1;
    let mut cache = KvCache::new(&model.config, &model.device, rows).unwrap();
    let spans = Spans::of_lengths([rows]);
    let batch = Batch { ids: ids[..rows].into(), spans, wanted: (0..rows as u32).collect() };
    let labels: Vec<i32> = ids[1..].iter().map(|&id| id as i32).collect();
    model.score(&batch, &labels, &mut cache)
}

#[test]
fn reading_piece_by_piece_beside_others_gives_the_logits_of_reading_at_once() {
    for device in devices() {
        with_model("grouped", &device, |model| {
            // Longer than the working memory of a cache, so that it is read in several pieces.
            let ids: Vec<u32> = (0..530u32).map(|t| (t * t + 5) % 61).collect();
            let whole = logits_of(model, &ids, &Spans::of_lengths([ids.len()]));
            let mut cache = KvCache::new(&model.config, &device, 1100).unwrap();
            let mut found = Vec::new();
            for (start, end) in [(0, 1), (1, 8), (8, 527), (527, 528), (528, 530)] {
                let new = end - start;
                // Two sequences with the same tokens; the second lies 550 rows further.
                let spans = Spans::new(vec![
                    Span { queries: 0..new, keys: 550..550 + end },
                    Span { queries: new..2 * new, keys: 0..end },
                ]);
                let wanted = (new as u32..2 * new as u32).collect();
                let ids = ids[start..end].repeat(2);
                found.extend(logits_in(model, &Batch { ids, spans, wanted }, &mut cache));
            }
            let whole: Vec<f64> = whole.into_iter().map(f64::from).collect();
            let apart = furthest(&found, &whole);
            assert!(apart <= 1e-5 * largest(&whole), "{device:?}: {apart:e} apart");
        });
    }
}

#[test]
fn scores_are_the_log_softmax_of_the_logits() {
    with_model("tied", &Device::reference(), |model| {
        let ids: Vec<u32> = (0..20u32).map(|t| (t * t + 5) % 61).collect();
        let logits = logits_of(model, &ids[..19], &Spans::of_lengths([19]));
        for (row, (loss, likeliest)) in score(model, &ids).into_iter().enumerate() {
            let logits = &logits[row * 61..][..61];
            let sum = logits.iter().map(|&z| f64::from(z).exp()).sum::<f64>().ln();
            let label = logits[ids[row + 1] as usize];
            assert_near("loss", f64::from(loss), sum - f64::from(label), 1e-5);
            assert_eq!(likeliest, logits.iter().all(|&z| z <= label));
        }
    });
}

#[test]
fn rows_without_a_label_change_neither_loss_nor_gradients() {
    with_model("grouped", &Device::reference(), |model| {
        let run = |ids: Vec<u32>, labels: Vec<i32>| {
            let rows = ids.len();
            let mut tape =
                Tape::new(&model.config, &model.device, 12, Recompute::None, DType::F32).unwrap();
            let mut gradients =
                Parameters::zeros(&model.config, &model.device, DType::F32).unwrap();
            let batch = TrainBatch { ids, labels, spans: Spans::of_lengths([6, rows - 6]) };
            let loss =
                model.loss_and_gradients(&batch, 1.0, &mut tape, &mut gradients, Before::Others);
            (loss, gradients.named().iter().map(|(_, matrix)| matrix.to_vec()).collect::<Vec<_>>())
        };
        let one = run(vec![5, 9, 2, 7, 1, 3, 8], vec![9, 2, 7, 1, 3, NOT_COUNTED, NOT_COUNTED]);
        let other =
            run(vec![5, 9, 2, 7, 1, 3, 4, 4], [vec![9, 2, 7, 1, 3], vec![NOT_COUNTED; 3]].concat());
        assert_eq!(one, other);
    });
}

#[test]
fn weights_kept_in_bf16_give_the_logits_of_the_same_weights_widened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    golden_model::write("grouped", &path).unwrap();
    let rounded = folder.path().join("rounded");
    Llama::open(&path, &Device::reference()).unwrap().save(&rounded, StoredType::Bf16).unwrap();
    let ids: Vec<u32> = (0..9u32).map(|t| (t * t + 5) % 61).collect();
    for device in devices() {
        let logits = |weights| {
            let model = Llama::open_as(&rounded, &device, weights).unwrap();
            logits_of(&model, &ids, &Spans::of_lengths([9]))
        };
        let widened: Vec<f64> = logits(DType::F32).into_iter().map(f64::from).collect();
        let apart = furthest(&logits(DType::Bf16), &widened);
        assert!(apart <= 1e-5 * largest(&widened), "{device:?}: {apart:e} apart");
    }
}
