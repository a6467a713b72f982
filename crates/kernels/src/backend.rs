//! The seam: what a device must know. Nothing else crosses. Formulae and shapes stand in
//! [`crate::ops`], which checks every shape before it calls; a backend may rely on them.

use crate::error::KernelError;
use crate::layout::{Heads, Spans};
use crate::view::{Address, View};
use std::ops::Range;

/// One AdamW update with decoupled weight decay (Loshchilov and Hutter 2019), in numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled decay; 0 for norms.
    pub weight_decay: f32,
    /// Gradients are multiplied with it first: the clipping factor.
    pub gradient_scale: f32,
    /// Number of this update, from 1.
    pub step: u64,
}

/// What stands in a gradient when an operation comes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing that counts: it is overwritten.
    Nothing,
    /// What other operations gave: it is added to.
    Others,
}

/// Queries, keys and values as views.
#[derive(Clone, Copy)]
pub struct QkvViews {
    pub queries: View,
    pub keys: View,
    pub values: View,
}

/// Where the gradients of the output projection go: hidden rows and weight, and the factor of the loss.
#[derive(Clone, Copy)]
pub struct HeadGradientViews {
    pub d_hidden: View,
    pub d_weight: View,
    pub before: Before,
    pub scale: f32,
}

/// A device. Every view handed in is `f32` except where said here or in [`crate::ops`]; outputs come
/// first and never overlap an input. `d_` outputs are added to unless `before` says that nothing stands
/// there, other outputs are overwritten.
pub trait Backend: Send + Sync {
    fn name(&self) -> String;

    /// Zeroed memory, aligned to 64 bytes.
    fn allocate(&self, bytes: usize) -> Result<Address, KernelError>;
    fn free(&self, address: Address, bytes: usize);
    fn copy_in(&self, address: Address, bytes: &[u8]);
    fn copy_out(&self, bytes: &mut [u8], address: Address);
    fn clear(&self, x: View);
    /// `out` and `x` may be of different dtypes.
    fn copy(&self, out: View, x: View);
    /// `x` into its bf16 and a remainder.
    fn split(&self, rounded: View, remainder: View, x: View);
    fn join(&self, out: View, rounded: View, remainder: View);
    /// Waits for everything asked for and reports what failed meanwhile.
    fn finish(&self) -> Result<(), KernelError>;

    /// Writes all of `out`, which is packed and begins with a panel.
    fn pack(&self, out: View, x: View);
    /// Every side of the three products may be bf16, except `d_w`; `w` may be packed here.
    fn matmul(&self, out: View, x: View, w: View);
    /// [`Backend::matmul`] of every `(out, w)`.
    fn matmuls(&self, products: &[(View, View)], x: View) {
        products.iter().for_each(|&(out, w)| self.matmul(out, x, w));
    }
    fn matmul_backward_input(&self, d_x: View, d_out: View, w: View, before: Before);
    fn matmul_backward_weight(&self, d_w: View, d_out: View, x: View, before: Before);
    /// `table` may be bf16 or packed.
    fn embedding(&self, out: View, table: View, ids: &[u32]);
    fn embedding_backward(&self, d_table: View, d_out: View, ids: &[u32]);
    fn rms_norm(&self, out: View, x: View, weight: View, epsilon: f32);
    fn rms_norm_backward(
        &self,
        d_x: View,
        d_weight: View,
        d_out: View,
        x: View,
        weight: View,
        epsilon: f32,
    );
    fn rope(&self, x: View, turns: View, heads: usize);
    fn rope_backward(&self, d_x: View, turns: View, heads: usize);
    fn attention(&self, out: View, log_sums: View, input: QkvViews, spans: &Spans, heads: Heads);
    /// `result` is `(out, log_sums)` of the forward call.
    fn attention_backward(
        &self,
        d_input: QkvViews,
        d_out: View,
        result: (View, View),
        input: QkvViews,
        spans: &Spans,
        heads: Heads,
    );
    fn swiglu(&self, out: View, gate: View, up: View);
    /// `gated` is room for the result of [`Backend::swiglu`], which need not be left there.
    fn matmul_swiglu(&self, out: View, gated: View, gate: View, up: View, w: View) {
        self.swiglu(gated, gate, up);
        self.matmul(out, gated, w);
    }
    fn swiglu_backward(
        &self,
        d_input: (View, View),
        d_out: View,
        gate: View,
        up: View,
        before: Before,
    );
    fn add(&self, out: View, x: View);
    /// `weight` may be packed where no gradients are asked for; `logits` is scratch whose rows say
    /// how large a chunk is.
    fn cross_entropy(
        &self,
        losses: View,
        gradients: Option<HeadGradientViews>,
        logits: View,
        hidden: View,
        weight: View,
        labels: &[i32],
    );
    /// `weight` may be packed; `logits` as above.
    fn label_losses(
        &self,
        losses: View,
        logits: View,
        hidden: View,
        weight: View,
        asked: &[(u32, u32)],
    );
    fn square_sum(&self, x: View) -> f64;
    /// `parameters` are f32, or bf16 with a remainder.
    fn adamw(
        &self,
        parameters: (View, Option<View>),
        gradients: View,
        moments: (View, View),
        update: AdamW,
    );
}

/// Rows of a view, as a view.
pub fn rows_of(view: View, rows: &Range<usize>) -> View {
    view.row_range(rows.start, rows.len())
}
