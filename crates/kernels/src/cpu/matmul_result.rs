//! Where a product goes: floats, or bf16 with floats beside it in which the sums are taken and which
//! are rounded once, at the end. Knows nothing of how products are cut.

use crate::cpu::instructions::{Instructions, Kernel};
use crate::cpu::matmul_kernel::Target;
use crate::cpu::simd::Simd;
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::view::View;
use half::bf16;

/// The result of a product, of which tasks write different rectangles.
#[derive(Clone, Copy)]
pub enum Elements<'a> {
    /// Summed in place.
    F32(SharedMut<'a, f32>),
    /// Rounded at the end.
    Bf16(SharedMut<'a, bf16>),
}

impl<'a> Elements<'a> {
    /// # Safety
    /// As [`View::f32s_mut`].
    pub unsafe fn of(out: &View) -> Elements<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            match out.dtype {
                DType::F32 => Elements::F32(SharedMut::new(out.f32s_mut())),
                _ => Elements::Bf16(SharedMut::new(out.bf16s_mut())),
            }
        }
    }
}

/// A rectangle of a matrix: its first element and the distance of its rows.
#[derive(Clone, Copy)]
pub struct Rectangle<'a, T> {
    /// The matrix, or a part of it.
    pub elements: SharedMut<'a, T>,
    /// Index of element (0, 0).
    pub start: usize,
    /// Elements from one row to the next.
    pub stride: usize,
}

impl<'a, T: Copy> Rectangle<'a, T> {
    /// The rectangle that starts at the given element of this one.
    pub fn at(self, (row, column): (usize, usize)) -> Rectangle<'a, T> {
        Rectangle { start: self.start + row * self.stride + column, ..self }
    }

    /// Where an element stands, if there is one.
    #[inline(always)]
    pub fn address(&self, row: usize, column: usize) -> *mut T {
        self.elements.pointer(0..0).wrapping_add(self.start + row * self.stride + column)
    }

    /// # Safety
    /// As [`SharedMut::part`].
    #[inline(always)]
    pub unsafe fn row(&self, row: usize, columns: usize) -> &'a mut [T] {
        let start = self.start + row * self.stride;
        // SAFETY: the caller's promise.
        unsafe { self.elements.part(start..start + columns) }
    }
}

/// Where a block of a product is summed and, if that is elsewhere, where it ends.
#[derive(Clone, Copy)]
pub struct Sums<'a> {
    /// Where it is summed.
    pub floats: Rectangle<'a, f32>,
    /// Where it is rounded to.
    pub rounded: Option<Rectangle<'a, bf16>>,
}

impl<'a> Sums<'a> {
    /// The sums of the rectangle that starts at the given element.
    pub fn at(self, corner: (usize, usize)) -> Sums<'a> {
        let rounded = self.rounded.map(|rounded| rounded.at(corner));
        Sums { floats: self.floats.at(corner), rounded }
    }

    /// For the tile, which asserts nothing.
    pub fn target(&self, rows: usize, columns: usize) -> Target {
        let Rectangle { elements, start, stride } = self.floats;
        let end = start + (rows - 1) * stride + columns;
        Target { start: elements.pointer(start..end), stride }
    }

    /// Begins with what stands in the result, where the sums are beside it.
    ///
    /// # Safety
    /// Nobody else may use the rectangle of the given size.
    pub unsafe fn widen(&self, instructions: Instructions, rows: usize, columns: usize) {
        let Some(rounded) = self.rounded else { return };
        for row in 0..rows {
            // SAFETY: the caller's promise.
            let (out, x) = unsafe { (self.floats.row(row, columns), rounded.row(row, columns)) };
            instructions.run(Widen { out, x });
        }
    }

    /// Ends with the sums in the result, where they are beside it.
    ///
    /// # Safety
    /// As [`Sums::widen`].
    pub unsafe fn round(&self, instructions: Instructions, rows: usize, columns: usize) {
        let Some(rounded) = self.rounded else { return };
        for row in 0..rows {
            // SAFETY: the caller's promise.
            let (out, x) = unsafe { (rounded.row(row, columns), self.floats.row(row, columns)) };
            instructions.run(Round { out, x });
        }
    }
}

/// `out = x`
pub struct Widen<'a> {
    /// As long as `x`.
    pub out: &'a mut [f32],
    /// What is widened.
    pub x: &'a [bf16],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (out, x) in self.out.chunks_mut(S::LANES).zip(self.x.chunks(S::LANES)) {
            s.store(s.load_bf16(x), out);
        }
    }
}

/// `out = x`, rounded to nearest even.
pub struct Round<'a> {
    /// As long as `x`.
    pub out: &'a mut [bf16],
    /// What is rounded.
    pub x: &'a [f32],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (out, x) in self.out.chunks_mut(S::LANES).zip(self.x.chunks(S::LANES)) {
            s.store_bf16(s.load(x), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::path::CpuPath;

    #[test]
    fn rounding_is_to_nearest_even_on_every_path_whatever_the_number() {
        // Every upper half with the lower halves that decide.
        let lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        let bits = (0..=0xffff_u32).flat_map(|upper| lower.map(|lower| upper << 16 | lower));
        let x: Vec<f32> = bits.map(f32::from_bits).collect();
        let expected: Vec<u16> = x.iter().map(|&x| bf16::from_f32(x).to_bits()).collect();
        for path in CpuPath::available() {
            let mut out = vec![bf16::ZERO; x.len()];
            Instructions::checked(path).unwrap().run(Round { out: &mut out, x: &x });
            let found: Vec<u16> = out.iter().map(|x| x.to_bits()).collect();
            assert!(found == expected, "{}", path.name());
        }
    }

    #[test]
    fn rows_that_end_inside_a_vector_are_rounded_and_widened_as_well() {
        for path in CpuPath::available() {
            let x: Vec<f32> = (0..21).map(|i| i as f32).collect();
            let (mut out, mut back) = ([bf16::ZERO; 22], [7.0; 22]);
            let instructions = Instructions::checked(path).unwrap();
            instructions.run(Round { out: &mut out[..21], x: &x });
            instructions.run(Widen { out: &mut back[..21], x: &out[..21] });
            assert_eq!((&back[..21], back[21], out[21]), (&x[..], 7.0, bf16::ZERO));
        }
    }
}
