//! Products of bytes beside the floats of a path: four bytes of weights without a sign times four
//! bytes of activations with one, added up in every lane. The trait, and its portable version, which
//! says what the instructions of `packed_x86.rs` do. All sums are exact.

use crate::cpu::simd::Simd;
use crate::cpu::simd_portable::Portable;

/// Whole-number arithmetic on vectors that have as many lanes as those of [`Dot::S`].
pub trait Dot: Copy {
    /// The floats beside it.
    type S: Simd;
    /// Whole numbers of 32 bits, one in a lane.
    type Numbers: Copy;
    /// Four bytes in a lane.
    type Bytes: Copy;

    /// Rows of a tile, at most: two vectors of whole numbers in each must stay in registers.
    const TILE_ROWS: usize;
    /// The same where rows are many.
    const TILE_OF_MANY: usize = Self::TILE_ROWS;

    fn floats(self) -> Self::S;
    /// One number in every lane.
    fn splat(self, number: i32) -> Self::Numbers;
    /// Four bytes in every lane.
    fn splat_four(self, four: u32) -> Self::Bytes;
    /// The lower four bits of every byte.
    fn low_halves(self, bytes: Self::Bytes) -> Self::Bytes;
    /// The upper four bits of every byte.
    fn high_halves(self, bytes: Self::Bytes) -> Self::Bytes;
    /// `sums[lane] + Σ weights[lane][k] · x[lane][k]` over the four `k`: weights 0 ..= 255,
    /// `x` -127 ..= 127.
    fn dot(self, sums: Self::Numbers, weights: Self::Bytes, x: Self::Bytes) -> Self::Numbers;
    /// The nearest floats.
    fn to_floats(self, numbers: Self::Numbers) -> <Self::S as Simd>::V;

    /// # Safety
    /// Four times as many bytes as there are lanes must be readable at `bytes`.
    unsafe fn load(self, bytes: *const u8) -> Self::Bytes;
    /// Whole numbers -127 ..= 127 as bytes.
    ///
    /// # Safety
    /// As many bytes as there are lanes must be writable at `out`.
    unsafe fn store_bytes(self, x: <Self::S as Simd>::V, out: *mut i8);
}

/// An algorithm with its arguments. `run` must be `#[inline(always)]`, as must everything generic
/// that it calls.
pub trait BytesKernel {
    /// What it returns.
    type Output;
    /// The algorithm itself.
    fn run<D: Dot>(self, d: D) -> Self::Output;
}

/// In plain Rust. Bytes are widened as they are loaded, once for all rows of a tile.
#[derive(Clone, Copy)]
pub struct PortableDot;

const LANES: usize = Portable::LANES;

/// The first bytes of all lanes, then the second ones.
type Fours = [[i32; LANES]; 4];

impl PortableDot {
    #[inline(always)]
    fn map(fours: Fours, change: impl Fn(i32) -> i32) -> Fours {
        fours.map(|bytes| bytes.map(&change))
    }
}

impl Dot for PortableDot {
    type S = Portable;
    type Numbers = [i32; LANES];
    type Bytes = Fours;

    const TILE_ROWS: usize = 2;

    #[inline(always)]
    fn floats(self) -> Portable {
        Portable
    }
    #[inline(always)]
    fn splat(self, number: i32) -> [i32; LANES] {
        [number; LANES]
    }
    #[inline(always)]
    fn splat_four(self, four: u32) -> Fours {
        four.to_le_bytes().map(|byte| [i32::from(byte.cast_signed()); LANES])
    }
    #[inline(always)]
    fn low_halves(self, bytes: Fours) -> Fours {
        PortableDot::map(bytes, |byte| byte & 15)
    }
    #[inline(always)]
    fn high_halves(self, bytes: Fours) -> Fours {
        PortableDot::map(bytes, |byte| byte >> 4)
    }
    #[inline(always)]
    fn dot(self, mut sums: [i32; LANES], weights: Fours, x: Fours) -> [i32; LANES] {
        for (weights, x) in weights.iter().zip(&x) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum += weights[lane] * x[lane];
            }
        }
        sums
    }
    #[inline(always)]
    fn to_floats(self, numbers: [i32; LANES]) -> [f32; LANES] {
        numbers.map(|number| number as f32)
    }

    #[inline(always)]
    unsafe fn load(self, bytes: *const u8) -> Fours {
        // SAFETY: the caller's promise.
        let words = unsafe { bytes.cast::<[u32; LANES]>().read_unaligned() }.map(u32::from_le);
        let mut fours = [[0; LANES]; 4];
        for (k, bytes) in fours.iter_mut().enumerate() {
            for (byte, word) in bytes.iter_mut().zip(words) {
                *byte = (word >> (8 * k) & 255).cast_signed();
            }
        }
        fours
    }
    #[inline(always)]
    unsafe fn store_bytes(self, x: [f32; LANES], out: *mut i8) {
        // SAFETY: the caller's promise; bytes have no alignment.
        unsafe { out.cast::<[i8; LANES]>().write(x.map(|x| x as i8)) }
    }
}
