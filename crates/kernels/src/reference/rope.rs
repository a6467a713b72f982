//! Heads turned by the position of their row (Su et al. 2021), column `j` paired with
//! `j + size/2`, and turned back. A row of `turns` holds `size/2` cosines, then as many sines.

use super::real::Real;

/// `(x_j, x_{j+size/2}) ← (x_j·cos − x_{j+size/2}·sin, x_{j+size/2}·cos + x_j·sin)`, in place.
pub fn rope<T: Real>(x: &mut [T], turns: &[T], heads: usize, size: usize) {
    turn(x, turns, heads, size, 1.0);
}

/// The gradient of [`rope`] in place: the turn by the opposite angle.
pub fn rope_backward<T: Real>(d_x: &mut [T], turns: &[T], heads: usize, size: usize) {
    turn(d_x, turns, heads, size, -1.0);
}

fn turn<T: Real>(x: &mut [T], turns: &[T], heads: usize, size: usize, direction: f64) {
    for (x, turns) in x.chunks_exact_mut(heads * size).zip(turns.chunks_exact(size)) {
        let (cosines, sines) = turns.split_at(size / 2);
        for head in x.chunks_exact_mut(size) {
            let (left, right) = head.split_at_mut(size / 2);
            for j in 0..size / 2 {
                let (cos, sin) = (cosines[j].wide(), sines[j].wide() * direction);
                let (a, b) = (left[j].wide(), right[j].wide());
                left[j] = T::rounded(a * cos - b * sin);
                right[j] = T::rounded(b * cos + a * sin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finite_differences::{BEFORE, assert_gradient, numbers};
    use super::super::real::dot;
    use super::*;

    const ROWS: usize = 3;
    const HEADS: usize = 2;
    const SIZE: usize = 6;

    /// A cosine and a sine for every pair.
    fn turns() -> Vec<f64> {
        let angles = numbers(1, ROWS * SIZE / 2);
        let row = |angles: &[f64]| {
            let cosines = angles.iter().map(|angle| (3.0 * angle).cos());
            cosines.chain(angles.iter().map(|angle| (3.0 * angle).sin())).collect::<Vec<_>>()
        };
        angles.chunks_exact(SIZE / 2).flat_map(row).collect()
    }

    #[test]
    fn a_quarter_turn_moves_the_left_half_to_the_right() {
        let mut x = [1f32, 2., 3., 4.];
        rope(&mut x, &[0., 0., 1., 1.], 1, 4);
        assert_eq!(x, [-3., -4., 1., 2.]);
        rope_backward(&mut x, &[0., 0., 1., 1.], 1, 4);
        assert_eq!(x, [1., 2., 3., 4.]);
    }

    #[test]
    fn the_backward_equals_finite_differences() {
        let (x, turns) = (numbers(2, ROWS * HEADS * SIZE), turns());
        let d_out = numbers(3, x.len());
        let mut d_x = d_out.clone();
        rope_backward(&mut d_x, &turns, HEADS, SIZE);
        let gradient: Vec<f64> = d_x.iter().map(|d_x| BEFORE + d_x).collect();
        assert_gradient(&gradient, &x, |x| {
            let mut out = x.to_vec();
            rope(&mut out, &turns, HEADS, SIZE);
            dot(&out, &d_out)
        });
    }
}
