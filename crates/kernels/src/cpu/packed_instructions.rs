//! Runs an algorithm written over [`Format`] in the machine code that suits a type of weights best:
//! what `instructions.rs` is for floats. A path says how wide vectors may be; whether the processor
//! multiplies bytes and bf16 at one go is asked here.

use crate::cpu::instructions::Instructions;
use crate::cpu::packed_dot::PortableDot;
use crate::cpu::packed_format::{Format, Numbers, Wide};
#[cfg(target_arch = "x86_64")]
use crate::cpu::packed_x86::{Avx2Dot, Avx512Dot, Avx512Pairs};
use crate::cpu::path::CpuPath;
use crate::cpu::simd_portable::Portable;
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd_x86::{Avx2, Avx512};
use crate::dtype::DType;

/// An algorithm with its arguments. `run` must be `#[inline(always)]`, as must everything generic
/// that it calls.
pub trait PackedKernel {
    /// What it returns.
    type Output;
    /// The algorithm itself.
    fn run<F: Format>(self, format: F) -> Self::Output;
}

/// Multiplies and adds in registers alone, in the instructions that are taken for weights of a packed
/// type; the result is how many products that were.
pub struct Chains {
    /// Rounds; each adds to every chain once.
    pub steps: usize,
}

impl PackedKernel for Chains {
    type Output = usize;
    #[inline(always)]
    fn run<F: Format>(self, format: F) -> usize {
        format.chains(self.steps)
    }
}

/// Runs `kernel` for weights of a packed type.
pub fn run<K: PackedKernel>(instructions: Instructions, dtype: DType, kernel: K) -> K::Output {
    // SAFETY: each is called with what it asks for, which the path promises or was just seen.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        let wide = instructions.path() == CpuPath::Avx512;
        match (instructions.path(), dtype) {
            (CpuPath::Portable, _) => {}
            (CpuPath::Avx512, DType::PackedBf16) if multiplies_pairs() => return pairs(kernel),
            (CpuPath::Avx512, DType::PackedBf16) => return wide_on_avx512(kernel),
            (CpuPath::Avx2, DType::PackedBf16) => return wide_on_avx2(kernel),
            _ if wide && multiplies_bytes() => return numbers_on_avx512(dtype, kernel),
            _ if is_x86_feature_detected!("avxvnni") => return numbers_on_vnni(dtype, kernel),
            _ => return numbers_on_avx2(dtype, kernel),
        }
    }
    debug_assert_eq!(instructions.path(), CpuPath::Portable);
    match dtype {
        DType::Q8 => kernel.run(Numbers::<_, false>(PortableDot)),
        DType::Q4 => kernel.run(Numbers::<_, true>(PortableDot)),
        _ => kernel.run(Wide(Portable)),
    }
}

#[cfg(target_arch = "x86_64")]
fn multiplies_bytes() -> bool {
    is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
fn multiplies_pairs() -> bool {
    is_x86_feature_detected!("avx512bf16")
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
unsafe fn numbers_on_avx512<K: PackedKernel>(dtype: DType, kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    let dot = unsafe { Avx512Dot::new() };
    match dtype {
        DType::Q8 => kernel.run(Numbers::<_, false>(dot)),
        _ => kernel.run(Numbers::<_, true>(dot)),
    }
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avxvnni,avx2,fma")]
unsafe fn numbers_on_vnni<K: PackedKernel>(dtype: DType, kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    let dot = unsafe { Avx2Dot::<true>::new() };
    match dtype {
        DType::Q8 => kernel.run(Numbers::<_, false>(dot)),
        _ => kernel.run(Numbers::<_, true>(dot)),
    }
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn numbers_on_avx2<K: PackedKernel>(dtype: DType, kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    let dot = unsafe { Avx2Dot::<false>::new() };
    match dtype {
        DType::Q8 => kernel.run(Numbers::<_, false>(dot)),
        _ => kernel.run(Numbers::<_, true>(dot)),
    }
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
unsafe fn pairs<K: PackedKernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { Avx512Pairs::new() })
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn wide_on_avx512<K: PackedKernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(Wide(unsafe { Avx512::new() }))
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn wide_on_avx2<K: PackedKernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(Wide(unsafe { Avx2::new() }))
}
