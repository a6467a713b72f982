//! The limits of a processor that every figure of speed is a share of: how much its registers
//! can multiply and add (floats, bf16, bytes), and how fast its memory can be read. Measures only;
//! tunes nothing.

use crate::cpu::machine::Machine;
use crate::cpu::measure::{FmaChains, ReadAll};
use crate::cpu::packed_instructions::{self, Chains};
use crate::cpu::path::CpuPath;
use crate::dtype::DType;
use crate::error::KernelError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Runs of which the best counts: what a limit is, not what a busy machine leaves of it.
const RUNS: usize = 9;
/// Rounds of a loop in registers.
const STEPS: usize = 400_000;

/// Floating point operations per second of `threads` threads that only multiply and add in
/// registers, a fused multiplication and addition counted as two.
pub fn flops(threads: usize, path: CpuPath) -> Result<f64, KernelError> {
    let machine = Machine::new(threads, path)?;
    Ok(operations(&machine, &|| machine.instructions.run(FmaChains { steps: STEPS })))
}

/// The same of bytes that are multiplied and added up exactly, for `Q8` and `Q4` weights.
pub fn int8_ops(threads: usize, path: CpuPath) -> Result<f64, KernelError> {
    packed_ops(threads, path, DType::Q8)
}

/// The same of the instructions that are taken for `PackedBf16` weights.
pub fn bf16_flops(threads: usize, path: CpuPath) -> Result<f64, KernelError> {
    packed_ops(threads, path, DType::PackedBf16)
}

fn packed_ops(threads: usize, path: CpuPath, dtype: DType) -> Result<f64, KernelError> {
    let machine = Machine::new(threads, path)?;
    let chains = || packed_instructions::run(machine.instructions, dtype, Chains { steps: STEPS });
    Ok(operations(&machine, &chains))
}

/// Operations per second where every thread does `work`, which says how many products that are.
fn operations(machine: &Machine, work: &(dyn Fn() -> usize + Sync)) -> f64 {
    let products = AtomicUsize::new(0);
    let seconds = best_seconds(machine, &|_| {
        products.fetch_add(work(), Ordering::Relaxed);
    });
    (2 * products.into_inner() / RUNS) as f64 / seconds
}

/// Bytes per second at which `threads` threads read memory that no cache holds.
pub fn read_bandwidth(threads: usize, path: CpuPath) -> Result<f64, KernelError> {
    const VALUES: usize = 1 << 27;
    let machine = Machine::new(threads, path)?;
    let x = vec![1.0; VALUES];
    let part = VALUES / threads;
    let seconds = best_seconds(&machine, &|task| {
        machine.instructions.run(ReadAll { x: &x[task * part..(task + 1) * part] });
    });
    Ok((size_of::<f32>() * part * threads) as f64 / seconds)
}

/// One task per thread.
fn best_seconds(machine: &Machine, work: &(dyn Fn(usize) + Sync)) -> f64 {
    let run = |_| {
        let start = Instant::now();
        machine.pool.run(machine.pool.threads(), &|task, _| work(task));
        start.elapsed().as_secs_f64()
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_roof_and_no_threads_have_none() {
        for path in CpuPath::available() {
            for roof in [flops, bf16_flops, int8_ops] {
                assert!(roof(1, path).unwrap() > 1e8, "{}", path.name());
            }
        }
        assert!(matches!(flops(0, CpuPath::Portable), Err(KernelError::NoThreads)));
    }
}
