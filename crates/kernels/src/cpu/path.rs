//! Which vector instructions a CPU device may use: portable, AVX2, AVX-512 or AVX-512 with AMX. Names and detection
//! only; what the instructions do stands in `simd.rs`.

#[cfg(target_arch = "x86_64")]
use crate::cpu::tiles_x86::Amx;
use crate::error::KernelError;

/// A set of vector instructions. All paths give the same results up to rounding; one path gives
/// bit-identical results for any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuPath {
    /// What every processor of the compiled architecture has (SSE2, NEON).
    Portable,
    /// x86-64 with AVX2 and FMA: 8 lanes.
    Avx2,
    /// x86-64 with AVX-512F: 16 lanes.
    Avx512,
    /// The same with AMX, whose registers hold small matrices: products of bf16 with bf16.
    Amx,
}

impl CpuPath {
    /// From slow to fast.
    const ALL: [CpuPath; 4] = [CpuPath::Portable, CpuPath::Avx2, CpuPath::Avx512, CpuPath::Amx];

    /// The path called `portable`, `avx2`, `avx512` or `amx`, whether or not this processor can run it.
    pub fn named(name: &str) -> Result<CpuPath, KernelError> {
        let found = CpuPath::ALL.into_iter().find(|path| path.name() == name);
        found.ok_or_else(|| KernelError::UnknownPath { name: name.to_owned() })
    }

    /// The fastest path of this processor.
    pub fn detected() -> CpuPath {
        CpuPath::available().last().copied().unwrap_or(CpuPath::Portable)
    }

    /// Every path of this processor, from slow to fast.
    pub fn available() -> Vec<CpuPath> {
        CpuPath::ALL.into_iter().filter(|path| path.is_available()).collect()
    }

    /// As `KOLLAMA_CPU` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            CpuPath::Portable => "portable",
            CpuPath::Avx2 => "avx2",
            CpuPath::Avx512 => "avx512",
            CpuPath::Amx => "amx",
        }
    }

    /// Whether this processor has the instructions.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match self {
            CpuPath::Portable => true,
            CpuPath::Avx2 => avx2(),
            CpuPath::Avx512 => avx2() && is_x86_feature_detected!("avx512f"),
            CpuPath::Amx => CpuPath::Avx512.is_available() && Amx::detected().is_some(),
        }
    }

    /// Whether this processor has the instructions.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == CpuPath::Portable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_found_by_its_name_and_no_other_name_is() {
        for path in CpuPath::ALL {
            assert_eq!(CpuPath::named(path.name()).unwrap(), path);
        }
        let refusal = CpuPath::named("sse9").unwrap_err().to_string();
        assert!(refusal.contains("sse9") && refusal.contains("portable, avx2, avx512 or amx"));
    }

    #[test]
    fn the_detected_path_is_the_last_available_one() {
        let available = CpuPath::available();
        assert_eq!(available[0], CpuPath::Portable);
        assert_eq!(available.last(), Some(&CpuPath::detected()));
    }
}
