//! Figures: counted by whoever knows them, written out in Prometheus' text format.

use kollama_engine::Status;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Speed is that of about this long a time.
const SPEED_OF: f64 = 5.0;

/// Figures of one model.
#[derive(Default)]
pub struct ModelMetrics {
    /// Requests that were taken.
    pub requests: AtomicU64,
    /// Requests that were refused because the queue was full.
    pub refused: AtomicU64,
    /// Answers that ended before their time: the client went, time was up, or the server ended.
    pub aborted: AtomicU64,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    status: Status,
    steps: u64,
    busy: Duration,
    speed: Option<Speed>,
}

/// Tokens a second, lately.
#[derive(Clone, Copy)]
struct Speed {
    prompt: f64,
    written: f64,
    weight: f64,
    at: Instant,
}

impl ModelMetrics {
    /// Takes up what a step has done and how long it took.
    pub fn step(&self, status: Status, took: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let read = (status.prompt_tokens - now.status.prompt_tokens) as f64;
        let written = (status.written_tokens - now.status.written_tokens) as f64;
        let seconds = took.as_secs_f64();
        let old = now.speed.unwrap_or(Speed {
            prompt: 0.0,
            written: 0.0,
            weight: 0.0,
            at: Instant::now(),
        });
        let fade = (-seconds / SPEED_OF).exp();
        now.speed = Some(Speed {
            prompt: old.prompt * fade + read,
            written: old.written * fade + written,
            weight: old.weight * fade + seconds,
            at: Instant::now(),
        });
        now.status = status;
        now.steps += 1;
        now.busy += took;
    }

    /// What the engine is busy with, without having done a step.
    pub fn idle(&self, status: Status) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).status = status;
    }

    /// Tokens read and written a second of work lately; zeros when nothing was done for a while.
    pub fn speed(&self) -> (f64, f64) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = now.speed.filter(|speed| speed.at.elapsed().as_secs_f64() < SPEED_OF);
        fresh.map_or((0.0, 0.0), |s| (s.prompt / s.weight, s.written / s.weight))
    }

    /// What the engine was busy with after the last step.
    pub fn status(&self) -> Status {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).status
    }

    /// Every figure, as Prometheus wants it: name, kind, help, value.
    fn figures(&self) -> Vec<Figure> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let status = now.status;
        let counter = |name, help, value| Figure { name, kind: "counter", help, value };
        let gauge =
            |name, help, value: usize| Figure { name, kind: "gauge", help, value: value as f64 };
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let tokens = |count: u64| count as f64;
        vec![
            counter("requests_total", "Requests taken", count(&self.requests)),
            counter("refused_total", "Requests refused, queue full", count(&self.refused)),
            counter("aborted_total", "Answers ended before their time", count(&self.aborted)),
            counter("prompt_tokens_total", "Prompt tokens read", tokens(status.prompt_tokens)),
            counter("cached_tokens_total", "Prompt tokens known", tokens(status.cached_tokens)),
            counter("written_tokens_total", "Tokens written", tokens(status.written_tokens)),
            counter("steps_total", "Calls of the model", tokens(now.steps)),
            counter("busy_seconds_total", "Time in calls of the model", now.busy.as_secs_f64()),
            gauge("running", "Answers being read or written", status.running),
            gauge("waiting", "Answers waiting for room", status.waiting),
            gauge("cache_rows", "Tokens that there is room for", status.rows),
            gauge("cache_rows_lent", "Tokens of running answers", status.rows_lent),
            gauge("cache_rows_kept", "Tokens kept for equal beginnings", status.rows_kept),
        ]
    }
}

/// A line of `/metrics`.
struct Figure {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: f64,
}

/// All figures of models by name.
pub fn prometheus<'a>(models: impl Iterator<Item = (&'a str, &'a ModelMetrics)>) -> String {
    let label = |name: &str| name.replace('\\', "\\\\").replace('"', "\\\"");
    let all: Vec<(String, Vec<Figure>)> =
        models.map(|(name, metrics)| (label(name), metrics.figures())).collect();
    let mut text = String::new();
    let kinds = all.first().map_or(&[][..], |(_, figures)| figures);
    for (index, Figure { name, kind, help, .. }) in kinds.iter().enumerate() {
        let _ = writeln!(text, "# HELP kollama_{name} {help}\n# TYPE kollama_{name} {kind}");
        for (model, figures) in &all {
            let value = figures[index].value;
            let _ = writeln!(text, "kollama_{name}{{model=\"{model}\"}} {value}");
        }
    }
    text
}
