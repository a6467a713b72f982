//! One vector of `f32` lanes, whatever the processor: the trait over which every fast algorithm is
//! written once, and the exponential. Holds no intrinsics (see `simd_portable.rs`, `simd_x86.rs`)
//! and chooses nothing (see `instructions.rs`).
//!
//! A value of a type that implements [`Simd`] is a proof that the processor has the instructions,
//! so arithmetic is safe; only loads and stores through raw pointers are not. Everything generic
//! over `Simd` is `#[inline(always)]`, since it becomes fast only inside a function that is
//! compiled for the instructions.

use half::bf16;

/// Vectors in one row of a matmul tile (see `matmul_kernel.rs`).
pub const TILE_VECTORS: usize = 2;

/// The vector instructions of one path.
pub trait Simd: Copy {
    /// A vector of [`Simd::LANES`] values.
    type V: Copy;
    /// As many vectors as one has lanes.
    type Square: AsMut<[Self::V]>;

    /// Values in a vector; a power of two, at most 16.
    const LANES: usize;
    /// Rows of a matmul tile: as many as the registers hold beside its [`TILE_VECTORS`] operands.
    const TILE_ROWS: usize;
    /// Columns of a matmul tile.
    const TILE_COLUMNS: usize = TILE_VECTORS * Self::LANES;

    fn splat(self, x: f32) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once where the processor can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where one of them is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where one of them is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    /// To the nearest whole number.
    fn round(self, a: Self::V) -> Self::V;
    /// `a · 2^n` for whole `n` in -252 ..= 252, also where the result is subnormal.
    fn times_power_of_two(self, a: Self::V, n: Self::V) -> Self::V;
    /// In each lane the upper half of `even`'s bits below the upper half of `odd`'s: two bf16 that
    /// were widened become a pair, as they would stand in memory.
    #[inline(always)]
    fn pair(self, even: Self::V, odd: Self::V) -> Self::V {
        let (mut low, mut high) = ([0.0; 16], [0.0; 16]);
        self.store(even, &mut low[..Self::LANES]);
        self.store(odd, &mut high[..Self::LANES]);
        for (low, high) in low.iter_mut().zip(high) {
            *low = f32::from_bits(low.to_bits() >> 16 | high.to_bits() & 0xffff_0000);
        }
        self.load(&low[..Self::LANES])
    }
    /// Rounded to the nearest bf16, an even one in the middle, and widened.
    #[inline(always)]
    fn nearest_bf16(self, a: Self::V) -> Self::V {
        let mut lanes = [0.0; 16];
        self.store(a, &mut lanes[..Self::LANES]);
        self.load(&lanes.map(|lane| bf16::from_f32(lane).to_f32())[..Self::LANES])
    }
    /// All lanes added, in an order that is always the same.
    fn sum(self, a: Self::V) -> f32;
    /// The largest lane.
    fn largest(self, a: Self::V) -> f32;

    /// The first values of `x`, followed by zeros if there are too few.
    fn load(self, x: &[f32]) -> Self::V;
    /// As [`Simd::load`], widened.
    #[inline(always)]
    fn load_bf16(self, x: &[bf16]) -> Self::V {
        if x.len() >= Self::LANES {
            // SAFETY: as many as that.
            return unsafe { self.load_bf16_at(x.as_ptr()) };
        }
        let mut padded = [bf16::ZERO; 16];
        padded[..x.len()].copy_from_slice(x);
        // SAFETY: no vector has more than sixteen lanes.
        unsafe { self.load_bf16_at(padded.as_ptr()) }
    }
    /// As many lanes as fit into `out`.
    fn store(self, a: Self::V, out: &mut [f32]);
    /// As [`Simd::store`], rounded to nearest even.
    #[inline(always)]
    fn store_bf16(self, a: Self::V, out: &mut [bf16]) {
        let mut lanes = [0.0; 16];
        self.store(a, &mut lanes[..Self::LANES]);
        for (out, lane) in out.iter_mut().zip(&lanes[..Self::LANES]) {
            *out = bf16::from_f32(*lane);
        }
    }

    /// # Safety
    /// [`Simd::LANES`] values must be readable at `x`.
    unsafe fn load_at(self, x: *const f32) -> Self::V;
    /// # Safety
    /// [`Simd::LANES`] values must be readable at `x`.
    unsafe fn load_bf16_at(self, x: *const bf16) -> Self::V;
    /// The first of every pair, and the second, widened.
    ///
    /// # Safety
    /// [`Simd::LANES`] pairs must be readable at `x`.
    unsafe fn load_pairs_at(self, x: *const [bf16; 2]) -> [Self::V; 2];
    /// # Safety
    /// [`Simd::LANES`] values must be writable at `out`.
    unsafe fn store_at(self, a: Self::V, out: *mut f32);
    /// Asks for the cache line at `x`, which need not exist.
    fn prefetch(self, x: *const f32);

    /// [`Simd::LANES`] whole numbers, as floats.
    ///
    /// # Safety
    /// As many must be readable at `x`.
    unsafe fn load_i8_at(self, x: *const i8) -> Self::V;

    /// Every lane read as two neighbouring bf16 values, widened: the first ones, the second ones.
    fn halves(self, pairs: Self::V) -> [Self::V; 2];

    /// A square to be filled.
    fn square(self) -> Self::Square;
    /// Rows become columns.
    fn transpose(self, square: &mut Self::Square);
}

/// What one step of the depth adds to a chain: the product of two numbers, or, where each lane holds
/// a pair of bf16, the two products of two pairs.
pub trait Term<V>: Copy {
    /// The chain after the step.
    fn add(self, a: V, b: V, chain: V) -> V;
}

/// The term of numbers in `f32`.
#[derive(Clone, Copy)]
pub struct OneProduct<S>(pub S);

impl<S: Simd> Term<S::V> for OneProduct<S> {
    #[inline(always)]
    fn add(self, a: S::V, b: S::V, chain: S::V) -> S::V {
        self.0.mul_add(a, b, chain)
    }
}

/// eˣ with a relative error below 2e-7; 0 and infinity where `f32` ends, NaN stays NaN.
///
/// Cody and Waite's reduction `x = n·ln 2 + r` with |r| ≤ ln 2 / 2, then the Taylor sum to r⁷,
/// whose next term is below 6e-9.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // 355/512 has nine bits, so n · LN_2_HIGH is exact.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const INVERSE_FACTORIALS: [f32; 8] =
        [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

    let x = s.max(s.splat(-104.0), s.min(s.splat(89.0), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.mul_add(n, s.splat(-LN_2_HIGH), x);
    let r = s.mul_add(n, s.splat(-LN_2_LOW), r);
    let mut sum = s.splat(INVERSE_FACTORIALS[0]);
    for factor in &INVERSE_FACTORIALS[1..] {
        sum = s.mul_add(sum, r, s.splat(*factor));
    }
    s.times_power_of_two(sum, n)
}

/// 1 / (1 + e⁻ˣ)
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}
