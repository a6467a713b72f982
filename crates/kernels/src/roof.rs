//! The limits of a processor that every figure of speed is a share of: how much its registers can
//! multiply and add, floats, bf16 or bytes, and how fast its memory can be read. Measures only; tunes
//! nothing.

use crate::cpu::instructions::Dots;
use crate::cpu::machine::Machine;
use crate::cpu::measure::{Chains, ReadAll};
use crate::cpu::packed_instructions;
use crate::cpu::path::CpuPath;
use crate::error::KernelError;
use crate::large_pages;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Runs of which the best counts: what a limit is, not what a busy machine leaves of it.
const RUNS: usize = 9;

/// Rounds of every chain that is timed.
const STEPS: usize = 400_000;

/// Floating point operations per second of `threads` threads that only multiply and add in
/// registers, a fused multiplication and addition counted as two.
pub fn flops(threads: usize, path: CpuPath) -> Result<f64, KernelError> {
    let machine = Machine::new(threads, path)?;
    Ok(2.0 * terms(&machine, &|| machine.instructions.run(Chains { steps: STEPS })))
}

/// As [`flops`], of the fastest instruction that adds products of pairs of bf16; none where the path
/// has none.
pub fn bf16_flops(threads: usize, path: CpuPath) -> Result<Option<f64>, KernelError> {
    let machine = Machine::new(threads, path)?;
    if let Some(tiles) = machine.instructions.tiles() {
        return Ok(Some(2.0 * terms(&machine, &|| tiles.products(STEPS))));
    }
    let rate = |dots: Dots| 4.0 * terms(&machine, &|| dots.run(Chains { steps: STEPS }));
    Ok(Dots::of(machine.instructions).map(rate))
}

/// As [`flops`], of bytes that are multiplied and added up exactly, for `Q8` and `Q4` weights.
pub fn int8_ops(threads: usize, path: CpuPath) -> Result<f64, KernelError> {
    let machine = Machine::new(threads, path)?;
    let chains = || packed_instructions::run_bytes(machine.instructions, Chains { steps: STEPS });
    Ok(8.0 * terms(&machine, &chains))
}

/// Terms per second that all threads together add with `work`.
fn terms(machine: &Machine, work: &(dyn Fn() -> usize + Sync)) -> f64 {
    let terms = AtomicUsize::new(0);
    let seconds = best_seconds(machine, &|_| {
        terms.fetch_add(work(), Ordering::Relaxed);
    });
    (terms.into_inner() / RUNS) as f64 / seconds
}

/// Bytes per second at which `threads` threads read memory that no cache holds.
pub fn read_bandwidth(threads: usize, path: CpuPath) -> Result<f64, KernelError> {
    let memory = Memory::new(threads, path)?;
    Ok((0..RUNS).map(|_| memory.bytes_per_second()).fold(0.0, f64::max))
}

/// Memory that no cache holds, to be read in turn with what is measured: neighbours may take half
/// of its speed from one second to the next.
pub struct Memory {
    machine: Machine,
    x: Vec<f32>,
}

impl Memory {
    /// Half a gigabyte, and threads of its own to read it.
    pub fn new(threads: usize, path: CpuPath) -> Result<Memory, KernelError> {
        const VALUES: usize = 1 << 27;
        let machine = Machine::new(threads, path)?;
        let mut x = vec![0.0_f32; VALUES];
        // In pages like those of a matrix, asked for before any is touched.
        large_pages::wish_for(x.as_mut_ptr().cast(), size_of_val(x.as_slice()));
        x.fill(1.0);
        Ok(Memory { machine, x })
    }

    /// Reads all of it once.
    pub fn bytes_per_second(&self) -> f64 {
        let Memory { machine, x } = self;
        let part = x.len() / machine.pool.threads();
        let seconds = seconds(machine, &|task| {
            machine.instructions.run(ReadAll { x: &x[task * part..(task + 1) * part] });
        });
        (size_of::<f32>() * part * machine.pool.threads()) as f64 / seconds
    }
}

fn best_seconds(machine: &Machine, work: &(dyn Fn(usize) + Sync)) -> f64 {
    (0..RUNS).map(|_| seconds(machine, work)).fold(f64::INFINITY, f64::min)
}

/// One task per thread.
fn seconds(machine: &Machine, work: &(dyn Fn(usize) + Sync)) -> f64 {
    let start = Instant::now();
    machine.pool.run(machine.pool.threads(), &|task, _| work(task));
    start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_roof_and_no_threads_have_none() {
        for path in CpuPath::available() {
            assert!(flops(1, path).unwrap() > 1e8, "{}", path.name());
            assert!(int8_ops(1, path).unwrap() > 1e8, "{}", path.name());
        }
        assert!(matches!(flops(0, CpuPath::Portable), Err(KernelError::NoThreads)));
    }
}
