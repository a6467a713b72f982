//! What this machine can do at most, measured now: the roofs that figures of speed are shares of.

use anyhow::Result;
use kollama_kernels::{DType, Device, roof};

/// Fused multiply-adds of all threads in registers, in GFLOP/s.
pub fn gflops(threads: usize) -> Result<f64> {
    Ok(roof::flops(threads, Device::chosen_path()?)? * 1e-9)
}

/// Reads of all threads from memory that no cache holds, in GB/s.
pub fn read_gb_per_second(threads: usize) -> Result<f64> {
    Ok(roof::read_bandwidth(threads, Device::chosen_path()?)? * 1e-9)
}

/// Multiply-adds of all threads in registers as products with weights of this type do them.
pub fn product_gflops(weights: DType, threads: usize) -> Result<f64> {
    match weights {
        DType::F32 | DType::Bf16 | DType::PackedBf16 | DType::Q8 | DType::Q4 => gflops(threads),
    }
}
