//! Runs an algorithm written over [`Format`] in the machine code that suits a type of weights best:
//! what `instructions.rs` is for floats. A path says how wide vectors may be; whether the processor
//! multiplies bytes at one go is asked here, and whether bf16 in pairs in `bf16_choice.rs`.

use crate::cpu::bf16_choice;
use crate::cpu::instructions::{DotKernel, Instructions, Kernel};
use crate::cpu::packed_bf16::{Pairs, Wide};
use crate::cpu::packed_bytes::Numbers;
use crate::cpu::packed_dot::{BytesKernel, Dot, PortableDot};
use crate::cpu::packed_format::Format;
#[cfg(target_arch = "x86_64")]
use crate::cpu::packed_x86::{Avx2Dot, Avx512Dot};
#[cfg(target_arch = "x86_64")]
use crate::cpu::path::CpuPath;
use crate::cpu::simd::{Simd, Term};
use crate::dtype::DType;

/// An algorithm with its arguments. `run` must be `#[inline(always)]`, as must everything generic
/// that it calls.
pub trait PackedKernel {
    /// What it returns.
    type Output;
    /// The algorithm itself.
    fn run<F: Format>(self, format: F) -> Self::Output;
}

/// Runs `kernel` for weights of a packed type.
pub fn run<K: PackedKernel>(instructions: Instructions, dtype: DType, kernel: K) -> K::Output {
    match dtype {
        DType::Q8 => run_bytes(instructions, InBytes::<K, false>(kernel)),
        DType::Q4 => run_bytes(instructions, InBytes::<K, true>(kernel)),
        _ => match bf16_choice::dots(instructions) {
            Some(dots) => dots.run(InPairs(kernel)),
            None => instructions.run(InFloats(kernel)),
        },
    }
}

/// Runs `kernel` as machine code of the path, with the fastest products of bytes that it has.
pub fn run_bytes<K: BytesKernel>(instructions: Instructions, kernel: K) -> K::Output {
    run_with(Means::of(instructions), kernel)
}

struct InBytes<K, const HALVES: bool>(K);

impl<K: PackedKernel, const HALVES: bool> BytesKernel for InBytes<K, HALVES> {
    type Output = K::Output;
    #[inline(always)]
    fn run<D: Dot>(self, d: D) -> K::Output {
        self.0.run(Numbers::<D, HALVES>(d))
    }
}

struct InPairs<K>(K);

impl<K: PackedKernel> DotKernel for InPairs<K> {
    type Output = K::Output;
    #[inline(always)]
    fn run<S: Simd, T: Term<S::V>>(self, s: S, term: T) -> K::Output {
        self.0.run(Pairs(s, term))
    }
}

struct InFloats<K>(K);

impl<K: PackedKernel> Kernel for InFloats<K> {
    type Output = K::Output;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> K::Output {
        self.0.run(Wide(s))
    }
}

/// Instructions that multiply bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Means {
    /// The fastest of a path.
    #[cfg(target_arch = "x86_64")]
    fn of(instructions: Instructions) -> Means {
        match instructions.path() {
            CpuPath::Portable => Means::Portable,
            CpuPath::Avx512 | CpuPath::Amx if Means::has_avx512_vnni() => Means::Avx512Vnni,
            _ if is_x86_feature_detected!("avxvnni") => Means::Avx2Vnni,
            _ => Means::Avx2,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of(_: Instructions) -> Means {
        Means::Portable
    }

    #[cfg(target_arch = "x86_64")]
    fn has_avx512_vnni() -> bool {
        is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni")
    }
}

fn run_with<K: BytesKernel>(means: Means, kernel: K) -> K::Output {
    match means {
        Means::Portable => kernel.run(PortableDot),
        // SAFETY: whoever names means has seen that the processor has them.
        #[cfg(target_arch = "x86_64")]
        Means::Avx2 => unsafe { on_avx2(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Means::Avx2Vnni => unsafe { on_avx2_vnni(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Means::Avx512Vnni => unsafe { on_avx512_vnni(kernel) },
    }
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn on_avx2<K: BytesKernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { Avx2Dot::<false>::new() })
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avxvnni,avx2,fma")]
unsafe fn on_avx2_vnni<K: BytesKernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { Avx2Dot::<true>::new() })
}

/// # Safety
/// The processor must have the instructions named here.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
unsafe fn on_avx512_vnni<K: BytesKernel>(kernel: K) -> K::Output {
    let line = std::mem::MaybeUninit::<Line>::uninit();
    std::hint::black_box(&line);
    // SAFETY: the caller's promise.
    kernel.run(unsafe { Avx512Dot::new() })
}

/// Where a function has one, the compiler begins its memory at a line of the cache, so that no vector
/// that waits there for a register lies in two lines.
#[cfg(target_arch = "x86_64")]
#[repr(align(64))]
#[expect(dead_code, reason = "only its alignment matters")]
struct Line([u8; 64]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::instructions::Dots;
    use crate::cpu::packed_format::VECTORS;
    use crate::cpu::path::CpuPath;
    use crate::cpu::simd_portable::Portable;
    use crate::packed_layout::{BLOCK, PANEL};

    /// Everything that this processor can multiply bytes with.
    #[cfg(target_arch = "x86_64")]
    fn all_means() -> Vec<Means> {
        let [avx2, avx512] = [CpuPath::Avx2, CpuPath::Avx512].map(CpuPath::is_available);
        let vnni = avx2 && is_x86_feature_detected!("avxvnni");
        let of_this_processor = [
            (true, Means::Portable),
            (avx2, Means::Avx2),
            (vnni, Means::Avx2Vnni),
            (avx512 && Means::has_avx512_vnni(), Means::Avx512Vnni),
        ];
        of_this_processor.into_iter().filter_map(|(has, means)| has.then_some(means)).collect()
    }

    /// Everything that this processor can multiply bytes with.
    #[cfg(not(target_arch = "x86_64"))]
    fn all_means() -> Vec<Means> {
        vec![Means::Portable]
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
            let mut words = vec![0.0; 2 * F::WORDS];
            format.round(self.x, &mut words);
            let mut out = vec![0.0; 2 * PANEL];
            for lane in (0..PANEL).step_by(VECTORS * F::S::LANES) {
                let sums = [[s.splat(0.0); VECTORS]; 2];
                // SAFETY: a whole block, two rows, and lanes inside the panel.
                let sums = unsafe {
                    format.block::<2>(
                        sums,
                        self.weights.as_ptr(),
                        lane,
                        words.as_ptr().cast(),
                        self.weights.as_ptr(),
                    )
                };
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
                        let block = OneBlock { weights: &weights, x: &[x, extreme] };
                        match dtype {
                            DType::Q8 => run_with(means, InBytes::<_, false>(block)),
                            _ => run_with(means, InBytes::<_, true>(block)),
                        }
                    };
                    let expected = of(Means::Portable);
                    for means in all_means() {
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
        let block = || OneBlock { weights: &weights, x: &x };
        let expected = InFloats(block()).run(Portable);
        for instructions in CpuPath::available().into_iter().map(Instructions::checked) {
            let instructions = instructions.unwrap();
            let in_floats = instructions.run(InFloats(block()));
            let in_pairs = Dots::of(instructions).map(|dots| dots.run(InPairs(block())));
            for (i, found) in in_floats.iter().chain(in_pairs.iter().flatten()).enumerate() {
                let expected = expected[i % expected.len()];
                assert!((found - expected).abs() < 1e-3, "{instructions:?}: {found}, {expected}");
            }
        }
    }
}
