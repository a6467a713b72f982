//! What became of each document to numbers, and how sure those numbers are. Knows labels and values
//! of documents, not their texts nor models.

use crate::macro_f1::Labels;
use crate::mode::Mode;
use crate::statistics::{mean, standard_error_of_the_mean};

/// What became of one document.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One choice was right.
    Chosen {
        /// Index of the right choice.
        gold: usize,
        /// Index of the likeliest choice, the first among equals.
        predicted: usize,
        /// Index of the choice that is likeliest per character.
        predicted_normalised: usize,
    },
    /// Several choices were right (TruthfulQA, Lin et al. 2022).
    ManyTrue {
        /// 1 if the likeliest choice is true, else 0.
        mc1: f64,
        /// The share of the probability of all choices that lies on the true ones.
        mc2: f64,
    },
    /// An answer was written and compared with the right ones.
    Written {
        /// What it is worth under each name that [`Metric::Written`] may ask for.
        values: Vec<(&'static str, f64)>,
    },
}

/// What a task is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// The share of right predictions.
    Accuracy,
    /// The share of right predictions among those made by log-likelihood per character.
    AccuracyNormalised,
    /// F1 of each label, averaged over all labels that were right or predicted somewhere.
    MacroF1,
    /// The same of the predictions made by log-likelihood per character.
    MacroF1Normalised,
    /// The mean of [`Outcome::ManyTrue`]'s `mc1`.
    Mc1,
    /// The mean of [`Outcome::ManyTrue`]'s `mc2`.
    Mc2,
    /// The mean of this value of [`Outcome::Written`]. A comma parts a metric from the filter that
    /// found the answer, as in `exact_match,strict-match`.
    Written(&'static str),
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

impl Outcome {
    /// The likeliest choice of a document that has one right choice.
    pub fn predicted(&self) -> Option<usize> {
        match self {
            Outcome::Chosen { predicted, .. } => Some(*predicted),
            _ => None,
        }
    }

    /// The right choice of a document that has one.
    pub fn gold(&self) -> Option<usize> {
        match self {
            Outcome::Chosen { gold, .. } => Some(*gold),
            _ => None,
        }
    }
}

impl Metric {
    /// The name in result files, without a filter.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "acc",
            Metric::AccuracyNormalised => "acc_norm",
            Metric::MacroF1 => "macro_f1",
            Metric::MacroF1Normalised => "macro_f1_norm",
            Metric::Mc1 => "mc1",
            Metric::Mc2 => "mc2",
            Metric::Written(value) => value.split(',').next().unwrap_or(value),
        }
    }

    /// The name in tables: with its filter, where it has one.
    pub fn full_name(self) -> String {
        match self.filter() {
            "none" => self.name().to_owned(),
            filter => format!("{},{filter}", self.name()),
        }
    }

    /// The name that the harness of `mode` has for it.
    pub fn name_in(self, mode: Mode) -> &'static str {
        match (mode, self) {
            (Mode::LmEval, Metric::MacroF1) => "f1",
            (Mode::LmEval, Metric::MacroF1Normalised) => "f1_norm",
            (Mode::LmEval, Metric::Mc1 | Metric::Mc2) => "acc",
            _ => self.name(),
        }
    }

    /// How the answer was found in what was written: `none` where nothing had to be found.
    pub fn filter(self) -> &'static str {
        match self {
            Metric::Written(value) => value.split_once(',').map_or("none", |(_, filter)| filter),
            _ => "none",
        }
    }

    /// The metric that has this name, unless it is one of written answers.
    pub fn named(name: &str) -> Option<Metric> {
        let all = [
            Metric::Accuracy,
            Metric::AccuracyNormalised,
            Metric::MacroF1,
            Metric::MacroF1Normalised,
            Metric::Mc1,
            Metric::Mc2,
        ];
        all.into_iter().find(|metric| metric.name() == name)
    }

    /// Which of the predictions that [`Labels`] counts this metric is about.
    fn prediction(self) -> Option<usize> {
        match self {
            Metric::MacroF1 => Some(0),
            Metric::MacroF1Normalised => Some(1),
            _ => None,
        }
    }

    /// What one document adds to the mean; none if the metric is no mean over documents like it.
    pub fn of_document(self, outcome: &Outcome) -> Option<f64> {
        let hit = |hit: bool| Some(f64::from(u8::from(hit)));
        match (self, outcome) {
            (Metric::Accuracy, Outcome::Chosen { gold, predicted, .. }) => hit(gold == predicted),
            (Metric::AccuracyNormalised, Outcome::Chosen { gold, predicted_normalised, .. }) => {
                hit(gold == predicted_normalised)
            }
            (Metric::Mc1, Outcome::ManyTrue { mc1, .. }) => Some(*mc1),
            (Metric::Mc2, Outcome::ManyTrue { mc2, .. }) => Some(*mc2),
            (Metric::Written(asked), Outcome::Written { values }) => {
                values.iter().find(|(name, _)| *name == asked).map(|(_, value)| *value)
            }
            _ => None,
        }
    }
}

