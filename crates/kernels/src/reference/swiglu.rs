//! The gated activation of the feed-forward block (Shazeer 2020), and its gradients.

use super::real::{Real, add_rounded};

/// `out = gate · σ(gate) · up`, element by element.
pub fn swiglu<T: Real>(out: &mut [T], gate: &[T], up: &[T]) {
    for (out, (gate, up)) in out.iter_mut().zip(gate.iter().zip(up)) {
        *out = T::rounded(gate.wide() * sigmoid(gate.wide()) * up.wide());
    }
}

/// `d_gate += d_out · up · σ · (1 + gate · (1 − σ))` and `d_up += d_out · gate · σ`, `σ = σ(gate)`.
pub fn swiglu_backward<T: Real>(
    d_gate: &mut [T],
    d_up: &mut [T],
    d_out: &[T],
    gate: &[T],
    up: &[T],
) {
    for (i, d_out) in d_out.iter().enumerate() {
        let (d_out, gate, up) = (d_out.wide(), gate[i].wide(), up[i].wide());
        let sigma = sigmoid(gate);
        add_rounded(&mut d_gate[i], d_out * up * sigma * (1.0 + gate * (1.0 - sigma)));
        add_rounded(&mut d_up[i], d_out * gate * sigma);
    }
}

/// `σ(x) = 1 / (1 + exp(−x))`
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::super::finite_differences::{assert_gradient, before, numbers};
    use super::super::real::dot;
    use super::*;

    #[test]
    fn a_wide_open_gate_passes_its_product_and_a_shut_one_nothing() {
        let mut out = [1f32; 3];
        swiglu(&mut out, &[1000., 0., -1000.], &[2., 3., 4.]);
        assert_eq!(out, [2000., 0., 0.]);
    }

    #[test]
    fn the_backward_equals_finite_differences() {
        let gate: Vec<f64> = numbers(1, 24).iter().map(|gate| 4.0 * gate).collect();
        let (up, d_out) = (numbers(2, 24), numbers(3, 24));
        let loss = |gate: &[f64], up: &[f64]| {
            let mut out = vec![0.0; gate.len()];
            swiglu(&mut out, gate, up);
            dot(&out, &d_out)
        };
        let (mut d_gate, mut d_up) = (before(24), before(24));
        swiglu_backward(&mut d_gate, &mut d_up, &d_out, &gate, &up);
        assert_gradient(&d_gate, &gate, |gate| loss(gate, &up));
        assert_gradient(&d_up, &up, |up| loss(&gate, up));
    }
}
