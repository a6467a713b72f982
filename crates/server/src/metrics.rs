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

    fn counted(&self) -> (Status, u64, Duration) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        (now.status, now.steps, now.busy)
    }
}

/// All figures of models by name.
pub fn prometheus<'a>(models: impl Iterator<Item = (&'a str, &'a ModelMetrics)> + Clone) -> String {
    let mut text = String::new();
    let counter = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    let rows: [(&str, &str, &str, &dyn Fn(&ModelMetrics) -> f64); 13] = [
        ("requests_total", "counter", "Requests taken", &|m| counter(&m.requests)),
        ("refused_total", "counter", "Requests refused, queue full", &|m| counter(&m.refused)),
        ("aborted_total", "counter", "Answers ended before their time", &|m| counter(&m.aborted)),
        ("prompt_tokens_total", "counter", "Prompt tokens read", &|m| {
            m.counted().0.prompt_tokens as f64
        }),
        ("cached_tokens_total", "counter", "Prompt tokens known already", &|m| {
            m.counted().0.cached_tokens as f64
        }),
        ("written_tokens_total", "counter", "Tokens written", &|m| {
            m.counted().0.written_tokens as f64
        }),
        ("steps_total", "counter", "Calls of the model", &|m| m.counted().1 as f64),
        ("busy_seconds_total", "counter", "Time in calls of the model", &|m| {
            m.counted().2.as_secs_f64()
        }),
        ("running", "gauge", "Answers being read or written", &|m| m.counted().0.running as f64),
        ("waiting", "gauge", "Answers waiting for room", &|m| m.counted().0.waiting as f64),
        ("cache_rows", "gauge", "Tokens that there is room for", &|m| m.counted().0.rows as f64),
        ("cache_rows_lent", "gauge", "Tokens of running answers", &|m| {
            m.counted().0.rows_lent as f64
        }),
        ("cache_rows_kept", "gauge", "Tokens kept for equal beginnings", &|m| {
            m.counted().0.rows_kept as f64
        }),
    ];
    for (name, kind, help, value) in rows {
        let _ = writeln!(text, "# HELP kollama_{name} {help}\n# TYPE kollama_{name} {kind}");
        for (model, metrics) in models.clone() {
            let label = model.replace('\\', "\\\\").replace('"', "\\\"");
            let value = value(metrics);
            let _ = writeln!(text, "kollama_{name}{{model=\"{label}\"}} {value}");
        }
    }
    text
}
