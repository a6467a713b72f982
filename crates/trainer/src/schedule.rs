//! The learning rate at a step: a pure function of the settings, so that a resumed run needs no
//! memory of it.

use crate::settings::{Schedule, TrainSettings};
use std::f64::consts::PI;

/// Share of the learning rate that a falling schedule ends at.
pub const FINAL_SHARE: f64 = 0.1;

/// The learning rate of the step with the given number, counted **from 0**.
///
/// With `p = (step − warmup) / max(1, steps − warmup)`:
/// * `step < warmup`: `lr · (step + 1) / warmup`
/// * constant: `lr`
/// * cosine: `lr · (0.1 + 0.9 · (1 + cos πp) / 2)`
/// * linear: `lr · (1 − 0.9 · p)`
pub fn learning_rate(settings: &TrainSettings, step: u64) -> f64 {
    let (peak, warmup) = (settings.learning_rate, settings.warmup_steps);
    if step < warmup {
        return peak * (step + 1) as f64 / warmup as f64;
    }
    let remaining = settings.steps.saturating_sub(warmup).max(1);
    let progress = ((step - warmup) as f64 / remaining as f64).min(1.0);
    let fallen = match settings.schedule {
        Schedule::Constant => 0.0,
        Schedule::Cosine => (1.0 - (PI * progress).cos()) / 2.0,
        Schedule::Linear => progress,
    };
    peak * (1.0 - (1.0 - FINAL_SHARE) * fallen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(schedule: Schedule) -> TrainSettings {
        let text = "model='m'\ndata='d'\nout='o'\nsteps=14\nbatch_size=1\nsequence_length=8\n\
                    learning_rate=2e-3\nwarmup_steps=4\n";
        TrainSettings { schedule, ..TrainSettings::from_toml(text).unwrap() }
    }

    #[test]
    fn the_warm_up_rises_in_equal_parts_and_reaches_the_peak_on_its_last_step() {
        let settings = settings(Schedule::Cosine);
        let rates: Vec<f64> = (0..4).map(|step| learning_rate(&settings, step)).collect();
        assert_eq!(rates, [0.5e-3, 1e-3, 1.5e-3, 2e-3]);
    }

    #[test]
    fn the_cosine_begins_at_the_peak_and_is_half_way_down_in_the_middle() {
        let settings = settings(Schedule::Cosine);
        assert_eq!(learning_rate(&settings, 4), 2e-3);
        assert!((learning_rate(&settings, 9) - 1.1e-3).abs() < 1e-15);
        assert!((learning_rate(&settings, 14) - 2e-4).abs() < 1e-15);
    }

    #[test]
    fn the_line_falls_by_equal_parts() {
        let settings = settings(Schedule::Linear);
        let drop = learning_rate(&settings, 5) - learning_rate(&settings, 6);
        assert!((drop - 2e-3 * 0.9 / 10.0).abs() < 1e-15);
        assert!((learning_rate(&settings, 14) - 2e-4).abs() < 1e-15);
    }

    #[test]
    fn without_a_warm_up_the_first_step_has_the_whole_rate() {
        let settings = TrainSettings { warmup_steps: 0, ..settings(Schedule::Constant) };
        assert_eq!(learning_rate(&settings, 0), 2e-3);
        assert_eq!(learning_rate(&settings, 13), 2e-3);
    }

    #[test]
    fn a_warm_up_as_long_as_the_run_never_divides_by_zero() {
        let settings = TrainSettings { warmup_steps: 14, ..settings(Schedule::Cosine) };
        assert_eq!(learning_rate(&settings, 13), 2e-3);
        assert_eq!(learning_rate(&settings, 14), 2e-3);
    }
}
