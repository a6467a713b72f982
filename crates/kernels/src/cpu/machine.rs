//! What every CPU operation works with: instructions, threads and memory to scribble on.

use crate::cpu::instructions::Instructions;
use crate::cpu::path::CpuPath;
use crate::cpu::threads::{Pool, locked};
use crate::error::KernelError;
use crate::large_pages;
use std::sync::{Mutex, MutexGuard};

/// Instructions, threads and scratch of one CPU device.
pub struct Machine {
    /// How to calculate.
    pub instructions: Instructions,
    /// Who calculates.
    pub pool: Pool,
    scratch: Mutex<Scratch>,
}

/// Memory that operations use and leave dirty. It grows to what the largest operation needs, so
/// that the steady state allocates nothing.
#[derive(Default)]
pub struct Scratch {
    /// Packed rows of a product.
    pub left: Buffer,
    /// Packed columns of a product.
    pub right: Buffer,
    /// Parts of sums, or one part per thread.
    pub parts: Buffer,
    /// Parts of sums in double precision.
    pub sums: Vec<f64>,
}

/// Floats at an address that is a multiple of 64 bytes.
#[derive(Default)]
pub struct Buffer(Vec<Line>);

#[repr(align(64))]
#[derive(Clone, Copy)]
#[expect(dead_code, reason = "only its address and its size are used")]
struct Line([f32; 16]);

impl Machine {
    /// Refuses zero threads and a path that this processor lacks.
    pub fn new(threads: usize, path: CpuPath) -> Result<Machine, KernelError> {
        if threads == 0 {
            return Err(KernelError::NoThreads);
        }
        let instructions = Instructions::checked(path)?;
        let pool =
            Pool::new(threads).map_err(|source| KernelError::TooManyThreads { threads, source })?;
        Ok(Machine { instructions, pool, scratch: Mutex::new(Scratch::default()) })
    }

    /// The scratch, for one operation at a time.
    pub fn scratch(&self) -> MutexGuard<'_, Scratch> {
        locked(&self.scratch)
    }
}

impl Buffer {
    /// The first `length` floats, with whatever they held.
    pub fn floats(&mut self, length: usize) -> &mut [f32] {
        let lines = length.div_ceil(16);
        if self.0.len() < lines {
            self.0 = zeroed_lines(lines);
        }
        // SAFETY: a line is sixteen floats without padding, and there are at least `length / 16`.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), length) }
    }
}

/// Not yet touched, so that its pages may become large ones.
fn zeroed_lines(count: usize) -> Vec<Line> {
    let mut lines = Vec::with_capacity(count);
    large_pages::wish_for(lines.as_mut_ptr() as *mut u8, count * size_of::<Line>());
    lines.resize(count, Line([0.0; 16]));
    lines
}

/// Rows of a task where an operation goes through memory once: enough to be worth a claim, and
/// all of a small matrix, which then is done by the caller.
pub fn rows_per_task(columns: usize) -> usize {
    const VALUES: usize = 16 * 1024;
    (VALUES / columns.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_keeps_its_memory_for_smaller_requests() {
        let mut buffer = Buffer::default();
        let start = buffer.floats(1000).as_ptr();
        assert_eq!(start as usize % 64, 0);
        assert_eq!((buffer.floats(17).as_ptr(), buffer.floats(17).len()), (start, 17));
    }

    #[test]
    fn a_machine_without_threads_is_refused() {
        assert!(matches!(Machine::new(0, CpuPath::Portable), Err(KernelError::NoThreads)));
    }
}
