//! AVX2 with FMA (8 lanes) and AVX-512F (16 lanes): every intrinsic of kollama but those on bytes,
//! which are in `packed_x86.rs`.

use crate::cpu::simd::{Simd, Term};
use half::bf16;
use std::arch::x86_64::*;
use std::mem::transmute;

/// A proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub struct Avx2(());

/// A proof that the processor has AVX-512F, AVX2 and FMA.
#[derive(Clone, Copy)]
pub struct Avx512(());

impl Avx2 {
    /// # Safety
    /// The processor must have AVX2 and FMA.
    #[inline(always)]
    pub unsafe fn new() -> Avx2 {
        Avx2(())
    }
}

impl Avx512 {
    /// # Safety
    /// The processor must have AVX-512F, AVX2 and FMA.
    #[inline(always)]
    pub unsafe fn new() -> Avx512 {
        Avx512(())
    }
}

/// The term of pairs of bf16, and a proof that the processor has AVX-512 BF16.
#[derive(Clone, Copy)]
pub struct TwoProducts(());

impl TwoProducts {
    /// # Safety
    /// The processor must have AVX-512F and AVX-512 BF16.
    #[inline(always)]
    pub unsafe fn new() -> TwoProducts {
        TwoProducts(())
    }
}

impl Term<__m512> for TwoProducts {
    #[inline(always)]
    fn add(self, a: __m512, b: __m512, chain: __m512) -> __m512 {
        // SAFETY: a vector is 512 bits, whatever they are called.
        let pairs = |v: __m512| unsafe { transmute::<__m512, __m512bh>(v) };
        let (a, b) = (pairs(a), pairs(b));
        // SAFETY: `self` is the proof that the processor has the instruction.
        unsafe { _mm512_dpbf16_ps(chain, a, b) }
    }
}

/// Intrinsics that touch no memory outside of references.
macro_rules! proven {
    ($($body:tt)*) => {{
        // SAFETY: `self` is the proof that the processor has these instructions.
        unsafe { $($body)* }
    }};
}

