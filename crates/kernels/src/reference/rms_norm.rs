//! Rows divided by their root mean square and weighted (Zhang and Sennrich 2019), and the
//! gradients of that. The number of columns is the length of the weight.

use super::real::{Real, add_all_rounded, add_rounded, dot};

/// `out[t, i] = weight[i] · x[t, i] · r[t]`, with `r` the [`inverse_root`] of the row.
pub fn rms_norm<T: Real>(out: &mut [T], x: &[T], weight: &[T], epsilon: f32) {
    let columns = weight.len();
    for (out, x) in out.chunks_exact_mut(columns).zip(x.chunks_exact(columns)) {
        let root = inverse_root(x, epsilon);
        for (out, (x, weight)) in out.iter_mut().zip(x.iter().zip(weight)) {
            *out = T::rounded(weight.wide() * x.wide() * root);
        }
    }
}

/// `d_weight[i] += Σ_t d_out[t, i] · x[t, i] · r[t]`, and for every row
/// `d_x[i] += r · (weight[i] · d_out[i] − x[i] · r² · Σ_k weight[k] · d_out[k] · x[k] / columns)`.
pub fn rms_norm_backward<T: Real>(
    d_x: &mut [T],
    d_weight: &mut [T],
    d_out: &[T],
    x: &[T],
    weight: &[T],
    epsilon: f32,
) {
    let columns = weight.len();
    let mut d_weight_sums = vec![0.0; columns];
    let inputs = x.chunks_exact(columns).zip(d_out.chunks_exact(columns));
    for (d_x, (x, d_out)) in d_x.chunks_exact_mut(columns).zip(inputs) {
        let root = inverse_root(x, epsilon);
        let weighted = |i: usize| weight[i].wide() * d_out[i].wide();
        let mean = (0..columns).map(|i| weighted(i) * x[i].wide()).sum::<f64>() / columns as f64;
        for i in 0..columns {
            add_rounded(&mut d_x[i], root * (weighted(i) - x[i].wide() * root * root * mean));
            d_weight_sums[i] += d_out[i].wide() * x[i].wide() * root;
        }
    }
    add_all_rounded(d_weight, &d_weight_sums);
}

/// `1 / √(Σ_i x[i]² / columns + epsilon)`
fn inverse_root<T: Real>(x: &[T], epsilon: f32) -> f64 {
    1.0 / (dot(x, x) / x.len() as f64 + f64::from(epsilon)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::finite_differences::{assert_gradient, before, numbers};
    use super::*;

    const ROWS: usize = 3;
    const COLUMNS: usize = 5;
    /// Large enough to count.
    const EPSILON: f32 = 0.1;

    #[test]
    fn a_row_is_divided_by_its_root_mean_square() {
        let mut out = [0f32; 2];
        rms_norm(&mut out, &[1., 7.], &[10., 100.], 0.0);
        assert_eq!(out, [2., 140.]);
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let mut out = [1f32; 2];
        rms_norm(&mut out, &[0., 0.], &[10., 100.], 1e-5);
        assert_eq!(out, [0., 0.]);
    }

    #[test]
    fn the_backward_equals_finite_differences() {
        let (x, weight) = (numbers(1, ROWS * COLUMNS), numbers(2, COLUMNS));
        let d_out = numbers(3, ROWS * COLUMNS);
        let loss = |x: &[f64], weight: &[f64]| {
            let mut out = vec![0.0; x.len()];
            rms_norm(&mut out, x, weight, EPSILON);
            dot(&out, &d_out)
        };
        let (mut d_x, mut d_weight) = (before(x.len()), before(weight.len()));
        rms_norm_backward(&mut d_x, &mut d_weight, &d_out, &x, &weight, EPSILON);
        assert_gradient(&d_x, &x, |x| loss(x, &weight));
        assert_gradient(&d_weight, &weight, |weight| loss(&x, weight));
    }
}
