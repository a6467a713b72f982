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

    /// Rows of a tile: two vectors of whole numbers in each must stay in registers.
    const TILE_ROWS: usize;

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

/// In plain Rust.
#[derive(Clone, Copy)]
pub struct PortableDot;

const LANES: usize = Portable::LANES;

impl Dot for PortableDot {
    type S = Portable;
    type Numbers = [i32; LANES];
    type Bytes = [[u8; 4]; LANES];

    const TILE_ROWS: usize = 2;

    #[inline(always)]
    fn floats(self) -> Portable {
        Portable
    }
    #[inline(always)]
    fn splat(self, number: i32) -> Self::Numbers {
        [number; LANES]
    }
    #[inline(always)]
    fn splat_four(self, four: u32) -> Self::Bytes {
        [four.to_le_bytes(); LANES]
    }
    #[inline(always)]
    fn low_halves(self, bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|four| four.map(|byte| byte & 15))
    }
    #[inline(always)]
    fn high_halves(self, bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|four| four.map(|byte| byte >> 4))
    }
    #[inline(always)]
    fn dot(self, sums: Self::Numbers, weights: Self::Bytes, x: Self::Bytes) -> Self::Numbers {
        let product = |lane: usize, k: usize| {
            i32::from(weights[lane][k]) * i32::from(x[lane][k].cast_signed())
        };
        std::array::from_fn(|lane| sums[lane] + (0..4).map(|k| product(lane, k)).sum::<i32>())
    }
    #[inline(always)]
    fn to_floats(self, numbers: Self::Numbers) -> [f32; LANES] {
        numbers.map(|number| number as f32)
    }

    #[inline(always)]
    unsafe fn load(self, bytes: *const u8) -> Self::Bytes {
        // SAFETY: the caller's promise; bytes have no alignment.
        unsafe { bytes.cast::<Self::Bytes>().read() }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, x: [f32; LANES], out: *mut i8) {
        // SAFETY: the caller's promise; bytes have no alignment.
        unsafe { out.cast::<[i8; LANES]>().write(x.map(|x| x as i8)) }
    }
}