impl Simd for Avx2 {
    type V = __m256;
    type Square = [__m256; 8];
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        proven!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        proven!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        proven!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        proven!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    /// In two steps, so that each factor is a normal number.
    #[inline(always)]
    fn times_power_of_two(self, a: __m256, n: __m256) -> __m256 {
        proven! {
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            let bias = _mm256_set1_epi32(127);
            let rest = _mm256_sub_epi32(n, half);
            let half = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
            let rest = _mm256_slli_epi32::<23>(_mm256_add_epi32(rest, bias));
            _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(half)), _mm256_castsi256_ps(rest))
        }
    }
    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        let mut x = [0.0; 8];
        self.store(a, &mut x);
        ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
    }
    #[inline(always)]
    fn largest(self, a: __m256) -> f32 {
        let mut x = [0.0; 8];
        self.store(a, &mut x);
        x.into_iter().fold(f32::NEG_INFINITY, |largest, x| if x > largest { x } else { largest })
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m256 {
        if let Some(x) = x.first_chunk::<8>() {
            return proven!(_mm256_loadu_ps(x.as_ptr()));
        }
        let mut padded = [0.0; 8];
        padded[..x.len()].copy_from_slice(x);
        proven!(_mm256_loadu_ps(padded.as_ptr()))
    }
    #[inline(always)]
    fn store(self, a: __m256, out: &mut [f32]) {
        if let Some(out) = out.first_chunk_mut::<8>() {
            return proven!(_mm256_storeu_ps(out.as_mut_ptr(), a));
        }
        let mut padded = [0.0; 8];
        proven!(_mm256_storeu_ps(padded.as_mut_ptr(), a));
        out.copy_from_slice(&padded[..out.len()]);
    }
    /// The upper half goes up by one where the lower half is more than a half, or a half and the
    /// upper odd; what is not a number only loses its lower half.
    #[inline(always)]
    fn nearest_bf16(self, a: __m256) -> __m256 {
        proven! {
            let bits = _mm256_castps_si256(a);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let up = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            let rounded = _mm256_castsi256_ps(_mm256_add_epi32(bits, up));
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
            let not_a_number = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a);
            let chosen = _mm256_blendv_ps(rounded, _mm256_castsi256_ps(quiet), not_a_number);
            _mm256_and_ps(chosen, _mm256_castsi256_ps(_mm256_set1_epi32(-0x1_0000)))
        }
    }
    #[inline(always)]
    fn store_bf16(self, a: __m256, out: &mut [bf16]) {
        let mut padded = [bf16::ZERO; 8];
        proven! {
            let halves = _mm256_srli_epi32::<16>(_mm256_castps_si256(self.nearest_bf16(a)));
            let packed = _mm256_permute4x64_epi64::<8>(_mm256_packus_epi32(halves, halves));
            _mm_storeu_si128(padded.as_mut_ptr().cast(), _mm256_castsi256_si128(packed));
        }
        let count = out.len().min(8);
        out[..count].copy_from_slice(&padded[..count]);
    }

    #[inline(always)]
    unsafe fn load_at(self, x: *const f32) -> __m256 {
        // SAFETY: the caller's promise, and `self`.
        unsafe { _mm256_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn load_bf16_at(self, x: *const bf16) -> __m256 {
        // SAFETY: the caller's promise, and `self`.
        unsafe {
            let halves = _mm_loadu_si128(x.cast());
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
        }
    }
    #[inline(always)]
    unsafe fn load_pairs_at(self, x: *const [bf16; 2]) -> [__m256; 2] {
        // SAFETY: the caller's promise, and `self`.
        unsafe {
            let pairs = _mm256_loadu_si256(x.cast());
            let second = _mm256_and_si256(pairs, _mm256_set1_epi32(0xFFFF_0000_u32.cast_signed()));
            let first = _mm256_slli_epi32::<16>(pairs);
            [first, second].map(|x| _mm256_castsi256_ps(x))
        }
    }
    #[inline(always)]
    unsafe fn store_at(self, a: __m256, out: *mut f32) {
        // SAFETY: the caller's promise, and `self`.
        unsafe { _mm256_storeu_ps(out, a) }
    }
    #[inline(always)]
    fn prefetch(self, x: *const f32) {
        proven!(_mm_prefetch::<_MM_HINT_T0>(x.cast()))
    }

    #[inline(always)]
    unsafe fn load_i8_at(self, x: *const i8) -> __m256 {
        // SAFETY: the caller's promise, and `self`.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(x.cast()))) }
    }
    #[inline(always)]
    fn halves(self, pairs: __m256) -> [__m256; 2] {
        proven! {
            let pairs = _mm256_castps_si256(pairs);
            let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let first = _mm256_slli_epi32::<16>(pairs);
            let second = _mm256_and_si256(pairs, upper);
            [_mm256_castsi256_ps(first), _mm256_castsi256_ps(second)]
        }
    }

    #[inline(always)]
    fn square(self) -> Self::Square {
        [self.splat(0.0); 8]
    }
    /// Pairs, then fours inside the 128-bit quarters, then the quarters.
    #[inline(always)]
    fn transpose(self, square: &mut Self::Square) {
        let r = *square;
        let mut fours = [self.splat(0.0); 8];
        proven! {
            for i in [0, 4] {
                let low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r[i], r[i + 1]));
                let high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r[i], r[i + 1]));
                let low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r[i + 2], r[i + 3]));
                let high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r[i + 2], r[i + 3]));
                fours[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23));
                fours[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23));
                fours[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23));
                fours[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23));
            }
            for j in 0..4 {
                square[j] = _mm256_permute2f128_ps::<0x20>(fours[j], fours[4 + j]);
                square[4 + j] = _mm256_permute2f128_ps::<0x31>(fours[j], fours[4 + j]);
            }
        }
    }
}

/// The first `count` lanes, at most 16.
#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

