//! What this machine can do at most, measured now: the roofs that figures of speed are shares of.

use anyhow::Result;
use kollama_kernels::{DType, Device, roof};

/// Fused multiply-adds of all threads in registers, in GFLOP/s.
pub fn gflops(threads: usize) -> Result<f64> {
    Ok(roof::flops(threads, Device::chosen_path()?)? * 1e-9)
}

/// Multiplications and additions of pairs of bf16 in registers, in GFLOP/s; none where the processor
/// has no instruction for them.
pub fn bf16_gflops(threads: usize) -> Result<Option<f64>> {
    Ok(roof::bf16_flops(threads, Device::chosen_path()?)?.map(|flops| flops * 1e-9))
}

/// Products of bytes of all threads in registers, in billions of operations per second.
pub fn int8_gops(threads: usize) -> Result<f64> {
    Ok(roof::int8_ops(threads, Device::chosen_path()?)? * 1e-9)
}

/// Reads of all threads from memory that no cache holds, in GB/s.
pub fn read_gb_per_second(threads: usize) -> Result<f64> {
    Ok(roof::read_bandwidth(threads, Device::chosen_path()?)? * 1e-9)
}

/// Memory that is read now and then, in turn with what is measured.
pub fn memory(threads: usize) -> Result<roof::Memory> {
    Ok(roof::Memory::new(threads, Device::chosen_path()?)?)
}

/// What products with weights of this type are a share of: multiply-adds of all threads in registers,
/// in 10⁹ a second, by the fastest instruction that could do them.
pub fn product_gflops(weights: DType, threads: usize) -> Result<f64> {
    match weights {
        DType::F32 | DType::Remainder => gflops(threads),
        DType::Bf16 | DType::PackedBf16 => {
            Ok(gflops(threads)?.max(bf16_gflops(threads)?.unwrap_or(0.0)))
        }
        DType::Q8 | DType::Q8Rows | DType::Q4 => int8_gops(threads),
    }
}
