//! Standard errors and group scores against lm-evaluation-harness on CPython
//! (`tools/bootstrap_goldens.py`), to 1e-9.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

use kollama_harness::groups::{self, Weights};
use kollama_harness::metrics::{Measured, Metric, Outcome, measure};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

fn golden() -> Value {
    serde_json::from_str(include_str!("goldens/bootstrap.json")).unwrap()
}

fn count(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The labels that the script draws, and again as the prediction per character.
fn outcomes(documents: usize, labels: usize, right: usize) -> Vec<Outcome> {
    let mut state = documents as u64;
    let mut draw = |bound: usize| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        (state >> 16) as usize % bound
    };
    let outcome = |_| {
        let (gold, other) = (draw(labels), draw(labels));
        let predicted = if draw(100) < right { gold } else { other };
        Outcome::Chosen { gold, predicted, predicted_normalised: predicted }
    };
    (0..documents).map(outcome).collect()
}

fn assert_equal(what: &str, ours: f64, theirs: &Value) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() < TOLERANCE, "{what}: {ours}, the reference has {theirs}");
}

#[test]
fn standard_errors_are_those_of_the_reference() {
    for task in golden()["tasks"].as_array().unwrap() {
        let documents = count(&task["documents"]);
        let outcomes = outcomes(documents, count(&task["labels"]), count(&task["right"]));
        let metrics = [Metric::Accuracy, Metric::MacroF1, Metric::MacroF1Normalised];
        let measured = measure(&metrics, &outcomes, count(&task["resamples"]));
        for (measured, name) in measured.iter().zip(["acc", "macro_f1", "macro_f1"]) {
            let what = format!("{} of {documents}", measured.metric.name());
            assert_equal(&what, measured.value, &task[name]);
            let error = measured.standard_error.unwrap();
            assert_equal(&format!("error of {what}"), error, &task[format!("{name}_stderr")]);
        }
    }
}

#[test]
fn groups_are_averaged_as_the_reference_averages_them() {
    let golden = &golden()["groups"];
    let (values, errors) = (numbers(&golden["values"]), numbers(&golden["errors"]));
    let measured = values.iter().zip(&errors).map(|(&value, &error)| Measured {
        metric: Metric::Accuracy,
        value,
        standard_error: Some(error),
    });
    let sizes = golden["sizes"].as_array().unwrap().iter().map(count);
    let tasks: Vec<(Measured, usize)> = measured.zip(sizes).collect();
    for (weights, name) in [(Weights::BySize, "by_size"), (Weights::Plain, "plain")] {
        let group = groups::aggregate(&tasks, weights);
        assert_equal(name, group.value, &golden[name]);
        let error = group.standard_error.unwrap();
        assert_equal(&format!("error {name}"), error, &golden[format!("stderr_{name}")]);
    }
}
