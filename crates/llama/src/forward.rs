//! Tokens to logits, tokens to loss. Both walk through the same three steps of a layer: project,
//! attend, feed forward; `backward.rs` is this file read from the bottom up.

use crate::activations::{LayerActivations, Scratch};
use crate::cache::KvCache;
use crate::config::LlamaConfig;
use crate::model::Llama;
use crate::parameters::LayerParameters;
use crate::tape::Tape;
use kollama_kernels::ops::{self, Qkv};
use kollama_kernels::{Heads, Matrix, Spans};

/// New tokens of one or more sequences, read with the help of a [`KvCache`].
#[derive(Clone, Debug)]
pub struct Batch {
    /// The new tokens, sequence after sequence.
    pub ids: Vec<u32>,
    /// Queries are rows of `ids`, keys are rows of the cache; the last key rows of a span are
    /// where its new keys go.
    pub spans: Spans,
    /// Rows of `ids` whose logits are asked for.
    pub wanted: Vec<u32>,
}

/// Whole sequences to learn from.
#[derive(Clone, Debug)]
pub struct TrainBatch {
    /// Tokens, sequence after sequence.
    pub ids: Vec<u32>,
    /// For every row the token that follows, or `ops::NOT_COUNTED`.
    pub labels: Vec<i32>,
    /// Queries and keys are rows of `ids`.
    pub spans: Spans,
}

impl Llama {
    /// Reads `batch.ids`, leaves their keys and values in the cache, and makes row `i` of `logits`
    /// (which needs room for them) the logits after token `batch.wanted[i]`.
    ///
    /// # Panics
    /// If ids, spans, cache and logits do not fit each other.
    pub fn forward(&self, batch: &Batch, cache: &mut KvCache, logits: &mut Matrix) {
        self.read_new(batch, cache);
        logits.set_rows(batch.wanted.len());
        if !batch.wanted.is_empty() {
            ops::matmul(logits, &cache.last, self.parameters.head());
        }
    }

    /// Reads as [`Llama::forward`] does, and returns for every wanted row −log p of its label and
    /// whether the label is the likeliest token.
    ///
    /// # Panics
    /// If there is not one label per wanted row, and as [`Llama::forward`].
    pub fn score(&self, batch: &Batch, labels: &[i32], cache: &mut KvCache) -> Vec<(f32, bool)> {
        assert_eq!(labels.len(), batch.wanted.len(), "labels of wanted rows");
        self.read_new(batch, cache);
        if labels.is_empty() {
            return Vec::new();
        }
        cache.losses.set_rows(labels.len());
        let (losses, logits) = (&mut cache.losses, &mut cache.logits);
        ops::cross_entropy(losses, None, logits, &cache.last, self.parameters.head(), labels);
        cache.losses.to_vec().chunks_exact(2).map(|row| (row[0], row[1] == 1.0)).collect()
    }

    /// Σ −log p over the counted labels; no gradients.
    ///
    /// # Panics
    /// If ids, labels, spans and tape do not fit each other.
    pub fn loss(&self, batch: &TrainBatch, tape: &mut Tape) -> f64 {
        self.read_whole(batch, tape);
        self.norm_last(tape);
        let (losses, logits) = (&mut tape.losses, &mut tape.logits);
        let (hidden, head) = (&tape.scratch.normed, self.parameters.head());
        ops::cross_entropy(losses, None, logits, hidden, head, &batch.labels);
        tape.sum_of_losses()
    }

    /// The inference walk: fills `cache.last` with the normed rows that are wanted.
    fn read_new(&self, batch: &Batch, cache: &mut KvCache) {
        let (rows, keys) = (batch.spans.rows(), batch.spans.key_rows());
        assert_eq!(batch.ids.len(), rows, "ids of the rows of the spans");
        assert!(keys <= cache.rows(), "spans reach row {keys} in a cache of {}", cache.rows());
        assert!(batch.wanted.iter().all(|&row| (row as usize) < rows), "wanted rows of {rows}");
        cache.last.set_rows(batch.wanted.len());
        for (first, spans) in cache.pieces(&batch.spans) {
            let rows = first..first + spans.rows();
            self.read_piece(&batch.ids[rows.clone()], &spans, cache);
            for (place, row) in batch.wanted.iter().map(|&row| row as usize).enumerate() {
                if rows.contains(&row) {
                    let row = row - first..row - first + 1;
                    ops::copy_rows(&mut cache.last, place, &cache.scratch.normed, row);
                }
            }
        }
    }

