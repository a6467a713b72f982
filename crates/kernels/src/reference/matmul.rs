//! Products of rows with a weight `[o, i]`, and their gradients. `columns` is the number of input
//! columns `i`.

use super::real::{Real, add_all_rounded, add_scaled, dot};

/// `out[t, o] = Σ_i x[t, i] · w[o, i]`
pub fn matmul<T: Real>(out: &mut [T], x: &[T], w: &[T], columns: usize) {
    let outputs = w.len() / columns;
    for (out, x) in out.chunks_exact_mut(outputs).zip(x.chunks_exact(columns)) {
        for (out, w) in out.iter_mut().zip(w.chunks_exact(columns)) {
            *out = T::rounded(dot(x, w));
        }
    }
}

/// `d_x[t, i] += Σ_o d_out[t, o] · w[o, i]`
pub fn matmul_backward_input<T: Real>(d_x: &mut [T], d_out: &[T], w: &[T], columns: usize) {
    let outputs = w.len() / columns;
    for (d_x, d_out) in d_x.chunks_exact_mut(columns).zip(d_out.chunks_exact(outputs)) {
        let mut sums = vec![0.0; columns];
        for (d_out, w) in d_out.iter().zip(w.chunks_exact(columns)) {
            add_scaled(&mut sums, d_out.wide(), w);
        }
        add_all_rounded(d_x, &sums);
    }
}

/// `d_w[o, i] += Σ_t d_out[t, o] · x[t, i]`
pub fn matmul_backward_weight<T: Real>(d_w: &mut [T], d_out: &[T], x: &[T], columns: usize) {
    let outputs = d_w.len() / columns;
    for (o, d_w) in d_w.chunks_exact_mut(columns).enumerate() {
        let mut sums = vec![0.0; columns];
        for (d_out, x) in d_out.chunks_exact(outputs).zip(x.chunks_exact(columns)) {
            add_scaled(&mut sums, d_out[o].wide(), x);
        }
        add_all_rounded(d_w, &sums);
    }
}

#[cfg(test)]
mod tests {
    use super::super::finite_differences::{assert_gradient, before, numbers};
    use super::*;

    const ROWS: usize = 3;
    const COLUMNS: usize = 5;
    const OUTPUTS: usize = 4;

    #[test]
    fn the_weight_stands_with_one_row_per_output() {
        let mut out = [0f32; 4];
        matmul(&mut out, &[1., 2., 3., 4., 5., 6.], &[1., 0., 0., 1., 1., 1.], 3);
        assert_eq!(out, [1., 6., 4., 15.]);
    }

    #[test]
    fn both_backwards_equal_finite_differences() {
        let (x, w) = (numbers(1, ROWS * COLUMNS), numbers(2, OUTPUTS * COLUMNS));
        let d_out = numbers(3, ROWS * OUTPUTS);
        let loss = |x: &[f64], w: &[f64]| {
            let mut out = vec![0.0; ROWS * OUTPUTS];
            matmul(&mut out, x, w, COLUMNS);
            dot(&out, &d_out)
        };
        let (mut d_x, mut d_w) = (before(x.len()), before(w.len()));
        matmul_backward_input(&mut d_x, &d_out, &w, COLUMNS);
        matmul_backward_weight(&mut d_w, &d_out, &x, COLUMNS);
        assert_gradient(&d_x, &x, |x| loss(x, &w));
        assert_gradient(&d_w, &w, |w| loss(&x, w));
    }
}
