//! Gradients of the whole model: against finite differences, with and without recomputation, with
//! one thread and with two.

// Helpers of tests are tests, but the lint only knows functions marked as such.
#![allow(clippy::unwrap_used)]

mod golden_model;

use kollama_kernels::{DType, Device, Spans};
use kollama_llama::{Llama, Parameters, Recompute, Tape, TrainBatch};

fn model(case: &str, device: &Device) -> Llama {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    golden_model::write(case, &path).unwrap();
    Llama::open(&path, device).unwrap()
}

fn batch() -> TrainBatch {
    let ids: Vec<u32> = (0..21u32).map(|t| (t * t * 3 + 2) % 61).collect();
    let mut labels: Vec<i32> = ids.iter().skip(1).map(|&id| id as i32).chain([7]).collect();
    labels[4] = -100;
    TrainBatch { ids, labels, spans: Spans::of_lengths([5, 16]) }
}

/// Loss and the values of all gradients, by name.
fn run(model: &Llama, recompute: Recompute) -> (f64, Vec<(String, Vec<f32>)>) {
    let mut tape = Tape::new(&model.config, &model.device, 32, recompute).unwrap();
    let mut gradients = Parameters::zeros(&model.config, &model.device, DType::F32).unwrap();
    // Twice into the same memory: what a first batch leaves must not be seen by the next.
    model.loss_and_gradients(&batch(), 1.0, &mut tape, &mut gradients);
    gradients.clear();
    let loss = model.loss_and_gradients(&batch(), 1.0, &mut tape, &mut gradients);
    let named = gradients.named();
    (loss, named.into_iter().map(|(name, matrix)| (name, matrix.to_vec())).collect())
}

#[test]
fn a_step_along_the_gradient_changes_the_loss_by_its_norm() {
    for case in ["grouped", "tied"] {
        let mut model = model(case, &Device::reference());
        let mut tape = Tape::new(&model.config, &model.device, 32, Recompute::Layer).unwrap();
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
        assert_eq!(run(&model, Recompute::Layer), run(&model, Recompute::None), "{device:?}");
    }
}

#[test]
fn recomputing_layers_needs_less_memory() {
    let model = model("grouped", &Device::reference());
    let bytes =
        |recompute| Tape::new(&model.config, &model.device, 512, recompute).unwrap().bytes();
    assert!(bytes(Recompute::Layer) < bytes(Recompute::None));
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    let on = |threads| run(&model("grouped", &Device::cpu(threads).unwrap()), Recompute::None);
    assert_eq!(on(1), on(2));
}
