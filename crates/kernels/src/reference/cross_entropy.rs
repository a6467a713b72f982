//! Output projection and cross-entropy in one, with the gradients of both.

use super::real::{Real, add_all_rounded, add_scaled, dot, log_sum_exp};

/// Where the gradients go, and what the loss is multiplied with.
pub struct HeadGradients<'a, T> {
    pub d_hidden: &'a mut [T],
    pub d_weight: &'a mut [T],
    pub scale: f32,
}

/// With `z[c] = Σ_i hidden[t, i] · weight[c, i]` as it is `stored`: `losses[t, 0] = log Σ_c exp z[c] − z[label]`,
/// `losses[t, 1]` = 1 if the label is the first maximum of `z`, else 0; both 0 where the label is
/// negative, which says that it is not counted. With gradients, for every counted row and with
/// `d_z[c] = scale · (exp(z[c] − log Σ exp z) − [c = label])` as it is stored:
/// `d_hidden[t, i] += Σ_c d_z[c] · weight[c, i]` and `d_weight[c, i] += Σ_t d_z[c] · hidden[t, i]`.
pub fn cross_entropy<T: Real>(
    losses: &mut [T],
    mut gradients: Option<HeadGradients<'_, T>>,
    hidden: &[T],
    weight: &[T],
    labels: &[i32],
    stored: fn(f64) -> f64,
) {
    losses.fill(T::rounded(0.0));
    let columns = hidden.len().checked_div(labels.len()).unwrap_or(0);
    let mut d_weight = vec![0.0; gradients.as_ref().map_or(0, |_| weight.len())];
    for (t, &label) in labels.iter().enumerate() {
        let Ok(label) = usize::try_from(label) else {
            continue;
        };
        let row = t * columns..(t + 1) * columns;
        let hidden = &hidden[row.clone()];
        let weights = weight.chunks_exact(columns);
        let z: Vec<f64> = weights.map(|weight| stored(dot(hidden, weight))).collect();
        let log_sum = log_sum_exp(&z);
        losses[2 * t] = T::rounded(log_sum - z[label]);
        losses[2 * t + 1] = T::rounded(f64::from(first_maximum(&z) == label));
        if let Some(gradients) = &mut gradients {
            let mut d_z = d_logits(&z, log_sum, label, gradients.scale);
            d_z.iter_mut().for_each(|d_z| *d_z = stored(*d_z));
            let mut d_hidden = vec![0.0; columns];
            for (c, &d_z) in d_z.iter().enumerate() {
                add_scaled(&mut d_hidden, d_z, &weight[c * columns..][..columns]);
                add_scaled(&mut d_weight[c * columns..][..columns], d_z, hidden);
            }
            add_all_rounded(&mut gradients.d_hidden[row], &d_hidden);
        }
    }
    if let Some(gradients) = gradients {
        add_all_rounded(gradients.d_weight, &d_weight);
    }
}

fn d_logits(z: &[f64], log_sum: f64, label: usize, scale: f32) -> Vec<f64> {
    let scale = f64::from(scale);
    let mut d_z: Vec<f64> = z.iter().map(|z| scale * (z - log_sum).exp()).collect();
    d_z[label] -= scale;
    d_z
}

fn first_maximum(z: &[f64]) -> usize {
    (1..z.len()).fold(0, |best, c| if z[c] > z[best] { c } else { best })
}

#[cfg(test)]
mod tests {
    use super::super::finite_differences::{assert_gradient, before, numbers};
    use super::*;

    const COLUMNS: usize = 4;
    const VOCABULARY: usize = 6;
    const LABELS: [i32; 5] = [3, -100, 0, 5, 3];
    const SCALE: f32 = 0.25;
    const AS_IT_IS: fn(f64) -> f64 = |z| z;

    #[test]
    fn equal_logits_cost_the_logarithm_of_their_number_and_the_first_is_the_maximum() {
        let mut losses = [9f32; 6];
        cross_entropy(&mut losses, None, &[1., 1., 1.], &[2.; 4], &[0, 3, -100], AS_IT_IS);
        assert_eq!(losses, [4f32.ln(), 1., 4f32.ln(), 0., 0., 0.]);
    }

    #[test]
    fn a_certain_answer_costs_nothing_and_a_wrong_one_its_distance() {
        let mut losses = [9f32; 4];
        cross_entropy(&mut losses, None, &[1000., 1000.], &[1., -1.], &[0, 1], AS_IT_IS);
        assert_eq!(losses, [0., 1., 2000., 0.]);
    }

    #[test]
    fn the_gradients_equal_finite_differences() {
        let hidden = numbers(1, LABELS.len() * COLUMNS);
        let weight = numbers(2, VOCABULARY * COLUMNS);
        let loss = |hidden: &[f64], weight: &[f64]| {
            let mut losses = vec![0.0; LABELS.len() * 2];
            cross_entropy(&mut losses, None, hidden, weight, &LABELS, AS_IT_IS);
            f64::from(SCALE) * losses.iter().step_by(2).sum::<f64>()
        };
        let (mut d_hidden, mut d_weight) = (before(hidden.len()), before(weight.len()));
        let gradients =
            HeadGradients { d_hidden: &mut d_hidden, d_weight: &mut d_weight, scale: SCALE };
        let mut losses = vec![0.0; LABELS.len() * 2];
        cross_entropy(&mut losses, Some(gradients), &hidden, &weight, &LABELS, AS_IT_IS);
        assert_gradient(&d_hidden, &hidden, |hidden| loss(hidden, &weight));
        assert_gradient(&d_weight, &weight, |weight| loss(&hidden, weight));
    }

    #[test]
    fn logits_and_their_gradients_are_used_as_they_are_stored() {
        let mut losses = [0f64; 4];
        cross_entropy(&mut losses, None, &[0.4, 0.6], &[1.0, 0.0], &[1, 1], f64::round);
        assert_eq!(losses, [2f64.ln(), 0.0, (1f64.exp() + 1.0).ln(), 0.0]);

        let (mut d_hidden, mut d_weight) = ([0f32; 1], [0f32; 2]);
        let gradients =
            HeadGradients { d_hidden: &mut d_hidden, d_weight: &mut d_weight, scale: 1.0 };
        let stored = |x: f64| (2.0 * x).round();
        // Both logits are equal, so their gradients are 1/2 - 1 and 1/2.
        cross_entropy(&mut [0.0; 2], Some(gradients), &[3.0], &[5.0, 5.0], &[0], stored);
        assert_eq!((d_hidden, d_weight), ([0.0], [-3.0, 3.0]));
    }
}
