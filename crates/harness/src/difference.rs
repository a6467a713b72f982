//! Two runs compared request by request: whether they asked the same, how far their likelihoods are
//! apart, which predictions changed, and how sure the difference of a metric is.

use crate::bootstrap::resampled;
use crate::error::HarnessError;
use crate::macro_f1::Labels;
use crate::recorded::{Key, Recorded, SampleFile, Worth, provenance, read, sample_files};
use crate::statistics::{mean, sample_deviation};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Resamples behind the error of a difference.
const ITERATIONS: usize = 10_000;

/// How many changed documents are named.
const NAMED: usize = 20;

/// A task in two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Name of the task.
    pub task: String,
    /// Number of shots, where either run says.
    pub shots: Option<usize>,
    /// How answers were found in what was written.
    pub filter: String,
    /// Documents of both runs; all that follows is about these.
    pub documents: usize,
    /// Documents of the first run alone.
    pub only_in_a: usize,
    /// Documents of the second run alone.
    pub only_in_b: usize,
    /// Documents whose requests have other texts.
    pub other_texts: usize,
    /// Documents whose requests have other ids; none where a run does not tell.
    pub other_ids: Option<usize>,
    /// Requests whose log-likelihoods were compared.
    pub requests: usize,
    /// The greatest difference of two log-likelihoods, and the mean one.
    pub greatest_logprob_difference: f64,
    /// The mean difference, without its sign.
    pub mean_logprob_difference: f64,
    /// Documents with another prediction.
    pub changed: usize,
    /// The first of them: document, prediction of the first run, of the second.
    pub changed_documents: Vec<(u64, String, String)>,
    /// The metrics of both.
    pub metrics: Vec<MetricDifference>,
}

/// A metric in two runs, over the documents of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricDifference {
    /// Name of the metric.
    pub metric: String,
    /// In the first run.
    pub a: f64,
    /// In the second.
    pub b: f64,
    /// Second less first.
    pub difference: f64,
    /// Deviation of the difference over resampled documents; none below two.
    pub standard_error: Option<f64>,
    /// Between which 95 of 100 resamples have it.
    pub interval: Option<[f64; 2]>,
}

/// What the two runs say of themselves and not alike: name, and both values.
pub fn settings_that_differ(
    a: &Path,
    b: &Path,
) -> Result<Vec<(String, Value, Value)>, HarnessError> {
    let (a, b) = (provenance(a)?, provenance(b)?);
    let both = a.into_iter().filter_map(|(name, a)| Some((b.get(&name)?.clone(), name, a)));
    Ok(both.filter(|(b, _, a)| a != b).map(|(b, name, a)| (name, a, b)).collect())
}

/// Every task that both folders have samples of.
pub fn differences(a: &Path, b: &Path) -> Result<Vec<Difference>, HarnessError> {
    let (files_a, files_b) = (sample_files(a)?, sample_files(b)?);
    let mut differences = Vec::new();
    for (a, b) in pairs(&files_a, &files_b) {
        differences.extend(of_task(a, b)?);
    }
    if differences.is_empty() {
        let names = |files: &[SampleFile]| {
            let names: BTreeSet<&str> = files.iter().map(|file| file.task.as_str()).collect();
            names.into_iter().collect::<Vec<_>>().join(", ")
        };
        return Err(HarnessError::NothingInCommon { a: names(&files_a), b: names(&files_b) });
    }
    Ok(differences)
}

/// Files of the same task and shots; a file that does not tell its shots belongs to any.
fn pairs<'a>(
    a: &'a [SampleFile],
    b: &'a [SampleFile],
) -> impl Iterator<Item = (&'a SampleFile, &'a SampleFile)> {
    let matches = |a: &SampleFile, b: &SampleFile| {
        a.task == b.task && (a.shots == b.shots || a.shots.is_none() || b.shots.is_none())
    };
    a.iter().flat_map(move |a| b.iter().filter(move |b| matches(a, b)).map(move |b| (a, b)))
}

