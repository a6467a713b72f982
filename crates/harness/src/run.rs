//! A run as files and tables see it: one model, and what it reached on each task.

use crate::figure::{Cut, Figure};
use crate::groups::groups_of;
use crate::metrics::Measured;
use crate::mode::Mode;
use crate::published;
use crate::shots::Fewshot;
use crate::summary::Summary;

/// Tasks of a group beyond which only the group has a table and a chart of its own.
const MANY: usize = 10;

/// The model that was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRecord {
    /// As readers know it.
    pub name: String,
    /// Where it was read from.
    pub folder: String,
    /// SHA-256 over its configuration and weights.
    pub sha256: String,
    /// How many numbers it has learned.
    pub parameters: usize,
    /// What its weights were held as.
    pub weights: String,
    /// What it ran on.
    pub device: String,
}

/// A model on some tasks.
pub struct Run<'a> {
    /// The model.
    pub model: &'a ModelRecord,
    /// The tasks, each at some number of shots, in the order they were asked for.
    pub summaries: &'a [Summary],
}

impl Run<'_> {
    /// The protocol; all tasks of a run follow the same.
    pub fn mode(&self) -> Mode {
        self.summaries.first().map_or(Mode::Polyglot, |summary| summary.mode)
    }

    /// The protocol as readers must know it: fixed shots are one of their own, which compares with
    /// no published figure.
    pub fn protocol(&self) -> String {
        let fewshot = self.summaries.first().map(|summary| summary.asking.fewshot);
        let mode = self.mode().name();
        match fewshot {
            Some(Fewshot::Fixed) => format!("{mode} with fixed shots"),
            _ => mode.to_owned(),
        }
    }

    /// The limit on documents, where there was one.
    pub fn limit(&self) -> Option<usize> {
        self.summaries.first().and_then(|summary| summary.asking.limit)
    }

    /// Our numbers, those of groups first, and after them the published ones of the same protocol and
    /// tasks.
    pub fn figures(&self) -> Vec<Figure> {
        let groups = groups_of(self.summaries);
        let is_part = |summary: &Summary| {
            let mut large = groups.iter().filter(|group| group.members.len() > MANY);
            large.any(|group| Some(group.name) == summary.group.as_deref())
        };
        let mut figures = Vec::new();
        for group in &groups {
            figures.extend(self.of_task(group.name, group.shots(), &group.metrics(), group.cut()));
        }
        for summary in self.summaries {
            let metrics = [summary.metrics.clone(), summary.beside.clone()].concat();
            let own = self.of_task(&summary.task, summary.asking.shots, &metrics, summary.cut);
            let is_part = is_part(summary);
            figures.extend(own.into_iter().map(|figure| Figure { is_part, ..figure }));
        }
        let asked = |figure: &Figure| figures.iter().any(|ours| ours.task == figure.task);
        let published = published::figures(&self.protocol());
        let published: Vec<Figure> = published.into_iter().filter(asked).collect();
        figures.extend(published);
        figures
    }

    fn of_task(&self, task: &str, shots: usize, metrics: &[Measured], cut: Cut) -> Vec<Figure> {
        let figure = |measured: &Measured| Figure {
            model: self.model.name.clone(),
            is_ours: true,
            task: task.to_owned(),
            is_part: false,
            metric: measured.metric.full_name(),
            shots,
            value: measured.value,
            standard_error: measured.standard_error,
            cut,
        };
        metrics.iter().map(figure).collect()
    }
}
