//! The elements of a matrix that is stored as f32 or as bf16, read and written as vectors of f32:
//! for operations that go through memory once and take either. Widening is exact, storing rounds
//! to nearest even. Which operation takes what stands in `ops.rs`.

use crate::cpu::matmul_pack::Elements;
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::view::View;
use half::bf16;
use std::ops::Range;

/// Elements that are written.
pub enum ElementsMut<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
}

/// Elements of which several tasks write different parts.
pub enum SharedElements<'a> {
    F32(SharedMut<'a, f32>),
    Bf16(SharedMut<'a, bf16>),
}

impl<'a> Elements<'a> {
    /// # Safety
    /// As [`View::f32s`].
    pub unsafe fn of(view: View) -> Elements<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            match view.dtype {
                DType::F32 => Elements::F32(view.f32s()),
                _ => Elements::Bf16(view.bf16s()),
            }
        }
    }

    /// Number of elements.
    #[inline(always)]
    pub fn len(self) -> usize {
        match self {
            Elements::F32(x) => x.len(),
            Elements::Bf16(x) => x.len(),
        }
    }

    /// Some of them.
    #[inline(always)]
    pub fn part(self, range: Range<usize>) -> Elements<'a> {
        match self {
            Elements::F32(x) => Elements::F32(&x[range]),
            Elements::Bf16(x) => Elements::Bf16(&x[range]),
        }
    }

    /// All but the first `start`.
    pub fn after(self, start: usize) -> Elements<'a> {
        self.part(start..self.len())
    }

    /// As [`Simd::load`], from element `i` on.
    #[inline(always)]
    pub fn load<S: Simd>(self, s: S, i: usize) -> S::V {
        match self {
            Elements::F32(x) => s.load(&x[i..]),
            Elements::Bf16(x) => s.load_bf16(&x[i..]),
        }
    }
}

impl<'a> ElementsMut<'a> {
    /// # Safety
    /// As [`View::f32s_mut`].
    pub unsafe fn of(view: View) -> ElementsMut<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            match view.dtype {
                DType::F32 => ElementsMut::F32(view.f32s_mut()),
                _ => ElementsMut::Bf16(view.bf16s_mut()),
            }
        }
    }

    /// What they hold.
    #[inline(always)]
    pub fn read(&self) -> Elements<'_> {
        match self {
            ElementsMut::F32(x) => Elements::F32(x),
            ElementsMut::Bf16(x) => Elements::Bf16(x),
        }
    }

    /// Some of them.
    #[inline(always)]
    pub fn part(&mut self, range: Range<usize>) -> ElementsMut<'_> {
        match self {
            ElementsMut::F32(x) => ElementsMut::F32(&mut x[range]),
            ElementsMut::Bf16(x) => ElementsMut::Bf16(&mut x[range]),
        }
    }

    /// As [`Simd::store`], from element `i` on.
    #[inline(always)]
    pub fn store<S: Simd>(&mut self, s: S, a: S::V, i: usize) {
        match self {
            ElementsMut::F32(x) => s.store(a, &mut x[i..]),
            ElementsMut::Bf16(x) => s.store_bf16(a, &mut x[i..]),
        }
    }
}

impl<'a> SharedElements<'a> {
    /// # Safety
    /// As [`View::f32s_mut`].
    pub unsafe fn of(view: View) -> SharedElements<'a> {
        // SAFETY: the caller's promise.
        match unsafe { ElementsMut::of(view) } {
            ElementsMut::F32(x) => SharedElements::F32(SharedMut::new(x)),
            ElementsMut::Bf16(x) => SharedElements::Bf16(SharedMut::new(x)),
        }
    }

    /// # Safety
    /// As [`SharedMut::part`].
    pub unsafe fn part(&self, range: Range<usize>) -> ElementsMut<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                SharedElements::F32(x) => ElementsMut::F32(x.part(range)),
                SharedElements::Bf16(x) => ElementsMut::Bf16(x.part(range)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::instructions::{Instructions, Kernel};
    use crate::cpu::path::CpuPath;

    struct Copy<'a>(ElementsMut<'a>, Elements<'a>);

    impl Kernel for Copy<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(mut self, s: S) {
            for i in (0..self.1.len()).step_by(S::LANES) {
                self.0.store(s, self.1.load(s, i), i);
            }
        }
    }

    #[test]
    fn every_f32_rounds_to_the_nearest_even_bf16_and_nan_to_nan() {
        // Every upper half with lower halves below, at and above the middle, and signalling NaN.
        let lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        let bits = (0..=u32::from(u16::MAX)).flat_map(|upper| lower.map(|low| upper << 16 | low));
        let x: Vec<f32> = bits.map(f32::from_bits).collect();
        let bits_of = |x: &[bf16]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let expected: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
        for path in CpuPath::available() {
            let mut out = vec![bf16::ONE; x.len()];
            let copy = Copy(ElementsMut::Bf16(&mut out), Elements::F32(&x));
            Instructions::checked(path).unwrap().run(copy);
            assert!(bits_of(&out) == bits_of(&expected), "{}", path.name());
        }
    }

    #[test]
    fn stores_of_bf16_stop_at_the_end() {
        for (path, length) in CpuPath::available().into_iter().flat_map(|p| [(p, 3), (p, 19)]) {
            let mut out = vec![bf16::NEG_ONE; length + 1];
            let copy =
                Copy(ElementsMut::Bf16(&mut out[..length]), Elements::F32(&[1.5; 19][..length]));
            Instructions::checked(path).unwrap().run(copy);
            assert!(out[..length].iter().all(|x| x.to_f32() == 1.5), "{}", path.name());
            assert_eq!(out[length], bf16::NEG_ONE, "{}", path.name());
        }
    }
}
