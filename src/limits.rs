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

/// What products with weights of this type are a share of: multiply-adds of all threads in registers,
/// in 10⁹ a second, by the fastest instruction that could do them.
pub fn product_gflops(weights: DType, threads: usize) -> Result<f64> {
    let path = Device::chosen_path()?;
    let f32s = gflops(threads)?;
    Ok(match weights {
        DType::F32 => f32s,
        DType::Bf16 | DType::PackedBf16 => f32s.max(roof::bf16_flops(threads, path)? * 1e-9),
        DType::Q8 | DType::Q8Rows | DType::Q4 => roof::int8_ops(threads, path)? * 1e-9,
    })
}
