//! Loss to gradients: `forward.rs` read from the bottom up. Each block stands in the reverse order
//! of its twin there. Operations add to gradients, so residual sums need no code; the first that comes to
//! one overwrites it where it can.

use crate::activations::{LayerActivations, Scratch};
use crate::config::LlamaConfig;
use crate::forward::TrainBatch;
use crate::model::Llama;
use crate::parameters::{LayerParameters, Parameters};
use crate::tape::{ActivationGradients, Recompute, Tape};
use kollama_kernels::ops::{self, AttentionResult, Before, HeadGradients, Qkv, QkvGradients};
use kollama_kernels::{Heads, Matrix, Spans};

impl Llama {
    /// Σ −log p over the counted labels; the gradients of `scale` times it are added to `gradients`, or
    /// written over them where they hold nothing `before`.
    ///
    /// # Panics
    /// If ids, labels, spans, tape and gradients do not fit each other.
    pub fn loss_and_gradients(
        &self,
        batch: &TrainBatch,
        scale: f32,
        tape: &mut Tape,
        gradients: &mut Parameters,
        before: Before,
    ) -> f64 {
        self.read_whole(batch, tape);
        if before == Before::Nothing {
            gradients.clear_what_is_added_to();
        }
        let loss = self.head_backward(batch, scale, tape, gradients, before);
        for index in (0..self.parameters.layers.len()).rev() {
            self.layer_backward(index, &batch.spans, tape, gradients, before);
        }
        ops::embedding_backward(&mut gradients.embed_tokens, &tape.d.x.sum, &batch.ids);
        loss
    }

    /// Output projection, loss and last norm: leaves `d.x` for the last layer.
    fn head_backward(
        &self,
        batch: &TrainBatch,
        scale: f32,
        tape: &mut Tape,
        gradients: &mut Parameters,
        before: Before,
    ) -> f64 {
        self.norm_last(tape);
        tape.d.x.sum.clear();
        tape.d.normed.clear();
        let (d_hidden, d_weight) = (&mut tape.d.normed, gradients.head_mut());
        ops::cross_entropy(
            &mut tape.losses,
            Some(HeadGradients { d_hidden, d_weight, before, scale }),
            &mut tape.logits,
            &tape.scratch.normed,
            self.parameters.head(),
            &batch.labels,
        );
        let last = &tape.inputs[self.config.num_hidden_layers];
        let (d, norm, epsilon) = (&mut tape.d, &self.parameters.norm, self.config.rms_norm_eps);
        let d_x = &mut d.x.sum;
        ops::rms_norm_backward(d_x, &mut gradients.norm, &d.normed, last, norm, epsilon);
        tape.sum_of_losses()
    }

    /// Turns `d.x` from the gradient of a layer's output into that of its input.
    fn layer_backward(
        &self,
        index: usize,
        spans: &Spans,
        tape: &mut Tape,
        gradients: &mut Parameters,
        before: Before,
    ) {
        // What the walk forward left of the last layer is still there.
        let last = index + 1 == self.parameters.layers.len();
        if tape.recompute() == Recompute::Layer && !last {
            self.read_layer(index, spans, tape);
        }
        tape.d.clear_what_is_added_to();
        let place = tape.place(index);
        let step = BackwardStep {
            layer: &self.parameters.layers[index],
            activations: &tape.layers[place],
            x: &tape.inputs[index],
            config: &self.config,
            heads: self.config.heads(),
            before,
        };
        let (d, scratch, d_layer) = (&mut tape.d, &mut tape.scratch, &mut gradients.layers[index]);
        step.feed_forward(d, d_layer, scratch);
        step.attend(d, d_layer, scratch, spans);
        step.project(d, d_layer, scratch);
    }
}

/// One layer read backwards: its weights and what forward left of it.
struct BackwardStep<'a> {
    layer: &'a LayerParameters,
    activations: &'a LayerActivations,
    x: &'a Matrix,
    config: &'a LlamaConfig,
    heads: Heads,
    /// What stands in the gradients of the weights.
    before: Before,
}

