//! Four lanes in plain Rust, which the compiler turns into whatever the architecture always has
//! (SSE2, NEON). Slower than the other paths on x86-64, because FMA is not among it there.

use crate::cpu::simd::Simd;
use half::bf16;

const LANES: usize = 4;

/// The instructions that every processor has.
#[derive(Clone, Copy)]
pub struct Portable;

/// Whether `f32::mul_add` is one instruction; elsewhere it is a slow call.
const HAS_FMA: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

type V = [f32; LANES];

#[inline(always)]
fn map2(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    std::array::from_fn(|i| f(a[i], b[i]))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

impl Simd for Portable {
    type V = V;
    type Square = [V; LANES];
    const LANES: usize = LANES;
    const TILE_ROWS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [x; LANES]
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: V, b: V, c: V) -> V {
        std::array::from_fn(|i| if HAS_FMA { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] })
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, a: V) -> V {
        a.map(f32::sqrt)
    }
    /// Adding 1.5 · 2²³ leaves no bits for a fraction; right for |a| below 2²².
    #[inline(always)]
    fn round(self, a: V) -> V {
        const SHIFT: f32 = 12_582_912.0;
        a.map(|a| (a + SHIFT) - SHIFT)
    }
    /// In two steps, so that each factor is a normal number.
    #[inline(always)]
    fn times_power_of_two(self, a: V, n: V) -> V {
        map2(a, n, |a, n| {
            let n = n as i32;
            let half = n >> 1;
            a * power_of_two(half) * power_of_two(n - half)
        })
    }
    #[inline(always)]
    fn sum(self, a: V) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    fn largest(self, a: V) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, |largest, a| if a > largest { a } else { largest })
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> V {
        match x.first_chunk() {
            Some(x) => *x,
            None => std::array::from_fn(|i| x.get(i).copied().unwrap_or(0.0)),
        }
    }
    #[inline(always)]
    fn store(self, a: V, out: &mut [f32]) {
        match out.first_chunk_mut() {
            Some(out) => *out = a,
            None => out.copy_from_slice(&a[..out.len()]),
        }
    }
    #[inline(always)]
    fn store_bf16(self, a: V, out: &mut [bf16]) {
        out.iter_mut().zip(a).for_each(|(out, a)| *out = bf16::from_f32(a));
    }

    #[inline(always)]
    unsafe fn load_at(self, x: *const f32) -> V {
        // SAFETY: the caller's promise; `f32` alignment is all that an array of them needs.
        unsafe { x.cast::<V>().read() }
    }
    #[inline(always)]
    unsafe fn load_bf16_at(self, x: *const bf16) -> V {
        // SAFETY: the caller's promise.
        let x = unsafe { x.cast::<[bf16; LANES]>().read() };
        x.map(|x| f32::from_bits(u32::from(x.to_bits()) << 16))
    }
    #[inline(always)]
    unsafe fn load_pairs_at(self, x: *const [bf16; 2]) -> [V; 2] {
        // SAFETY: the caller's promise.
        let pairs = unsafe { x.cast::<[u32; LANES]>().read_unaligned() };
        let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
        for (lane, pair) in pairs.into_iter().map(u32::from_le).enumerate() {
            first[lane] = f32::from_bits(pair << 16);
            second[lane] = f32::from_bits(pair & 0xFFFF_0000);
        }
        [first, second]
    }
    #[inline(always)]
    unsafe fn store_at(self, a: V, out: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { out.cast::<V>().write(a) }
    }
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    unsafe fn load_i8_at(self, x: *const i8) -> V {
        // SAFETY: the caller's promise.
        unsafe { x.cast::<[i8; LANES]>().read() }.map(f32::from)
    }
    #[inline(always)]
    fn halves(self, pairs: V) -> [V; 2] {
        let half =
            |i: usize| pairs.map(|x| bytemuck::cast::<u32, [bf16; 2]>(x.to_bits())[i].to_bits());
        [0, 1].map(|i| half(i).map(|bits| f32::from_bits(u32::from(bits) << 16)))
    }

    #[inline(always)]
    fn square(self) -> Self::Square {
        [[0.0; LANES]; LANES]
    }
    #[inline(always)]
    fn transpose(self, square: &mut Self::Square) {
        let rows = *square;
        *square = std::array::from_fn(|i| std::array::from_fn(|j| rows[j][i]));
    }
}
