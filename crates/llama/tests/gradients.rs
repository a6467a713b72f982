//! Gradients of the whole model: against finite differences, with and without recomputation, with
//! one thread and with two, in f32 and in bf16.

// Helpers of tests are tests, but the lint only knows functions marked as such.
#![allow(clippy::unwrap_used)]

mod golden_model;

use kollama_kernels::ops::Before;
use kollama_kernels::{DType, Device, Spans};
use kollama_llama::{
    Llama, LlamaConfig, Parameters, Recompute, StoredType, Tape, TrainBatch, init_checkpoint,
};

fn model(case: &str, device: &Device) -> Llama {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    golden_model::write(case, &path).unwrap();
    Llama::open(&path, device).unwrap()
}

/// The model with its matrices rounded to bf16.
fn rounded(model: &Llama) -> Llama {
    let (config, device) = (model.config.clone(), model.device.clone());
    let mut parameters = Parameters::zeros(&config, &device, DType::Bf16).unwrap();
    for ((_, rounded), (_, x)) in parameters.named_mut().into_iter().zip(model.parameters.named()) {
        rounded.write_rows(0, &x.to_vec());
    }
    Llama { config, parameters, device }
}

fn batch() -> TrainBatch {
    let ids: Vec<u32> = (0..21u32).map(|t| (t * t * 3 + 2) % 61).collect();
    let mut labels: Vec<i32> = ids.iter().skip(1).map(|&id| id as i32).chain([7]).collect();
    labels[4] = -100;
    TrainBatch { ids, labels, spans: Spans::of_lengths([5, 16]) }
}

/// Loss and the values of all gradients, by name.
fn run(model: &Llama, recompute: Recompute) -> (f64, Vec<(String, Vec<f32>)>) {
    let dtype = model.parameters.head().dtype();
    let mut tape = Tape::new(&model.config, &model.device, 32, recompute, dtype).unwrap();
    let mut gradients = Parameters::zeros(&model.config, &model.device, DType::F32).unwrap();
    // Twice into the same memory: what a first batch leaves must not be seen by the next.
    let mut step =
        || model.loss_and_gradients(&batch(), 1.0, &mut tape, &mut gradients, Before::Nothing);
    step();
    let loss = step();
    let named = gradients.named();
    (loss, named.into_iter().map(|(name, matrix)| (name, matrix.to_vec())).collect())
}

#[test]
fn a_step_along_the_gradient_changes_the_loss_by_its_norm() {
    for case in ["grouped", "tied"] {
        let mut model = model(case, &Device::reference());
        let mut tape =
            Tape::new(&model.config, &model.device, 32, Recompute::Layer, DType::F32).unwrap();
        let (_, gradients) = run(&model, Recompute::None);
        for (place, (name, gradient)) in gradients.iter().enumerate() {
            let norm = gradient.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let before = model.parameters.named()[place].1.to_vec();
            let mut loss_at = |step: f64| {
                let along = gradient.iter().map(|&x| (step * f64::from(x) / norm) as f32);
                let values: Vec<f32> = before.iter().zip(along).map(|(x, by)| x + by).collect();
                model.parameters.named_mut()[place].1.write_rows(0, &values);
                model.loss(&batch(), &mut tape)
            };
            // Fourth order; large enough for a change that f32 shows, small beside the curvature.
            let step = (0.05 / norm).min(2e-3);
            let near = loss_at(step) - loss_at(-step);
            let far = loss_at(2.0 * step) - loss_at(-2.0 * step);
            let slope = (8.0 * near - far) / (12.0 * step);
            loss_at(0.0);
            let apart = (slope / norm - 1.0).abs();
            assert!(apart < 2e-3, "{case}: {name}: slope {slope}, norm {norm}, {apart:e} apart");
        }
    }
}

#[test]
fn recomputing_layers_gives_the_same_bits() {
    for device in [Device::reference(), Device::cpu(2).unwrap()] {
        let model = model("grouped", &device);
        for model in [rounded(&model), model] {
            assert_eq!(run(&model, Recompute::Layer), run(&model, Recompute::None), "{device:?}");
        }
    }
}

#[test]
fn recomputing_layers_needs_less_memory() {
    let model = model("grouped", &Device::reference());
    let bytes = |recompute| {
        Tape::new(&model.config, &model.device, 512, recompute, DType::F32).unwrap().bytes()
    };
    assert!(bytes(Recompute::Layer) < bytes(Recompute::None));
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    let on = |threads| {
        let model = model("grouped", &Device::cpu(threads).unwrap());
        [rounded(&model), model].map(|model| run(&model, Recompute::None))
    };
    assert_eq!(on(1), on(2));
}

/// bf16 rounds by up to 2⁻⁹ of a number; a dozen roundings on the way to a gradient, most of them
/// apart from each other, are some 2⁻⁷ of it.
const BF16_TOLERANCE: f64 = 0.03;

/// Length of the difference of two gradients, as a share of the first.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    (difference / a.iter().map(|&a| square(a)).sum::<f64>()).sqrt()
}

/// Weights as small as those of a model that learns: larger ones make attention so sharp that a
/// rounding moves it.
fn gentle_model(tied: bool, device: &Device) -> Llama {
    let tiny = LlamaConfig::preset("tiny").unwrap();
    let config = LlamaConfig { initializer_range: 0.05, tie_word_embeddings: tied, ..tiny };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    init_checkpoint(&config, 1, StoredType::F32, &path, &mut |_, _| {}).unwrap();
    Llama::open(&path, device).unwrap()
}

#[test]
fn gradients_in_bf16_are_those_in_f32_but_for_rounding() {
    let devices = [Device::reference(), Device::cpu(2).unwrap()];
    for (device, tied) in devices.iter().flat_map(|device| [(device, false), (device, true)]) {
        let model = gentle_model(tied, device);
        let (loss, gradients) = run(&model, Recompute::None);
        let (rounded_loss, rounded) = run(&rounded(&model), Recompute::None);
        assert!((rounded_loss / loss - 1.0).abs() < 1e-3, "{device:?}: {rounded_loss}, {loss}");
        for ((name, gradient), (_, rounded)) in gradients.iter().zip(&rounded) {
            let apart = apart(gradient, rounded);
            println!("{name} on {device:?}: {apart:.4}");
            assert!(apart < BF16_TOLERANCE, "{name} on {device:?}: {apart}");
            assert!(apart > 1e-4, "{name} on {device:?}: nothing was rounded");
        }
    }
}
