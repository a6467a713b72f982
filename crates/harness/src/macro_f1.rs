//! F1 averaged over labels, for both predictions of a task at once: documents are counted by their
//! kind, and everything else is computed from the counts.

use crate::bootstrap::{deviations, resampled};
use std::collections::HashMap;

/// What counts about a document: the right label and two predictions of it, by the likelihood of a
/// choice and by its likelihood per character, or by two models.
type Kind = [usize; 3];

/// The documents of a task, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Every kind that occurs.
    kinds: Vec<Kind>,
    /// Index of the kind of each document, in the order of scoring.
    of_documents: Vec<u32>,
}

impl Labels {
    /// Sorts documents into kinds.
    pub fn of(documents: impl IntoIterator<Item = Kind>) -> Labels {
        let mut known = HashMap::new();
        let mut labels = Labels { kinds: Vec::new(), of_documents: Vec::new() };
        for kind in documents {
            let index = *known.entry(kind).or_insert_with(|| {
                labels.kinds.push(kind);
                labels.kinds.len() as u32 - 1
            });
            labels.of_documents.push(index);
        }
        labels
    }

    /// F1 = 2 TP / (2 TP + FP + FN) of each label that was right or predicted, then the plain mean;
    /// of the first prediction and of the second.
    pub fn macro_f1(&self) -> [f64; 2] {
        let mut counts = vec![0; self.kinds.len()];
        self.of_documents.iter().for_each(|&kind| counts[kind as usize] += 1);
        self.macro_f1_of(&counts)
    }

    /// The standard errors of [`Labels::macro_f1`].
    pub fn standard_errors(&self, iterations: usize) -> Option<[f64; 2]> {
        deviations(&self.resampled(iterations)?)
    }

    /// [`Labels::macro_f1`] of each resample of the documents.
    pub fn resampled(&self, iterations: usize) -> Option<Vec<[f64; 2]>> {
        let measure = |counts: &[u32]| self.macro_f1_of(counts);
        resampled(&self.of_documents, self.kinds.len(), iterations, measure)
    }

    fn macro_f1_of(&self, counts: &[u32]) -> [f64; 2] {
        [1, 2].map(|prediction| {
            let labels = self.kinds.iter().flatten().max().map_or(0, |label| label + 1);
            // Per label: documents where it is right, where it is predicted, where both.
            let mut tally = vec![[0u32; 3]; labels];
            for (kind, &count) in self.kinds.iter().zip(counts) {
                let (gold, predicted) = (kind[0], kind[prediction]);
                tally[gold][0] += count;
                tally[predicted][1] += count;
                tally[gold][2] += if gold == predicted { count } else { 0 };
            }
            mean_f1(&tally)
        })
    }
}

/// A label that was neither right nor predicted takes no part.
fn mean_f1(tally: &[[u32; 3]]) -> f64 {
    let present = tally.iter().filter(|[gold, predicted, _]| gold + predicted > 0);
    let (sum, labels) = present.fold((0.0, 0), |(sum, labels), [gold, predicted, hits]| {
        (sum + f64::from(2 * hits) / f64::from(gold + predicted), labels + 1)
    });
    sum / f64::from(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(gold: &[usize], predicted: &[usize]) -> Labels {
        Labels::of(gold.iter().zip(predicted).map(|(&gold, &predicted)| [gold, predicted, gold]))
    }

    #[test]
    fn macro_f1_agrees_with_a_count_by_hand() {
        // Label 0: TP 3, FP 2, FN 1 = 6/9. Label 1: TP 4, FP 1, FN 2 = 8/11.
        let ten = labels(&[0, 1, 1, 0, 1, 0, 0, 1, 1, 1], &[0, 1, 0, 0, 1, 1, 0, 1, 1, 0]);
        let [plain, normalised] = ten.macro_f1();
        assert!((plain - (6.0 / 9.0 + 8.0 / 11.0) / 2.0).abs() < 1e-15);
        assert_eq!(normalised, 1.0);
    }

    #[test]
    fn a_label_that_was_only_predicted_counts_and_one_that_never_occurs_does_not() {
        // Label 0: TP 1, FN 1 = 2/3. Label 2: TP 1, FP 0, FN 0 = 1. Label 3: FP 1 = 0. Label 1: -.
        let [value, _] = labels(&[0, 0, 2], &[0, 3, 2]).macro_f1();
        assert!((value - (2.0 / 3.0 + 1.0 + 0.0) / 3.0).abs() < 1e-15, "{value}");
    }

    #[test]
    fn always_no_on_boolq_gives_the_published_numbers() {
        let gold: Vec<usize> = (0..1404).map(|row| usize::from(row >= 699)).collect();
        let [value, _] = labels(&gold, &[0; 1404]).macro_f1();
        assert_eq!(format!("{value:.4}"), "0.3324");
    }

    #[test]
    fn resamples_are_drawn_as_python_draws_them() {
        // Golden values: CPython 3.11.7, `Random(i).choices(documents, k=10)`, the metric by hand.
        let ten = labels(&[0, 1, 1, 0, 1, 0, 0, 1, 1, 1], &[0, 1, 0, 0, 1, 1, 0, 1, 1, 0]);
        for (iterations, expected) in
            [(100, 0.1591893849424086), (1000, 0.15757090508704052), (2500, 0.15835995949027853)]
        {
            let [error, of_all_right] = ten.standard_errors(iterations).unwrap();
            assert!((error - expected).abs() < 1e-13, "{iterations}: {error}");
            assert!(of_all_right < 0.01, "a resample without one of the labels is right too");
        }
    }
}
