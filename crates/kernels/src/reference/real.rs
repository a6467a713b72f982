//! What the reference computes with: elements are widened to `f64` when read and rounded when
//! written. Generic over the element, so that gradients can be checked where nothing is rounded.

/// An element of a matrix: `f32` on the device, `f64` in the gradient checks.
pub trait Real: Copy {
    /// The same number.
    fn wide(self) -> f64;
    /// The nearest element.
    fn rounded(wide: f64) -> Self;
}

impl Real for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn rounded(wide: f64) -> f32 {
        wide as f32
    }
}

impl Real for f64 {
    fn wide(self) -> f64 {
        self
    }

    fn rounded(wide: f64) -> f64 {
        wide
    }
}

/// `out += sum`, the sum rounded before it is added: what every `d_` output gets.
pub fn add_rounded<T: Real>(out: &mut T, sum: f64) {
    *out = T::rounded(out.wide() + T::rounded(sum).wide());
}

/// [`add_rounded`] for every element of a row or matrix.
pub fn add_all_rounded<T: Real>(out: &mut [T], sums: &[f64]) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        add_rounded(out, sum);
    }
}

/// `Σ_i x[i] · y[i]`
pub fn dot<T: Real>(x: &[T], y: &[T]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x.wide() * y.wide()).sum()
}

/// `sums[i] += factor · x[i]`
pub fn add_scaled<T: Real>(sums: &mut [f64], factor: f64, x: &[T]) {
    for (sum, x) in sums.iter_mut().zip(x) {
        *sum += factor * x.wide();
    }
}

/// `log Σ_i exp x[i]`, safe from overflow.
pub fn log_sum_exp(x: &[f64]) -> f64 {
    let maximum = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    maximum + x.iter().map(|x| (x - maximum).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_rounded_before_it_is_added() {
        let (tiny, mut out) = (2f64.powi(-25), 1f32);
        add_rounded(&mut out, 1.0 + 3.0 * tiny);
        assert_eq!(out, 2.0);
        let mut out = 0f32;
        add_rounded(&mut out, 1.0 + 3.0 * tiny);
        assert_eq!(out, 1.0 + f32::EPSILON);
    }

    #[test]
    fn log_sum_exp_neither_overflows_nor_hides_a_nan() {
        assert_eq!(log_sum_exp(&[1e5, 1e5]), 1e5 + 2f64.ln());
        assert_eq!(log_sum_exp(&[-1e5]), -1e5);
        assert!(log_sum_exp(&[0.0, f64::NAN]).is_nan());
    }
}