    /// Tokens to normed rows in `cache.scratch.normed`, layer after layer.
    fn read_piece(&self, ids: &[u32], spans: &Spans, cache: &mut KvCache) {
        let heads = self.config.heads();
        cache.begin(spans);
        ops::embedding(&mut cache.x, &self.parameters.embed_tokens, ids);
        for (index, layer) in self.parameters.layers.iter().enumerate() {
            let step = Step { layer, config: &self.config, heads };
            step.project(&mut cache.activations, &mut cache.scratch, &cache.x);
            cache.keep(index, spans);
            let seen = Some((&cache.keys[index], &cache.values[index]));
            step.attend(&mut cache.activations, &mut cache.scratch, &cache.x, seen, spans);
            step.feed_forward(&mut cache.x, &cache.activations, &mut cache.scratch);
        }
        let (x, norm) = (&cache.x, &self.parameters.norm);
        ops::rms_norm(&mut cache.scratch.normed, x, norm, self.config.rms_norm_eps);
    }

    /// The training walk: fills the tape up to the output of the last layer.
    pub(crate) fn read_whole(&self, batch: &TrainBatch, tape: &mut Tape) {
        assert_eq!(batch.ids.len(), batch.spans.rows(), "ids of the rows of the spans");
        assert_eq!(batch.labels.len(), batch.ids.len(), "labels of ids");
        tape.begin(&batch.spans);
        ops::embedding(&mut tape.inputs[0], &self.parameters.embed_tokens, &batch.ids);
        for index in 0..self.parameters.layers.len() {
            self.read_layer(index, &batch.spans, tape);
            let place = tape.place(index);
            let out = &mut tape.inputs[index + 1];
            self.step(index).feed_forward(out, &tape.layers[place], &mut tape.scratch);
        }
    }

    /// One layer from its input on the tape up to gate and up. Backward calls it again where the
    /// tape keeps only inputs.
    pub(crate) fn read_layer(&self, index: usize, spans: &Spans, tape: &mut Tape) {
        let (step, place) = (self.step(index), tape.place(index));
        let (activations, scratch) = (&mut tape.layers[place], &mut tape.scratch);
        step.project(activations, scratch, &tape.inputs[index]);
        step.attend(activations, scratch, &tape.inputs[index], None, spans);
    }

    /// The norm before the output projection, into the tape's scratch.
    pub(crate) fn norm_last(&self, tape: &mut Tape) {
        let last = &tape.inputs[self.config.num_hidden_layers];
        let (normed, norm) = (&mut tape.scratch.normed, &self.parameters.norm);
        ops::rms_norm(normed, last, norm, self.config.rms_norm_eps);
    }

    fn step(&self, index: usize) -> Step<'_> {
        let layer = &self.parameters.layers[index];
        Step { layer, config: &self.config, heads: self.config.heads() }
    }
}

/// One layer at work; see the formulae in the crate's documentation.
struct Step<'a> {
    layer: &'a LayerParameters,
    config: &'a LlamaConfig,
    heads: Heads,
}

impl Step<'_> {
    /// `queries, keys = turn(norm(x) · Wq), turn(norm(x) · Wk)`; `values = norm(x) · Wv`
    fn project(&self, out: &mut LayerActivations, scratch: &mut Scratch, x: &Matrix) {
        let (layer, normed) = (self.layer, &mut scratch.normed);
        ops::rms_norm(normed, x, &layer.input_layernorm, self.config.rms_norm_eps);
        ops::matmul(&mut out.queries, normed, &layer.q_proj);
        ops::matmul(&mut out.keys, normed, &layer.k_proj);
        ops::matmul(&mut out.values, normed, &layer.v_proj);
        ops::rope(&mut out.queries, &scratch.turns, self.heads.queries);
        ops::rope(&mut out.keys, &scratch.turns, self.heads.keys);
    }

    /// `middle = x + attention(queries, keys, values) · Wo`; `gate, up = norm(middle) · Wg, Wu`.
    /// `seen` are the keys and values of a cache; without it those of the rows themselves.
    fn attend(
        &self,
        out: &mut LayerActivations,
        scratch: &mut Scratch,
        x: &Matrix,
        seen: Option<(&Matrix, &Matrix)>,
        spans: &Spans,
    ) {
        let (keys, values) = seen.unwrap_or((&out.keys, &out.values));
        let input = Qkv { queries: &out.queries, keys, values };
        ops::attention(&mut out.attended, &mut out.log_sums, input, spans, self.heads);
        ops::matmul(&mut out.middle, &out.attended, &self.layer.o_proj);
        ops::add(&mut out.middle, x);
        let (normed, norm) = (&mut scratch.normed, &self.layer.post_attention_layernorm);
        ops::rms_norm(normed, &out.middle, norm, self.config.rms_norm_eps);
        ops::matmul(&mut out.gate, normed, &self.layer.gate_proj);
        ops::matmul(&mut out.up, normed, &self.layer.up_proj);
    }

    /// `out = middle + (silu(gate) · up) · Wd`
    fn feed_forward(&self, out: &mut Matrix, input: &LayerActivations, scratch: &mut Scratch) {
        ops::swiglu(&mut scratch.product, &input.gate, &input.up);
        ops::matmul(out, &scratch.product, &self.layer.down_proj);
        ops::add(out, &input.middle);
    }
}