impl BackwardStep<'_> {
    /// `out = middle + (silu(gate) · up) · Wd`
    fn feed_forward(
        &self,
        d: &mut ActivationGradients,
        d_layer: &mut LayerParameters,
        scratch: &mut Scratch,
    ) {
        let LayerActivations { gate, up, .. } = self.activations;
        ops::swiglu(&mut scratch.product, gate, up);
        let d_out = d.x.for_products();
        ops::matmul_backward_weight(&mut d_layer.down_proj, d_out, &scratch.product, self.before);
        ops::matmul_backward_input(&mut d.product, d_out, &self.layer.down_proj, Before::Nothing);
        ops::swiglu_backward(&mut d.gate, &mut d.up, &d.product, gate, up, Before::Nothing);
    }

    /// `gate, up = norm(middle) · Wg, Wu`; `middle = x + attention(queries, keys, values) · Wo`
    fn attend(
        &self,
        d: &mut ActivationGradients,
        d_layer: &mut LayerParameters,
        scratch: &mut Scratch,
        spans: &Spans,
    ) {
        let (layer, epsilon) = (self.layer, self.config.rms_norm_eps);
        let LayerActivations { queries, keys, values, attended, log_sums, middle, .. } =
            self.activations;
        let norm = &layer.post_attention_layernorm;
        ops::rms_norm(&mut scratch.normed, middle, norm, epsilon);
        ops::matmul_backward_weight(&mut d_layer.up_proj, &d.up, &scratch.normed, self.before);
        ops::matmul_backward_weight(&mut d_layer.gate_proj, &d.gate, &scratch.normed, self.before);
        ops::matmul_backward_input(&mut d.normed, &d.up, &layer.up_proj, Before::Nothing);
        ops::matmul_backward_input(&mut d.normed, &d.gate, &layer.gate_proj, Before::Others);
        let d_norm = &mut d_layer.post_attention_layernorm;
        ops::rms_norm_backward(&mut d.x.sum, d_norm, &d.normed, middle, norm, epsilon);

        let d_middle = d.x.for_products();
        ops::matmul_backward_weight(&mut d_layer.o_proj, d_middle, attended, self.before);
        ops::matmul_backward_input(&mut d.attended, d_middle, &layer.o_proj, Before::Nothing);
        let (queries_sum, keys_sum) = (&mut d.queries.sum, &mut d.keys.sum);
        ops::attention_backward(
            QkvGradients { queries: queries_sum, keys: keys_sum, values: &mut d.values.sum },
            &d.attended,
            AttentionResult { out: attended, log_sums },
            Qkv { queries, keys, values },
            spans,
            self.heads,
        );
    }

    /// `queries, keys = turn(norm(x) · Wq), turn(norm(x) · Wk)`; `values = norm(x) · Wv`
    fn project(
        &self,
        d: &mut ActivationGradients,
        d_layer: &mut LayerParameters,
        scratch: &mut Scratch,
    ) {
        let (layer, epsilon) = (self.layer, self.config.rms_norm_eps);
        ops::rope_backward(&mut d.keys.sum, &scratch.turns, self.heads.keys);
        ops::rope_backward(&mut d.queries.sum, &scratch.turns, self.heads.queries);
        ops::rms_norm(&mut scratch.normed, self.x, &layer.input_layernorm, epsilon);
        let d_values = d.values.for_products();
        ops::matmul_backward_weight(&mut d_layer.v_proj, d_values, &scratch.normed, self.before);
        ops::matmul_backward_input(&mut d.normed, d_values, &layer.v_proj, Before::Nothing);
        let d_keys = d.keys.for_products();
        ops::matmul_backward_weight(&mut d_layer.k_proj, d_keys, &scratch.normed, self.before);
        ops::matmul_backward_input(&mut d.normed, d_keys, &layer.k_proj, Before::Others);
        let d_queries = d.queries.for_products();
        ops::matmul_backward_weight(&mut d_layer.q_proj, d_queries, &scratch.normed, self.before);
        ops::matmul_backward_input(&mut d.normed, d_queries, &layer.q_proj, Before::Others);
        let d_norm = &mut d_layer.input_layernorm;
        ops::rms_norm_backward(
            &mut d.x.sum,
            d_norm,
            &d.normed,
            self.x,
            &layer.input_layernorm,
            epsilon,
        );
    }
}
