//! How sure a metric is that is no plain mean: its deviation over resampled documents (Efron 1979),
//! draw for draw as lm-evaluation-harness does it. Chunks of 1000 resamples, chunk `i` drawn by
//! Python's `Random(i)`; so the error depends on the order of the documents, and on nothing else.
//!
//! Drawing is all that takes time. A document is therefore only the number of its kind here, a
//! resample is a count of each kind, and the metrics of a task share one set of resamples.

use crate::python_random::PythonRandom;
use crate::statistics::sample_deviation;
use std::thread;

/// Resamples that one seed serves.
const CHUNK: usize = 1000;

/// What `measure` makes of each resample's counts of each kind. `kinds` has the kind of each
/// document, below `kind_count`. None below two documents or two resamples. Threads share the chunks
/// and do not change the result.
pub fn resampled<const METRICS: usize>(
    kinds: &[u32],
    kind_count: usize,
    iterations: usize,
    measure: impl Fn(&[u32]) -> [f64; METRICS] + Sync,
) -> Option<Vec<[f64; METRICS]>> {
    if kinds.len() < 2 || iterations < 2 {
        return None;
    }
    let chunk = iterations.min(CHUNK);
    let mut values = vec![[0.0; METRICS]; iterations / chunk * chunk];
    let fill = |seed: usize, values: &mut [[f64; METRICS]]| {
        let mut random = PythonRandom::new(seed as u64);
        for value in values {
            *value = measure(&resample(kinds, kind_count, &mut random));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = (iterations / chunk).div_ceil(threads);
    thread::scope(|scope| {
        for (part, values) in values.chunks_mut(share * chunk).enumerate() {
            let fill = &fill;
            scope.spawn(move || {
                let chunks = values.chunks_mut(chunk).enumerate();
                chunks.for_each(|(index, values)| fill(part * share + index, values));
            });
        }
    });
    Some(values)
}

/// The sample deviation of each metric over all resamples.
pub fn deviations<const METRICS: usize>(values: &[[f64; METRICS]]) -> Option<[f64; METRICS]> {
    let mut deviations = [0.0; METRICS];
    for (metric, deviation) in deviations.iter_mut().enumerate() {
        let of_metric: Vec<f64> = values.iter().map(|values| values[metric]).collect();
        *deviation = sample_deviation(&of_metric)?;
    }
    Some(deviations)
}

/// Counts of each kind among as many draws as there are documents.
fn resample(kinds: &[u32], kind_count: usize, random: &mut PythonRandom) -> Vec<u32> {
    let mut counts = vec![0; kind_count];
    random.choices(kinds.len(), kinds.len(), |index| counts[kinds[index] as usize] += 1);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resamples_are_counted_as_python_draws_them() {
        // CPython: Random(0).choices([2, 0, 1, 1, 2], k=5) = [2, 1, 1, 0, 1], then [1, 1, 0, 1, 1].
        let kinds = [2, 0, 1, 1, 2];
        let mut random = PythonRandom::new(0);
        assert_eq!(resample(&kinds, 3, &mut random), [1, 3, 1]);
        assert_eq!(resample(&kinds, 3, &mut random), [1, 4, 0]);
    }

    #[test]
    fn one_document_or_one_resample_tells_nothing() {
        assert_eq!(resampled(&[0], 1, 1000, |_| [1.0]), None);
        assert_eq!(resampled(&[0, 0], 1, 1, |_| [1.0]), None);
    }
}