fn of_task(a: &SampleFile, b: &SampleFile) -> Result<Vec<Difference>, HarnessError> {
    let (documents_a, documents_b) = (read(&a.path)?, read(&b.path)?);
    let filters: BTreeSet<&String> = documents_a.keys().map(|(_, filter)| filter).collect();
    let of_filter = |filter: &String| {
        let [a_only, b_only] = [&documents_a, &documents_b].map(|side| of_filter(side, filter));
        Difference {
            task: a.task.clone(),
            shots: a.shots.or(b.shots),
            filter: filter.clone(),
            ..compared(&a_only, &b_only)
        }
    };
    let differences = filters.into_iter().map(of_filter);
    Ok(differences.filter(|difference| difference.documents > 0).collect())
}

type Documents<'a> = BTreeMap<u64, &'a Recorded>;

fn of_filter<'a>(side: &'a BTreeMap<Key, Recorded>, filter: &str) -> Documents<'a> {
    let own = side.iter().filter(|((_, own), _)| own == filter);
    own.map(|((document, _), recorded)| (*document, recorded)).collect()
}

fn compared(a: &Documents<'_>, b: &Documents<'_>) -> Difference {
    let both: Vec<(u64, &Recorded, &Recorded)> =
        a.iter().filter_map(|(&id, &a)| Some((id, a, *b.get(&id)?))).collect();
    let count = |differs: fn(&Recorded, &Recorded) -> bool| {
        both.iter().filter(|(_, a, b)| differs(a, b)).count()
    };
    let knows_ids = both.iter().all(|(_, a, b)| a.ids.is_some() && b.ids.is_some());
    let apart: Vec<f64> = both.iter().flat_map(|(_, a, b)| logprobs_apart(a, b)).collect();
    let changed = both.iter().filter(|(_, a, b)| a.prediction != b.prediction);
    let named = |(id, a, b): &(u64, &Recorded, &Recorded)| {
        (*id, a.prediction.clone(), b.prediction.clone())
    };
    Difference {
        task: String::new(),
        shots: None,
        filter: String::new(),
        documents: both.len(),
        only_in_a: a.len() - both.len(),
        only_in_b: b.len() - both.len(),
        other_texts: count(|a, b| a.texts != b.texts),
        other_ids: knows_ids.then(|| count(|a, b| a.ids != b.ids)),
        requests: apart.len(),
        greatest_logprob_difference: apart.iter().copied().fold(0.0, f64::max),
        mean_logprob_difference: if apart.is_empty() { 0.0 } else { mean(&apart) },
        changed: changed.clone().count(),
        changed_documents: changed.take(NAMED).map(named).collect(),
        metrics: metrics(&both),
    }
}

/// Nothing where the numbers of choices differ.
fn logprobs_apart(a: &Recorded, b: &Recorded) -> Vec<f64> {
    if a.logprobs.len() != b.logprobs.len() {
        return Vec::new();
    }
    a.logprobs.iter().zip(&b.logprobs).map(|(a, b)| (a - b).abs()).collect()
}

fn metrics(both: &[(u64, &Recorded, &Recorded)]) -> Vec<MetricDifference> {
    let Some((_, first, _)) = both.first() else { return Vec::new() };
    let of_metric = |name: &String| {
        let worths: Option<Vec<(Worth, Worth)>> = both
            .iter()
            .map(|(_, a, b)| Some((*a.values.get(name)?, *b.values.get(name)?)))
            .collect();
        metric_difference(name, &worths?)
    };
    first.values.keys().filter_map(of_metric).collect()
}

