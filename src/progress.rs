//! How far long work has come: a bar with rate and ETA on a terminal, a plain line now and then
//! elsewhere. Always on stderr.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Without a terminal, at most one line in this time.
const QUIET_TIME: Duration = Duration::from_secs(10);

/// One piece of long work.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    total: u64,
    unit: Unit,
    began: Instant,
    last_line: Instant,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes read or written
    Bytes,
    /// Steps, documents, requests
    Items,
}

impl Progress {
    /// `total` of 0 means unknown.
    pub fn new(what: &str, total: u64, unit: Unit) -> Progress {
        let bar = stderr().is_terminal().then(|| bar(what, total, unit));
        let now = Instant::now();
        Progress { bar, what: what.to_owned(), total, unit, began: now, last_line: now }
    }

    /// `done` of the total; `note` stands at the end of the line.
    pub fn at(&mut self, done: u64, note: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(note.to_owned());
        } else if self.last_line.elapsed() >= QUIET_TIME {
            self.last_line = Instant::now();
            eprintln!("{}", self.line(done, note));
        }
    }

    /// As [`Progress::at`], for work whose total is known only once it runs.
    pub fn at_of(&mut self, done: u64, total: u64) {
        self.total = total;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
        self.at(done, "");
    }

    /// Leaves one line that says how long it took.
    pub fn finish(self, note: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let note = if note.is_empty() { String::new() } else { format!(", {note}") };
        eprintln!("{}: done in {:.1} s{note}", self.what, self.began.elapsed().as_secs_f64());
    }

    fn line(&self, done: u64, note: &str) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = done as f64 / seconds;
        let (divisor, unit) = if self.unit == Unit::Bytes { (1e6, " MB") } else { (1.0, "") };
        let shown = |x: f64| format!("{:.*}{unit}", usize::from(divisor > 1.0), x / divisor);
        let total = if self.total > 0 {
            format!(" of {}", shown(self.total as f64))
        } else {
            String::new()
        };
        let left = if self.total > done && rate > 0.0 {
            format!(", {:.0} s left", (self.total - done) as f64 / rate)
        } else {
            String::new()
        };
        format!(
            "{}: {}{total}, {:.1}{unit}/s{left} {note}",
            self.what,
            shown(done as f64),
            rate / divisor
        )
    }
}

fn bar(what: &str, total: u64, unit: Unit) -> ProgressBar {
    let counts = match (unit, total) {
        (Unit::Bytes, 0) => "{bytes} {bytes_per_sec}",
        (Unit::Bytes, _) => "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
        (Unit::Items, 0) => "{pos} {per_sec}",
        (Unit::Items, _) => "{wide_bar} {pos}/{len} {per_sec}, {eta} left",
    };
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(&format!("{{prefix}} {counts} {{msg}}")) {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}
