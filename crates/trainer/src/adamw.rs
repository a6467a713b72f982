//! The optimiser: the gradient norm and one AdamW update over all trained rows. Moments exist only
//! for tensors that learn. The formula of an update stands in [`kollama_kernels::ops::adamw`].

use crate::trained::Trained;
use kollama_kernels::{AdamW, DType, KernelError, Matrix, ops};
use kollama_llama::parameters::is_norm;
use kollama_llama::{Master, Parameters};
use std::ops::Range;

/// Added to the norm before the clipping factor is taken, as PyTorch's `clip_grad_norm_` does.
const CLIP_EPSILON: f64 = 1e-6;

/// Both moments of every tensor that learns.
pub struct Optimizer {
    /// In the order of [`Parameters::named`]; none: frozen.
    tensors: Vec<Option<Moments>>,
}

/// What AdamW remembers of one tensor.
pub struct Moments {
    /// Hugging Face name of the tensor.
    pub name: String,
    /// The rows that learn.
    pub rows: Range<usize>,
    /// Mean of the gradient, in the tensor's shape; rows that do not learn stay zero.
    pub first: Matrix,
    /// Mean of its square, likewise.
    pub second: Matrix,
}

/// The global norm of a gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientNorm {
    /// √ of the sum of squares over all trained rows.
    pub value: f64,
    /// The first tensor whose gradient is NaN or infinite.
    pub not_finite: Option<String>,
}

impl Optimizer {
    /// Moments of zero for what learns.
    pub fn new(weights: &Parameters, trained: Trained) -> Result<Optimizer, KernelError> {
        let tensors = weights
            .named()
            .into_iter()
            .map(|(name, weight)| {
                let rows = trained.rows_of(&name, weight.rows());
                (!rows.is_empty()).then(|| Moments::zeros(name, weight, rows)).transpose()
            })
            .collect::<Result<_, _>>()?;
        Ok(Optimizer { tensors })
    }

    /// The moments of every tensor that learns.
    pub fn moments(&self) -> impl Iterator<Item = &Moments> {
        self.tensors.iter().flatten()
    }

    /// The same, to be read from a checkpoint.
    pub fn moments_mut(&mut self) -> impl Iterator<Item = &mut Moments> {
        self.tensors.iter_mut().flatten()
    }

    /// Both moments of everything that learns, with names.
    pub fn named(&self) -> impl Iterator<Item = (String, &Matrix)> {
        self.moments().flat_map(|moments| {
            let [first, second] = moments.names();
            [(first, &moments.first), (second, &moments.second)]
        })
    }

    /// Number of weights that learn.
    pub fn trained_weights(&self) -> u64 {
        self.moments().map(|moments| (moments.rows.len() * moments.first.columns()) as u64).sum()
    }

    /// The norm over what learns; gradients of frozen rows have no part in it.
    pub fn gradient_norm(&self, gradients: &Parameters) -> GradientNorm {
        let mut squares = 0.0;
        let mut not_finite = None;
        for (moments, (name, gradient)) in self.tensors.iter().zip(gradients.named()) {
            let Some(moments) = moments else { continue };
            let square = ops::square_sum(gradient, moments.rows.clone());
            if !square.is_finite() && not_finite.is_none() {
                not_finite = Some(name);
            }
            squares += square;
        }
        GradientNorm { value: squares.sqrt(), not_finite }
    }

    /// One update of what learns; the decay given applies to matrices only.
    pub fn update(&mut self, master: &mut Master, gradients: &Parameters, update: AdamW) {
        let pairs = master.weights_mut().zip(gradients.named());
        for (moments, (weight, (_, gradient))) in self.tensors.iter_mut().zip(pairs) {
            let (name, weight, remainder) = weight;
            let Some(moments) = moments else { continue };
            let weight_decay = if is_norm(&name) { 0.0 } else { update.weight_decay };
            let (first, second) = (&mut moments.first, &mut moments.second);
            let update = AdamW { weight_decay, ..update };
            let rows = moments.rows.clone();
            ops::adamw(weight, remainder, gradient, first, second, rows, update);
        }
    }
}

impl Moments {
    /// Names of the two in a checkpoint.
    pub fn names(&self) -> [String; 2] {
        ["first_moment", "second_moment"].map(|which| format!("{which}.{}", self.name))
    }

    fn zeros(name: String, like: &Matrix, rows: Range<usize>) -> Result<Moments, KernelError> {
        let zeros = || Matrix::zeros(like.device(), like.rows(), like.columns(), DType::F32);
        Ok(Moments { name, rows, first: zeros()?, second: zeros()? })
    }
}

/// What gradients are multiplied with so that their norm is at most `clip`.
pub fn clip_factor(norm: f64, clip: Option<f64>) -> f64 {
    clip.map_or(1.0, |clip| (clip / (norm + CLIP_EPSILON)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_below_the_limit_is_left_alone_and_one_above_is_brought_to_it() {
        assert_eq!(clip_factor(0.5, Some(1.0)), 1.0);
        assert_eq!(clip_factor(4.0, Some(1.0)), 1.0 / (4.0 + 1e-6));
        assert_eq!(clip_factor(4.0, None), 1.0);
    }
}
