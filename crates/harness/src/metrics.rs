//! Predictions to numbers, and how sure those numbers are. Knows labels, not texts or models.

use crate::python_random::PythonRandom;

/// What a task is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The share of right predictions.
    Accuracy,
    /// F1 of each label, averaged over all labels that were right or predicted somewhere.
    MacroF1,
}

/// One document: which choice was right and which one the model found likeliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Index of the right choice.
    pub gold: usize,
    /// Index of the predicted choice.
    pub predicted: usize,
}

/// A metric over all documents of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Which metric.
    pub metric: Metric,
    /// Its value, 0 to 1.
    pub value: f64,
    /// Its standard error; none where one document does not tell.
    pub standard_error: Option<f64>,
}

impl Metric {
    /// The name in result files.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "acc",
            Metric::MacroF1 => "macro_f1",
        }
    }

    /// Value and standard error; `bootstrap_iterations` serve the metrics that are no plain mean.
    pub fn measure(self, outcomes: &[Outcome], bootstrap_iterations: usize) -> Measured {
        let (value, standard_error) = match self {
            Metric::Accuracy => {
                let hits: Vec<f64> = outcomes.iter().map(hit).collect();
                (mean(&hits), standard_error_of_the_mean(&hits))
            }
            Metric::MacroF1 => {
                (macro_f1(outcomes), bootstrap_of_macro_f1(outcomes, bootstrap_iterations))
            }
        };
        Measured { metric: self, value, standard_error }
    }
}

/// The index of the greatest number, the first among equals.
///
/// # Panics
/// If there is none.
pub fn first_maximum(numbers: &[f64]) -> usize {
    let later_wins = |best, next| {
        if numbers[next] > numbers[best] { next } else { best }
    };
    (0..numbers.len()).reduce(later_wins).expect("a document has at least one choice")
}

/// F1 = 2 TP / (2 TP + FP + FN) of each label that occurs, then the plain mean.
pub fn macro_f1(outcomes: &[Outcome]) -> f64 {
    let labels = labels_of(outcomes);
    let mut confusion = vec![0; labels * labels];
    for cell in cells(outcomes, labels) {
        confusion[cell] += 1;
    }
    macro_f1_of_counts(&confusion, labels)
}

/// Sample deviation / √n; none below two values.
pub fn standard_error_of_the_mean(values: &[f64]) -> Option<f64> {
    Some(sample_deviation(values)? / (values.len() as f64).sqrt())
}

/// The deviation of macro F1 over resampled documents (Efron 1979), draw for draw as
/// lm-evaluation-harness does it: chunks of 1000 resamples, chunk `i` drawn by `Random(i)`.
///
/// Drawing is all that takes time: a resample is a small table of counts, never a list of
/// documents, and 100,000 resamples of 1,000 documents are a matter of a second.
pub fn bootstrap_of_macro_f1(outcomes: &[Outcome], iterations: usize) -> Option<f64> {
    if outcomes.len() < 2 || iterations < 2 {
        return None;
    }
    let labels = labels_of(outcomes);
    let cells: Vec<usize> = cells(outcomes, labels).collect();
    let chunk = iterations.min(1000);
    let mut values = Vec::with_capacity(iterations);
    for seed in 0..iterations / chunk {
        let mut random = PythonRandom::new(seed as u64);
        values.extend((0..chunk).map(|_| resampled_macro_f1(&cells, labels, &mut random)));
    }
    sample_deviation(&values)
}

fn resampled_macro_f1(cells: &[usize], labels: usize, random: &mut PythonRandom) -> f64 {
    let mut confusion = vec![0; labels * labels];
    for _ in cells {
        confusion[cells[random.choice(cells.len())]] += 1;
    }
    macro_f1_of_counts(&confusion, labels)
}

