//! Whether products of bf16 with bf16 use the instruction that multiplies pairs, or are widened and
//! multiplied as `f32`. Not every processor that has the instruction gains by it: on some it runs at
//! half the rate of `f32`, on others at twice. So it is measured, once per process.

use crate::cpu::instructions::{Dots, Instructions};
use crate::cpu::measure::Chains;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How many times as many products per second pairs must give. Far enough from one, and from what
/// processors give (about a half, or two), that no disturbance flips the choice.
const CLEARLY: f64 = 1.3;

/// Turns in which both are measured; the best of each counts.
const TURNS: usize = 12;

/// What to multiply pairs with; nothing where there is no such instruction, or no gain in it.
pub fn dots(instructions: Instructions) -> Option<Dots> {
    static GAINS: OnceLock<bool> = OnceLock::new();
    let dots = Dots::of(instructions)?;
    GAINS.get_or_init(|| gain(instructions, dots) > CLEARLY).then_some(dots)
}

/// Products per second in pairs over those in `f32`; takes about a millisecond.
fn gain(instructions: Instructions, dots: Dots) -> f64 {
    const STEPS: usize = 20_000;
    let (mut single, mut paired) = (Duration::MAX, Duration::MAX);
    for _ in 0..TURNS {
        let chains = || Chains { steps: STEPS };
        single = single.min(time(|| instructions.run(chains())));
        paired = paired.min(time(|| dots.run(chains())));
    }
    2.0 * single.as_secs_f64() / paired.as_secs_f64()
}

fn time(work: impl FnOnce() -> usize) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}
