//! The two plain sums: of two matrices, and of the squares of one.

use super::real::{Real, add_rounded, dot};

/// `out += x`
pub fn add<T: Real>(out: &mut [T], x: &[T]) {
    for (out, x) in out.iter_mut().zip(x) {
        add_rounded(out, x.wide());
    }
}

/// `Σ x²`
pub fn square_sum<T: Real>(x: &[T]) -> f64 {
    dot(x, x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_added_element_by_element() {
        let mut out = [1f32, 2., 3.];
        add(&mut out, &[10., 20., 30.]);
        assert_eq!(out, [11., 22., 33.]);
    }

    #[test]
    fn squares_that_f32_cannot_add_are_summed() {
        assert_eq!(square_sum(&[4096f32, 1.]), 16_777_217.0);
    }
}