/// None where one run counts labels and the other does not, or where the right labels differ.
fn metric_difference(name: &str, worths: &[(Worth, Worth)]) -> Option<MetricDifference> {
    let numbers = worths.iter().map(|worth| match worth {
        (Worth::Number(a), Worth::Number(b)) => Some([*a, *b]),
        _ => None,
    });
    let labels = worths.iter().map(|worth| match worth {
        (Worth::Labels(gold, a), Worth::Labels(same, b)) if gold == same => Some([*gold, *a, *b]),
        _ => None,
    });
    let ([a, b], resamples) = if let Some(numbers) = numbers.collect::<Option<Vec<_>>>() {
        of_means(&numbers)
    } else {
        let labels = Labels::of(labels.collect::<Option<Vec<_>>>()?);
        (labels.macro_f1(), labels.resampled(ITERATIONS))
    };
    let apart = |resamples: Vec<[f64; 2]>| -> Vec<f64> {
        resamples.into_iter().map(|[a, b]| b - a).collect()
    };
    let apart = resamples.map(apart);
    Some(MetricDifference {
        metric: name.to_owned(),
        a,
        b,
        difference: b - a,
        standard_error: apart.as_ref().and_then(|apart| sample_deviation(apart)),
        interval: apart.map(interval),
    })
}

/// The two means, and those of each resample.
fn of_means(numbers: &[[f64; 2]]) -> ([f64; 2], Option<Vec<[f64; 2]>>) {
    let means = [0, 1].map(|side| mean(&numbers.iter().map(|pair| pair[side]).collect::<Vec<_>>()));
    let kinds: Vec<u32> = (0..numbers.len() as u32).collect();
    let measure = |counts: &[u32]| {
        let weighted = |side: usize| -> f64 {
            let pairs = counts.iter().zip(numbers);
            pairs.map(|(&count, pair)| f64::from(count) * pair[side]).sum()
        };
        [0, 1].map(|side| weighted(side) / numbers.len() as f64)
    };
    (means, resampled(&kinds, numbers.len(), ITERATIONS, measure))
}

fn interval(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let last = (values.len() - 1) as f64;
    [0.025, 0.975].map(|share| values[(share * last).round() as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(prediction: usize, logprobs: [f64; 2]) -> Recorded {
        let hit = Worth::Number(f64::from(u8::from(prediction == 1)));
        let labels = Worth::Labels(1, prediction);
        Recorded {
            texts: [7; 32],
            ids: Some("a".to_owned()),
            logprobs: logprobs.to_vec(),
            prediction: prediction.to_string(),
            values: [("acc".to_owned(), hit), ("macro_f1".to_owned(), labels)].into(),
        }
    }

    #[test]
    fn two_runs_differ_where_their_documents_do() {
        let hit = recorded(1, [-2.0, -1.0]);
        let mut missed = recorded(0, [-0.5, -1.0]);
        missed.ids = Some("b".to_owned());
        let a: Documents<'_> = (0..40).map(|id| (id, &hit)).collect();
        let b = (1..42).map(|id| (id, if id % 4 == 0 { &missed } else { &hit })).collect();
        let difference = compared(&a, &b);
        assert_eq!((difference.documents, difference.only_in_a, difference.only_in_b), (39, 1, 2));
        assert_eq!((difference.other_texts, difference.other_ids), (0, Some(9)));
        assert_eq!((difference.changed, difference.requests), (9, 78));
        assert_eq!(difference.greatest_logprob_difference, 1.5);
        assert_eq!(difference.changed_documents[0], (4, "1".to_owned(), "0".to_owned()));
        let acc = &difference.metrics[0];
        assert_eq!((acc.a, acc.b), (1.0, 30.0 / 39.0));
        // The deviation of a mean of zeros and ones, by the formula with n below the root.
        let expected = (9.0 / 39.0 * (30.0 / 39.0) / 39.0_f64).sqrt();
        assert!((acc.standard_error.unwrap() - expected).abs() < 2e-3);
        let [low, high] = acc.interval.unwrap();
        assert!(low < acc.difference && acc.difference < high && high < 0.0, "{low} {high}");
    }

    #[test]
    fn a_run_differs_from_itself_by_nothing() {
        let (hit, missed) = (recorded(1, [-2.0, -1.0]), recorded(0, [-0.5, -1.0]));
        let a: Documents<'_> =
            (0..20).map(|id| (id, if id % 3 == 0 { &missed } else { &hit })).collect();
        let difference = compared(&a, &a);
        assert_eq!((difference.changed, difference.greatest_logprob_difference), (0, 0.0));
        for metric in difference.metrics {
            assert_eq!((metric.difference, metric.standard_error), (0.0, Some(0.0)));
        }
    }
}
