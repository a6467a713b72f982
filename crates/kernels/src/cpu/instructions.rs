//! Runs an algorithm written over [`Simd`] on the path that a device chose: the one place where a
//! path becomes machine code.

use crate::cpu::path::CpuPath;
use crate::cpu::simd::{Simd, Term};
use crate::cpu::simd_portable::Portable;
use crate::error::KernelError;

/// An algorithm with its arguments. `run` must be `#[inline(always)]`, as must everything generic
/// that it calls.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// The algorithm itself.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// An algorithm that takes numbers one by one or in pairs of bf16; otherwise as [`Kernel`].
pub trait DotKernel {
    /// What it returns.
    type Output;
    /// The algorithm itself.
    fn run<S: Simd, T: Term<S::V>>(self, s: S, term: T) -> Self::Output;
}

/// The tile registers of x86-64.
#[cfg(target_arch = "x86_64")]
pub type TilesOfPath = crate::cpu::tiles_x86::Amx;
/// No other architecture has them here.
#[cfg(not(target_arch = "x86_64"))]
pub type TilesOfPath = crate::cpu::tiles::NoTiles;

/// A path that this processor is known to have.
#[derive(Clone, Copy, Debug)]
pub struct Instructions(CpuPath);

impl Instructions {
    /// Refuses a path that this processor lacks.
    pub fn checked(path: CpuPath) -> Result<Instructions, KernelError> {
        match path.is_available() {
            true => Ok(Instructions(path)),
            false => Err(KernelError::PathNotSupported { name: path.name() }),
        }
    }

    /// The path.
    pub fn path(self) -> CpuPath {
        self.0
    }

    /// Runs `kernel` as machine code of this path.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            CpuPath::Portable => kernel.run(Portable),
            // SAFETY: `checked` has seen that the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            CpuPath::Avx2 => unsafe { run_on_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            CpuPath::Avx512 | CpuPath::Amx => unsafe { run_on_avx512(kernel) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("`checked` refuses x86-64 paths on this architecture"),
        }
    }

    /// Whether vectors may be those of AVX-512.
    #[cfg(target_arch = "x86_64")]
    pub fn has_avx512(self) -> bool {
        matches!(self.0, CpuPath::Avx512 | CpuPath::Amx)
    }

    /// The tile registers of the path.
    pub fn tiles(self) -> Option<TilesOfPath> {
        if self.0 == CpuPath::Amx { TilesOfPath::detected() } else { None }
    }

    /// Rows of a matmul tile.
    pub fn tile_rows(self) -> usize {
        self.run(TileRows)
    }

    /// Columns of a matmul tile.
    pub fn tile_columns(self) -> usize {
        self.run(TileColumns)
    }
}

struct TileRows;

impl Kernel for TileRows {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::TILE_ROWS
    }
}

struct TileColumns;

impl Kernel for TileColumns {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::TILE_COLUMNS
    }
}

/// A proof that this processor multiplies pairs of bf16 and adds both products in one instruction.
#[derive(Clone, Copy, Debug)]
pub struct Dots(#[cfg(not(target_arch = "x86_64"))] std::convert::Infallible);

impl Dots {
    /// Nothing where the processor, or the path that was chosen, has no such instruction.
    #[cfg(target_arch = "x86_64")]
    pub fn of(instructions: Instructions) -> Option<Dots> {
        let has = instructions.has_avx512() && is_x86_feature_detected!("avx512bf16");
        has.then_some(Dots())
    }

    /// Runs `kernel` on pairs.
    #[cfg(target_arch = "x86_64")]
    pub fn run<K: DotKernel>(self, kernel: K) -> K::Output {
        // SAFETY: `of` has seen that the processor has the instructions.
        unsafe { run_on_avx512_bf16(kernel) }
    }

    /// Nothing: no other architecture has them here.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn of(_: Instructions) -> Option<Dots> {
        None
    }

    /// Never.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn run<K: DotKernel>(self, _: K) -> K::Output {
        match self.0 {}
    }
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_on_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { crate::cpu::simd_x86::Avx2::new() })
}

/// # Safety
/// The processor must have AVX-512F, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_on_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { crate::cpu::simd_x86::Avx512::new() })
}

/// # Safety
/// The processor must have AVX-512F, AVX-512 BF16, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
unsafe fn run_on_avx512_bf16<K: DotKernel>(kernel: K) -> K::Output {
    use crate::cpu::simd_x86::{Avx512, TwoProducts};
    // SAFETY: the caller's promise.
    kernel.run(unsafe { Avx512::new() }, unsafe { TwoProducts::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::exp;

    struct ExpOf<'a>(&'a [f32], &'a mut [f32]);

    impl Kernel for ExpOf<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for i in (0..self.0.len()).step_by(S::LANES) {
                s.store(exp(s, s.load(&self.0[i..])), &mut self.1[i..]);
            }
        }
    }

    fn exp_of(path: CpuPath, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        Instructions::checked(path).unwrap().run(ExpOf(x, &mut out));
        out
    }

    #[test]
    fn exp_is_right_to_two_parts_in_ten_million_wherever_f32_is_normal() {
        let x: Vec<f32> = (-870_000..=887_000).map(|i| i as f32 * 1e-4).collect();
        for path in CpuPath::available() {
            let worst = exp_of(path, &x)
                .iter()
                .zip(&x)
                .map(|(&got, &x)| (f64::from(got) / f64::from(x).exp() - 1.0).abs())
                .fold(0.0, f64::max);
            assert!(worst < 2e-7, "{}: relative error {worst:e}", path.name());
        }
    }

    #[test]
    fn exp_ends_in_zero_in_infinity_and_in_nan() {
        let x = [f32::NEG_INFINITY, -200.0, -104.0, 0.0, 89.0, 1e30, f32::INFINITY, f32::NAN];
        for path in CpuPath::available() {
            let out = exp_of(path, &x);
            assert_eq!(out[..4], [0.0, 0.0, 0.0, 1.0], "{}", path.name());
            assert!(out[4..7].iter().all(|&x| x == f32::INFINITY), "{}: {out:?}", path.name());
            assert!(out[7].is_nan(), "{}: NaN became {}", path.name(), out[7]);
        }
    }

    struct TransposeOf<'a>(&'a mut [f32]);

    impl Kernel for TransposeOf<'_> {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> usize {
            let mut square = s.square();
            for i in 0..S::LANES {
                square.as_mut()[i] = s.load(&self.0[i * S::LANES..]);
            }
            s.transpose(&mut square);
            for i in 0..S::LANES {
                s.store(square.as_mut()[i], &mut self.0[i * S::LANES..]);
            }
            S::LANES
        }
    }

    #[test]
    fn a_transposed_square_has_its_rows_as_columns() {
        for path in CpuPath::available() {
            let mut x: Vec<f32> = (0..256).map(|i| i as f32).collect();
            let n = Instructions::checked(path).unwrap().run(TransposeOf(&mut x));
            for (i, j) in (0..n * n).map(|at| (at / n, at % n)) {
                assert_eq!(x[i * n + j], (j * n + i) as f32, "{}", path.name());
            }
        }
    }

    #[test]
    fn loads_beyond_the_end_give_zeros_and_stores_stop_there() {
        for path in CpuPath::available() {
            let mut out = [7.0; 5];
            Instructions::checked(path).unwrap().run(ExpOf(&[0.0, 1.0, 0.0], &mut out[..3]));
            assert_eq!([out[0], out[2], out[3], out[4]], [1.0, 1.0, 7.0, 7.0]);
        }
    }
}
