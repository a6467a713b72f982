//! Tasks to the score of their group (`kobest`, `mmlu`), averaged as the references do it.

use crate::figure::Cut;
use crate::metrics::{Measured, Metric};
use crate::mode::Mode;
use crate::summary::Summary;

/// How a group weighs its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// By their documents: lm-evaluation-harness 0.4.
    BySize,
    /// All alike: the average that the Open LLM Leaderboard showed.
    Plain,
}

/// The tasks of one group that were asked at the same number of shots.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<'a> {
    /// Its name.
    pub name: &'a str,
    /// At least two.
    pub members: Vec<&'a Summary>,
}

/// The groups among `summaries`. The mode `polyglot` knows none.
pub fn groups_of(summaries: &[Summary]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for summary in summaries.iter().filter(|summary| summary.mode != Mode::Polyglot) {
        let Some(name) = summary.group.as_deref() else { continue };
        let is_home = |group: &&mut Group<'_>| {
            group.name == name && group.members[0].asking.shots == summary.asking.shots
        };
        match groups.iter_mut().find(is_home) {
            Some(group) => group.members.push(summary),
            None => groups.push(Group { name, members: vec![summary] }),
        }
    }
    groups.retain(|group| group.members.len() > 1);
    groups
}

impl Group<'_> {
    /// Number of shots of its tasks.
    pub fn shots(&self) -> usize {
        self.members[0].asking.shots
    }

    /// Every metric over the tasks that have it.
    pub fn metrics(&self) -> Vec<Measured> {
        let weights = match self.members[0].mode {
            Mode::LeaderboardV1 => Weights::Plain,
            _ => Weights::BySize,
        };
        let mut metrics: Vec<Metric> = Vec::new();
        for measured in self.members.iter().flat_map(|member| &member.metrics) {
            if !metrics.contains(&measured.metric) {
                metrics.push(measured.metric);
            }
        }
        let of_metric = |metric: Metric| {
            let measured = self.members.iter().filter_map(|member| {
                let found = member.metrics.iter().find(|measured| measured.metric == metric)?;
                Some((*found, member.cut.documents))
            });
            aggregate(&measured.collect::<Vec<_>>(), weights)
        };
        metrics.into_iter().map(of_metric).collect()
    }

    /// Documents of all its tasks, and what of them was cut.
    pub fn cut(&self) -> Cut {
        let sum = |count: fn(&Cut) -> f64| self.members.iter().map(|m| count(&m.cut)).sum::<f64>();
        let documents = sum(|cut| cut.documents as f64);
        Cut {
            documents: documents as usize,
            cut_documents: sum(|cut| cut.cut_documents as f64) as usize,
            shots_left: sum(|cut| cut.shots_left * cut.documents as f64) / documents,
        }
    }
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