/// What is printed beside the metrics of a task that is judged by macro F1: published tables mix
/// both predictions and both metrics, so all four are told. Files keep them apart from the metrics
/// that a reference knows.
pub fn beside(metrics: &[Metric]) -> Vec<Metric> {
    let four =
        [Metric::Accuracy, Metric::AccuracyNormalised, Metric::MacroF1, Metric::MacroF1Normalised];
    let is_judged_so = metrics.contains(&Metric::MacroF1);
    four.into_iter().filter(|metric| is_judged_so && !metrics.contains(metric)).collect()
}

/// Value and standard error of each metric; `bootstrap_iterations` serve those that are no plain
/// mean. Documents that a metric does not fit are left out.
pub fn measure(
    metrics: &[Metric],
    outcomes: &[Outcome],
    bootstrap_iterations: usize,
) -> Vec<Measured> {
    let is_counted = |metric: &Metric| metric.prediction().is_some();
    let counted = metrics.iter().any(is_counted).then(|| labels_of(outcomes));
    let f1 = counted.as_ref().map(Labels::macro_f1);
    let errors = counted.and_then(|labels| labels.standard_errors(bootstrap_iterations));
    let measure = |&metric: &Metric| {
        let (value, standard_error) = match (metric.prediction(), f1) {
            (Some(prediction), Some(f1)) => {
                (f1[prediction], errors.map(|errors| errors[prediction]))
            }
            _ => {
                let of_document = |outcome| metric.of_document(outcome);
                let values: Vec<f64> = outcomes.iter().filter_map(of_document).collect();
                (mean(&values), standard_error_of_the_mean(&values))
            }
        };
        Measured { metric, value, standard_error }
    };
    metrics.iter().map(measure).collect()
}

fn labels_of(outcomes: &[Outcome]) -> Labels {
    Labels::of(outcomes.iter().filter_map(|outcome| match *outcome {
        Outcome::Chosen { gold, predicted, predicted_normalised } => {
            Some([gold, predicted, predicted_normalised])
        }
        _ => None,
    }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(gold: usize, predicted: usize, predicted_normalised: usize) -> Outcome {
        Outcome::Chosen { gold, predicted, predicted_normalised }
    }

    #[test]
    fn the_first_of_equal_choices_wins() {
        assert_eq!(first_maximum(&[-3.0, -1.0, -1.0]), 1);
        assert_eq!(first_maximum(&[-2.0]), 0);
    }

    #[test]
    fn the_standard_error_of_accuracy_is_the_one_published_beside_it() {
        // 793 of 1000, as the 40B-token Llama-2-Ko has on COPA at 5 shots.
        let outcomes: Vec<Outcome> =
            (0..1000).map(|row| chosen(1, usize::from(row < 793), 0)).collect();
        let [plain, normalised] = [Metric::Accuracy, Metric::AccuracyNormalised]
            .map(|metric| measure(&[metric], &outcomes, 0)[0]);
        assert_eq!((plain.value, normalised.value), (0.793, 0.0));
        assert!((plain.standard_error.unwrap() - 0.012818553557843983).abs() < 1e-15);
    }

    #[test]
    fn each_metric_reads_its_own_part_of_an_outcome() {
        let values = vec![("f1", 0.25), ("exact_match,strict-match", 1.0)];
        let outcomes = [Outcome::ManyTrue { mc1: 1.0, mc2: 0.75 }, Outcome::Written { values }];
        let metrics = [
            Metric::Mc1,
            Metric::Mc2,
            Metric::Written("f1"),
            Metric::Written("exact_match,strict-match"),
        ];
        let values = measure(&metrics, &outcomes, 0);
        let values: Vec<f64> = values.iter().map(|measured| measured.value).collect();
        assert_eq!(values, [1.0, 0.75, 0.25, 1.0]);
        assert_eq!((metrics[3].name(), metrics[3].filter()), ("exact_match", "strict-match"));
        assert_eq!((metrics[2].name(), metrics[2].filter()), ("f1", "none"));
    }

    #[test]
    fn all_four_stand_beside_macro_f1_and_nothing_beside_accuracy() {
        let others = [Metric::AccuracyNormalised, Metric::MacroF1Normalised];
        assert_eq!(beside(&[Metric::Accuracy, Metric::MacroF1]), others);
        assert_eq!(beside(&[Metric::Accuracy]), []);
    }

    #[test]
    fn one_document_has_no_standard_error() {
        let measured = measure(&[Metric::MacroF1, Metric::Accuracy], &[chosen(1, 1, 0)], 1000);
        assert_eq!((measured[0].value, measured[0].standard_error), (1.0, None));
        assert_eq!((measured[1].value, measured[1].standard_error), (1.0, None));
    }
}
