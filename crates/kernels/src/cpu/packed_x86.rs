//! Products of bytes in the instructions of x86-64.

use crate::cpu::packed_dot::Dot;
use crate::cpu::simd_x86::{Avx2, Avx512};
use std::arch::x86_64::*;

/// Intrinsics that touch no memory outside of references.
macro_rules! proven {
    ($($body:tt)*) => {{
        // SAFETY: `self` is the proof that the processor has these instructions.
        unsafe { $($body)* }
    }};
}

/// A proof that the processor has AVX2, FMA and, if so told, AVX-VNNI.
#[derive(Clone, Copy)]
pub struct Avx2Dot<const VNNI: bool>(Avx2);

/// A proof that the processor has AVX-512 with its byte instructions (BW) and their products (VNNI).
#[derive(Clone, Copy)]
pub struct Avx512Dot(Avx512);

impl<const VNNI: bool> Avx2Dot<VNNI> {
    /// # Safety
    /// The processor must have AVX2 and FMA, and AVX-VNNI if `VNNI`.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        // SAFETY: the caller's promise.
        Avx2Dot(unsafe { Avx2::new() })
    }
}

impl Avx512Dot {
    /// # Safety
    /// The processor must have AVX-512F, AVX-512BW, AVX-512VNNI, AVX2 and FMA.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        // SAFETY: the caller's promise.
        Avx512Dot(unsafe { Avx512::new() })
    }
}

impl<const VNNI: bool> Dot for Avx2Dot<VNNI> {
    type S = Avx2;
    type Numbers = __m256i;
    type Bytes = __m256i;

    const TILE_ROWS: usize = 3;

    #[inline(always)]
    fn floats(self) -> Avx2 {
        self.0
    }
    #[inline(always)]
    fn splat(self, number: i32) -> __m256i {
        proven!(_mm256_set1_epi32(number))
    }
    #[inline(always)]
    fn splat_four(self, four: u32) -> __m256i {
        proven!(_mm256_set1_epi32(four.cast_signed()))
    }
    #[inline(always)]
    fn low_halves(self, bytes: __m256i) -> __m256i {
        proven!(_mm256_and_si256(bytes, _mm256_set1_epi8(15)))
    }
    #[inline(always)]
    fn high_halves(self, bytes: __m256i) -> __m256i {
        proven!(_mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(15)))
    }
    /// Without VNNI, two products would not fit into the 16 bits that they are added in, so that
    /// each is added to nothing first.
    #[inline(always)]
    fn dot(self, sums: __m256i, weights: __m256i, x: __m256i) -> __m256i {
        if VNNI {
            return proven!(_mm256_dpbusd_avx_epi32(sums, weights, x));
        }
        proven! {
            let even = _mm256_and_si256(weights, _mm256_set1_epi16(0x00FF));
            let odd = _mm256_andnot_si256(_mm256_set1_epi16(0x00FF), weights);
            let one = _mm256_set1_epi16(1);
            let even = _mm256_madd_epi16(_mm256_maddubs_epi16(even, x), one);
            let odd = _mm256_madd_epi16(_mm256_maddubs_epi16(odd, x), one);
            _mm256_add_epi32(_mm256_add_epi32(sums, even), odd)
        }
    }
    #[inline(always)]
    fn to_floats(self, numbers: __m256i) -> __m256 {
        proven!(_mm256_cvtepi32_ps(numbers))
    }

    #[inline(always)]
    unsafe fn load(self, bytes: *const u8) -> __m256i {
        // SAFETY: the caller's promise, and `self`.
        unsafe { _mm256_loadu_si256(bytes.cast()) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, x: __m256, out: *mut i8) {
        // SAFETY: the caller's promise, and `self`.
        unsafe {
            let numbers = _mm256_cvtps_epi32(x);
            let (low, high) =
                (_mm256_castsi256_si128(numbers), _mm256_extracti128_si256::<1>(numbers));
            let words = _mm_packs_epi32(low, high);
            _mm_storel_epi64(out.cast(), _mm_packs_epi16(words, words));
        }
    }
}

impl Dot for Avx512Dot {
    type S = Avx512;
    type Numbers = __m512i;
    type Bytes = __m512i;

    /// Their floats wait in memory while whole numbers are summed.
    const TILE_ROWS: usize = 8;
    /// Without such waiting, and of shorter blocks a processor works at several at once.
    const TILE_OF_MANY: usize = 4;

    #[inline(always)]
    fn floats(self) -> Avx512 {
        self.0
    }
    #[inline(always)]
    fn splat(self, number: i32) -> __m512i {
        proven!(_mm512_set1_epi32(number))
    }
    #[inline(always)]
    fn splat_four(self, four: u32) -> __m512i {
        proven!(_mm512_set1_epi32(four.cast_signed()))
    }
    #[inline(always)]
    fn low_halves(self, bytes: __m512i) -> __m512i {
        proven!(_mm512_and_si512(bytes, _mm512_set1_epi8(15)))
    }
    #[inline(always)]
    fn high_halves(self, bytes: __m512i) -> __m512i {
        proven!(_mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(15)))
    }
    #[inline(always)]
    fn dot(self, sums: __m512i, weights: __m512i, x: __m512i) -> __m512i {
        proven!(_mm512_dpbusd_epi32(sums, weights, x))
    }
    #[inline(always)]
    fn to_floats(self, numbers: __m512i) -> __m512 {
        proven!(_mm512_cvtepi32_ps(numbers))
    }

    #[inline(always)]
    unsafe fn load(self, bytes: *const u8) -> __m512i {
        // SAFETY: the caller's promise, and `self`.
        unsafe { _mm512_loadu_si512(bytes.cast()) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, x: __m512, out: *mut i8) {
        // SAFETY: the caller's promise, and `self`.
        unsafe { _mm_storeu_si128(out.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x))) }
    }
}
