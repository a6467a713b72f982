//! Runs an algorithm written over [`Format`] in the machine code that suits a type of weights best:
//! what `instructions.rs` is for floats. A path says how wide vectors may be; whether the processor
//! multiplies bytes and bf16 at one go is asked here.

use crate::cpu::instructions::Instructions;
use crate::cpu::packed_dot::{Dot, PortableDot};
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
    run_with(Means::of(instructions, dtype), dtype, kernel)
}

/// Instructions for weights of a packed type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Portable,
    /// Floats of bf16, or bytes without VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni,
    /// Floats of bf16.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Pairs,
}

impl Means {
    /// The fastest of a path.
    #[cfg(target_arch = "x86_64")]
    fn of(instructions: Instructions, dtype: DType) -> Means {
        let wide = instructions.path() == CpuPath::Avx512;
        match (instructions.path(), dtype) {
            (CpuPath::Portable, _) => Means::Portable,
            (CpuPath::Avx512, DType::PackedBf16) if has_pairs() => Means::Avx512Pairs,
            (CpuPath::Avx512, DType::PackedBf16) => Means::Avx512,
            (CpuPath::Avx2, DType::PackedBf16) => Means::Avx2,
            _ if wide && has_vnni() => Means::Avx512Vnni,
            _ if is_x86_feature_detected!("avxvnni") => Means::Avx2Vnni,
            _ => Means::Avx2,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of(_: Instructions, _: DType) -> Means {
        Means::Portable
    }
}

#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
fn has_pairs() -> bool {
    is_x86_feature_detected!("avx512bf16")
}

fn run_with<K: PackedKernel>(means: Means, dtype: DType, kernel: K) -> K::Output {
    // SAFETY: whoever names means has seen that the processor has them.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        match means {
            Means::Portable => {}
            Means::Avx2 => return on_avx2(dtype, kernel),
            Means::Avx2Vnni => return on_avx2_vnni(dtype, kernel),
            Means::Avx512 => return on_avx512(kernel),
            Means::Avx512Vnni => return on_avx512_vnni(dtype, kernel),
            Means::Avx512Pairs => return on_avx512_pairs(kernel),
        }
    }
    match dtype {
        DType::PackedBf16 => kernel.run(Wide(Portable)),
        _ => numbers(PortableDot, dtype, kernel),
    }
}

#[inline(always)]
fn numbers<D: Dot, K: PackedKernel>(dot: D, dtype: DType, kernel: K) -> K::Output {
    match dtype {
        DType::Q4 => kernel.run(Numbers::<_, true>(dot)),
        _ => kernel.run(Numbers::<_, false>(dot)),
    }
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn on_avx2<K: PackedKernel>(dtype: DType, kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    match dtype {
        DType::PackedBf16 => kernel.run(Wide(unsafe { Avx2::new() })),
        _ => numbers(unsafe { Avx2Dot::<false>::new() }, dtype, kernel),
    }
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avxvnni,avx2,fma")]
unsafe fn on_avx2_vnni<K: PackedKernel>(dtype: DType, kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    numbers(unsafe { Avx2Dot::<true>::new() }, dtype, kernel)
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn on_avx512<K: PackedKernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(Wide(unsafe { Avx512::new() }))
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
unsafe fn on_avx512_vnni<K: PackedKernel>(dtype: DType, kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    numbers(unsafe { Avx512Dot::new() }, dtype, kernel)
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
unsafe fn on_avx512_pairs<K: PackedKernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { Avx512Pairs::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::packed_format::VECTORS;
    use crate::cpu::simd::Simd;
    use crate::packed_layout::{BLOCK, PANEL};

    /// Everything that this processor can multiply such weights with.
    fn all_means(dtype: DType) -> Vec<Means> {
        let mut means = vec![Means::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let bytes = dtype != DType::PackedBf16;
            let [avx2, avx512] = [CpuPath::Avx2, CpuPath::Avx512].map(CpuPath::is_available);
            let vnni = avx2 && is_x86_feature_detected!("avxvnni");
            means.extend(avx2.then_some(Means::Avx2));
            means.extend((bytes && vnni).then_some(Means::Avx2Vnni));
            means.extend((!bytes && avx512).then_some(Means::Avx512));
            means.extend((bytes && avx512 && has_vnni()).then_some(Means::Avx512Vnni));
            means.extend((!bytes && avx512 && has_pairs()).then_some(Means::Avx512Pairs));
        }
        means
    }

    /// Two rows of activations times a block: 32 results of each.
    struct OneBlock<'a> {
        weights: &'a [u8],
        x: &'a [[f32; BLOCK]; 2],
    }

    impl PackedKernel for OneBlock<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<F: Format>(self, format: F) -> Vec<f32> {
            let s = format.floats();
            let mut words = vec![0; 2 * F::WORDS];
            for (row, x) in self.x.iter().enumerate() {
                format.round(x, &mut words, row, 2);
            }
            let mut out = vec![0.0; 2 * PANEL];
            for lane in (0..PANEL).step_by(VECTORS * F::S::LANES) {
                let sums = [[s.splat(0.0); VECTORS]; 2];
                // SAFETY: a whole block, two rows, and lanes inside the panel.
                let sums =
                    unsafe { format.block::<2>(sums, self.weights.as_ptr(), lane, words.as_ptr()) };
                for (row, vector) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let first = row * PANEL + lane + vector * F::S::LANES;
                    s.store(sums[row][vector], &mut out[first..first + F::S::LANES]);
                }
            }
            out
        }
    }

    /// Weights of all sizes, the largest among them, with scales of one.
    fn block(dtype: DType, fill: impl Fn(usize) -> u8) -> Vec<u8> {
        let one = half::bf16::ONE.to_le_bytes();
        (0..dtype.block_bytes()).map(|i| if i < 2 * PANEL { one[i % 2] } else { fill(i) }).collect()
    }

    #[test]
    fn every_instruction_multiplies_bytes_to_the_same_bits() {
        let x: [f32; BLOCK] = std::array::from_fn(|i| (i as f32 * 37.0) % 255.0 - 127.0);
        for dtype in [DType::Q8, DType::Q4] {
            for extreme in [[127.0; BLOCK], [-127.0; BLOCK]] {
                for weights in
                    [block(dtype, |_| 255), block(dtype, |_| 0), block(dtype, |i| (i * 89) as u8)]
                {
                    let of = |means| {
                        run_with(means, dtype, OneBlock { weights: &weights, x: &[x, extreme] })
                    };
                    let expected = of(Means::Portable);
                    for means in all_means(dtype) {
                        assert_eq!(of(means), expected, "{means:?} {dtype:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_instruction_multiplies_bf16_to_the_same_sums() {
        let x = [0, 1].map(|row| std::array::from_fn(|i| ((i * 37 + row) % 64) as f32 - 31.5));
        // Upper bytes of numbers about one.
        let weights: Vec<u8> = (0..DType::PackedBf16.block_bytes())
            .map(|i| if i % 2 == 1 { 0x3F | (i as u8 & 2) << 6 } else { (i * 89) as u8 })
            .collect();
        let of = |means| run_with(means, DType::PackedBf16, OneBlock { weights: &weights, x: &x });
        let expected = of(Means::Portable);
        for means in all_means(DType::PackedBf16) {
            for (found, expected) in of(means).iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-3, "{means:?}: {found}, not {expected}");
            }
        }
    }
}
