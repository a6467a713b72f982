//! One AdamW update with decoupled weight decay (Loshchilov and Hutter 2019).

use super::real::Real;
use crate::backend::AdamW;

/// With `g = gradient_scale · gradients`, element by element: `p ← p·(1 − lr·decay)`;
/// `m ← β₁m + (1−β₁)g`; `v ← β₂v + (1−β₂)g²`; `p ← p − lr/(1−β₁ᵗ) · m / (√(v/(1−β₂ᵗ)) + ε)`.
/// `moments` are `m` and `v`.
pub fn adamw<T: Real>(
    parameters: &mut [T],
    gradients: &[T],
    moments: (&mut [T], &mut [T]),
    update: AdamW,
) {
    let (beta1, beta2) = (f64::from(update.beta1), f64::from(update.beta2));
    let rate = f64::from(update.learning_rate);
    let decayed = 1.0 - rate * f64::from(update.weight_decay);
    // What the moments lack of an average because they began at zero.
    let (share1, share2) = (1.0 - power(beta1, update.step), 1.0 - power(beta2, update.step));
    let (first, second) = moments;
    for (i, parameter) in parameters.iter_mut().enumerate() {
        let g = f64::from(update.gradient_scale) * gradients[i].wide();
        let m = beta1 * first[i].wide() + (1.0 - beta1) * g;
        let v = beta2 * second[i].wide() + (1.0 - beta2) * g * g;
        let direction = (m / share1) / ((v / share2).sqrt() + f64::from(update.epsilon));
        *parameter = T::rounded(parameter.wide() * decayed - rate * direction);
        (first[i], second[i]) = (T::rounded(m), T::rounded(v));
    }
}

fn power(base: f64, exponent: u64) -> f64 {
    base.powf(exponent as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out with pencil and paper for p = 1, gradients 4 and then -4 halved by the scale,
    /// lr = 1/2, β₁ = 1/2, β₂ = 3/4, ε = 0, decay = 1/4 (all exact in binary):
    /// - step 1: g = 2, m = 1, v = 1; m/(1−1/2) = 2, √(v/(1−3/4)) = 2, so p = 7/8 − 1/2 = 3/8.
    /// - step 2: g = −2, m = −1/2, v = 7/4; m/(1−1/4) = −2/3, v/(1−9/16) = 4, so
    ///   p = 3/8·7/8 + 1/2·(2/3)/2 = 21/64 + 1/6 = 95/192.
    #[test]
    fn two_steps_equal_the_example_worked_out_by_hand() {
        let (mut p, mut m, mut v) = ([1f64], [0f64], [0f64]);
        let mut update = AdamW {
            learning_rate: 0.5,
            beta1: 0.5,
            beta2: 0.75,
            epsilon: 0.0,
            weight_decay: 0.25,
            gradient_scale: 0.5,
            step: 1,
        };
        adamw(&mut p, &[4.0], (&mut m, &mut v), update);
        assert_eq!((p, m, v), ([0.375], [1.0], [1.0]));
        update.step = 2;
        adamw(&mut p, &[-4.0], (&mut m, &mut v), update);
        assert_eq!((m, v), ([-0.5], [1.75]));
        assert!((p[0] - 95.0 / 192.0).abs() < 1e-15, "{}", p[0]);
    }

    #[test]
    fn epsilon_stands_outside_the_root() {
        let (mut p, mut m, mut v) = ([0f64], [0f64], [0f64]);
        let update = AdamW {
            learning_rate: 1.0,
            beta1: 0.0,
            beta2: 0.0,
            epsilon: 3.0,
            weight_decay: 0.0,
            gradient_scale: 1.0,
            step: 1,
        };
        adamw(&mut p, &[1.0], (&mut m, &mut v), update);
        assert_eq!(p, [-0.25]);
    }
}
