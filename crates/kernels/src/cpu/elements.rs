//! The elements of a matrix that is stored as f32 or as bf16, read and written as vectors of f32:
//! for operations that go through memory once and take either. Widening is exact, storing rounds
//! to nearest even. Which operation takes what stands in `ops.rs`.

use crate::cpu::instructions::Kernel;
use crate::cpu::matmul_pack;
use crate::cpu::matmul_result::Elements as SharedElements;
use crate::cpu::simd::Simd;
use crate::dtype::DType;
use crate::view::View;
use half::bf16;
use std::ops::Range;

/// Elements that are read.
#[derive(Clone, Copy)]
pub enum Elements<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// Elements that are written.
pub enum ElementsMut<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
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

impl<'a> From<Elements<'a>> for matmul_pack::Elements<'a> {
    fn from(elements: Elements<'a>) -> Self {
        match elements {
            Elements::F32(x) => Self::F32(x),
            Elements::Bf16(x) => Self::Bf16(x),
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
    /// As [`crate::cpu::threads::SharedMut::part`].
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

/// `out = x`, in the dtype of `out`.
pub struct Convert<'a> {
    /// What is written.
    pub out: ElementsMut<'a>,
    /// As many elements.
    pub x: Elements<'a>,
}

impl Kernel for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for i in (0..self.x.len()).step_by(S::LANES) {
            self.out.store(s, self.x.load(s, i), i);
        }
    }
}
