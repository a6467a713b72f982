//! Tasks to the score of their group (`kobest`, `mmlu`), averaged as the references do it.

use crate::metrics::Measured;

/// How a group weighs its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// By their documents: lm-evaluation-harness 0.4.
    BySize,
    /// All alike: the average that the Open LLM Leaderboard showed.
    Plain,
}

/// What the first metric of `tasks` comes to over the group; each is a measurement with the
/// documents behind it. The error is known where that of every task is.
///
/// # Panics
/// If there is no task.
pub fn aggregate(tasks: &[(Measured, usize)], weights: Weights) -> Measured {
    let weight = |documents: usize| match weights {
        Weights::BySize => documents as f64,
        Weights::Plain => 1.0,
    };
    let total: f64 = tasks.iter().map(|&(_, documents)| weight(documents)).sum();
    let sum: f64 = tasks.iter().map(|(task, documents)| task.value * weight(*documents)).sum();
    let errors: Option<Vec<f64>> = tasks.iter().map(|(task, _)| task.standard_error).collect();
    let sizes: Vec<f64> = tasks.iter().map(|&(_, documents)| documents as f64).collect();
    Measured {
        metric: tasks[0].0.metric,
        value: sum / total,
        standard_error: errors.map(|errors| match weights {
            Weights::BySize => pooled(&errors, &sizes),
            Weights::Plain => error_of_plain_mean(&errors),
        }),
    }
}

/// As if all documents were one sample (pooled variance).
fn pooled(errors: &[f64], sizes: &[f64]) -> f64 {
    let all: f64 = sizes.iter().sum();
    let squares = errors.iter().zip(sizes);
    let squares: f64 = squares.map(|(error, size)| (size - 1.0) * error.powi(2) * size).sum();
    (squares / (all - sizes.len() as f64) / all).sqrt()
}

fn error_of_plain_mean(errors: &[f64]) -> f64 {
    errors.iter().map(|error| error.powi(2)).sum::<f64>().sqrt() / errors.len() as f64
}