impl Simd for Avx512 {
    type V = __m512;
    type Square = [__m512; 16];
    const LANES: usize = 16;
    const TILE_ROWS: usize = 14;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        proven!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        proven!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        proven!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn times_power_of_two(self, a: __m512, n: __m512) -> __m512 {
        proven!(_mm512_scalef_ps(a, n))
    }
    #[inline(always)]
    fn pair(self, even: __m512, odd: __m512) -> __m512 {
        proven! {
            let (even, odd) = (_mm512_castps_si512(even), _mm512_castps_si512(odd));
            let odd = _mm512_and_si512(odd, _mm512_set1_epi32(-0x1_0000));
            _mm512_castsi512_ps(_mm512_or_si512(_mm512_srli_epi32::<16>(even), odd))
        }
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        proven!(_mm512_reduce_add_ps(a))
    }
    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        proven!(_mm512_reduce_max_ps(a))
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        match x.first_chunk::<16>() {
            Some(x) => proven!(_mm512_loadu_ps(x.as_ptr())),
            None => proven!(_mm512_maskz_loadu_ps(first_lanes(x.len()), x.as_ptr())),
        }
    }
    #[inline(always)]
    fn store(self, a: __m512, out: &mut [f32]) {
        match out.first_chunk_mut::<16>() {
            Some(out) => proven!(_mm512_storeu_ps(out.as_mut_ptr(), a)),
            None => proven!(_mm512_mask_storeu_ps(out.as_mut_ptr(), first_lanes(out.len()), a)),
        }
    }
    /// As on AVX2.
    #[inline(always)]
    fn nearest_bf16(self, a: __m512) -> __m512 {
        proven! {
            let bits = _mm512_castps_si512(a);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let up = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let rounded = _mm512_add_epi32(bits, up);
            let not_a_number = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
            let quiet = _mm512_set1_epi32(0x0040_0000);
            let chosen = _mm512_mask_or_epi32(rounded, not_a_number, bits, quiet);
            _mm512_castsi512_ps(_mm512_and_si512(chosen, _mm512_set1_epi32(-0x1_0000)))
        }
    }
    #[inline(always)]
    fn store_bf16(self, a: __m512, out: &mut [bf16]) {
        let halves = proven! {
            let bits = _mm512_castps_si512(self.nearest_bf16(a));
            _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(bits))
        };
        if let Some(out) = out.first_chunk_mut::<16>() {
            return proven!(_mm256_storeu_si256(out.as_mut_ptr().cast(), halves));
        }
        let mut padded = [bf16::ZERO; 16];
        proven!(_mm256_storeu_si256(padded.as_mut_ptr().cast(), halves));
        out.copy_from_slice(&padded[..out.len()]);
    }

    #[inline(always)]
    unsafe fn load_at(self, x: *const f32) -> __m512 {
        // SAFETY: the caller's promise, and `self`.
        unsafe { _mm512_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn load_bf16_at(self, x: *const bf16) -> __m512 {
        // SAFETY: the caller's promise, and `self`.
        unsafe {
            let halves = _mm256_loadu_si256(x.cast());
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
        }
    }
    #[inline(always)]
    unsafe fn load_pairs_at(self, x: *const [bf16; 2]) -> [__m512; 2] {
        // SAFETY: the caller's promise, and `self`.
        unsafe {
            let pairs = _mm512_loadu_si512(x.cast());
            let second = _mm512_and_si512(pairs, _mm512_set1_epi32(0xFFFF_0000_u32.cast_signed()));
            let first = _mm512_slli_epi32::<16>(pairs);
            [first, second].map(|x| _mm512_castsi512_ps(x))
        }
    }
    #[inline(always)]
    unsafe fn store_at(self, a: __m512, out: *mut f32) {
        // SAFETY: the caller's promise, and `self`.
        unsafe { _mm512_storeu_ps(out, a) }
    }
    #[inline(always)]
    fn prefetch(self, x: *const f32) {
        proven!(_mm_prefetch::<_MM_HINT_T0>(x.cast()))
    }

    #[inline(always)]
    unsafe fn load_i8_at(self, x: *const i8) -> __m512 {
        // SAFETY: the caller's promise, and `self`.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(x.cast()))) }
    }
    #[inline(always)]
    fn halves(self, pairs: __m512) -> [__m512; 2] {
        proven! {
            let pairs = _mm512_castps_si512(pairs);
            let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let first = _mm512_slli_epi32::<16>(pairs);
            let second = _mm512_and_si512(pairs, upper);
            [_mm512_castsi512_ps(first), _mm512_castsi512_ps(second)]
        }
    }

    #[inline(always)]
    fn square(self) -> Self::Square {
        [self.splat(0.0); 16]
    }
    /// Pairs, then fours inside the 128-bit quarters, then the quarters as a 4 x 4 square.
    #[inline(always)]
    fn transpose(self, square: &mut Self::Square) {
        let r = *square;
        let mut fours = [self.splat(0.0); 16];
        proven! {
            for i in [0, 4, 8, 12] {
                let low01 = _mm512_castps_pd(_mm512_unpacklo_ps(r[i], r[i + 1]));
                let high01 = _mm512_castps_pd(_mm512_unpackhi_ps(r[i], r[i + 1]));
                let low23 = _mm512_castps_pd(_mm512_unpacklo_ps(r[i + 2], r[i + 3]));
                let high23 = _mm512_castps_pd(_mm512_unpackhi_ps(r[i + 2], r[i + 3]));
                fours[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23));
                fours[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23));
                fours[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23));
                fours[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23));
            }
            for j in 0..4 {
                let even_top = _mm512_shuffle_f32x4::<0x88>(fours[j], fours[4 + j]);
                let odd_top = _mm512_shuffle_f32x4::<0xdd>(fours[j], fours[4 + j]);
                let even_bottom = _mm512_shuffle_f32x4::<0x88>(fours[8 + j], fours[12 + j]);
                let odd_bottom = _mm512_shuffle_f32x4::<0xdd>(fours[8 + j], fours[12 + j]);
                square[j] = _mm512_shuffle_f32x4::<0x88>(even_top, even_bottom);
                square[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd_top, odd_bottom);
                square[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even_top, even_bottom);
                square[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd_top, odd_bottom);
            }
        }
    }
}