/// `confusion[gold * labels + predicted]`; a label in neither row nor column takes no part.
fn macro_f1_of_counts(confusion: &[u32], labels: usize) -> f64 {
    let mut sum = 0.0;
    let mut present = 0;
    for label in 0..labels {
        let gold: u32 = confusion[label * labels..(label + 1) * labels].iter().sum();
        let predicted: u32 = confusion[label..].iter().step_by(labels).sum();
        if gold + predicted > 0 {
            let hits = confusion[label * labels + label];
            sum += f64::from(2 * hits) / f64::from(gold + predicted);
            present += 1;
        }
    }
    sum / f64::from(present)
}

fn labels_of(outcomes: &[Outcome]) -> usize {
    outcomes.iter().map(|o| o.gold.max(o.predicted) + 1).max().unwrap_or(0)
}

fn cells(outcomes: &[Outcome], labels: usize) -> impl Iterator<Item = usize> {
    outcomes.iter().map(move |outcome| outcome.gold * labels + outcome.predicted)
}

fn hit(outcome: &Outcome) -> f64 {
    f64::from(u8::from(outcome.gold == outcome.predicted))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn sample_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(gold: &[usize], predicted: &[usize]) -> Vec<Outcome> {
        let pairs = gold.iter().zip(predicted);
        pairs.map(|(&gold, &predicted)| Outcome { gold, predicted }).collect()
    }

    fn ten() -> Vec<Outcome> {
        outcomes(&[0, 1, 1, 0, 1, 0, 0, 1, 1, 1], &[0, 1, 0, 0, 1, 1, 0, 1, 1, 0])
    }

    #[test]
    fn the_first_of_equal_choices_wins() {
        assert_eq!(first_maximum(&[-3.0, -1.0, -1.0]), 1);
        assert_eq!(first_maximum(&[-2.0]), 0);
    }

    #[test]
    fn macro_f1_agrees_with_a_count_by_hand() {
        // Label 0: TP 3, FP 2, FN 1 = 6/9. Label 1: TP 4, FP 1, FN 2 = 8/11.
        assert!((macro_f1(&ten()) - (6.0 / 9.0 + 8.0 / 11.0) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn a_label_that_was_only_predicted_counts_and_one_that_never_occurs_does_not() {
        // Label 0: TP 1, FN 1 = 2/3. Label 2: TP 1, FP 0, FN 0 = 1. Label 3: FP 1 = 0. Label 1: -.
        let value = macro_f1(&outcomes(&[0, 0, 2], &[0, 3, 2]));
        assert!((value - (2.0 / 3.0 + 1.0 + 0.0) / 3.0).abs() < 1e-15, "{value}");
    }

    #[test]
    fn always_no_on_boolq_gives_the_published_numbers() {
        let gold: Vec<usize> = (0..1404).map(|row| usize::from(row >= 699)).collect();
        let value = macro_f1(&outcomes(&gold, &[0; 1404]));
        assert_eq!(format!("{value:.4}"), "0.3324");
    }

    #[test]
    fn the_standard_error_of_accuracy_is_the_one_published_beside_it() {
        // 793 of 1000, as the 40B-token Llama-2-Ko has on COPA at 5 shots.
        let gold = vec![1; 1000];
        let predicted: Vec<usize> = (0..1000).map(|row| usize::from(row < 793)).collect();
        let measured = Metric::Accuracy.measure(&outcomes(&gold, &predicted), 0);
        assert_eq!(measured.value, 0.793);
        assert!((measured.standard_error.unwrap() - 0.012818553557843983).abs() < 1e-15);
    }

    #[test]
    fn resamples_are_drawn_as_python_draws_them() {
        // Golden values: CPython 3.11.7, `Random(i).choices(documents, k=10)`, the metric by hand.
        for (iterations, expected) in
            [(100, 0.1591893849424086), (1000, 0.15757090508704052), (2500, 0.15835995949027853)]
        {
            let error = bootstrap_of_macro_f1(&ten(), iterations).unwrap();
            assert!((error - expected).abs() < 1e-13, "{iterations}: {error}");
        }
    }

    #[test]
    fn one_document_has_no_standard_error() {
        let measured = Metric::MacroF1.measure(&outcomes(&[1], &[1]), 1000);
        assert_eq!((measured.value, measured.standard_error), (1.0, None));
    }
}
