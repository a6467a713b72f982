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
    /// Rows of `ids` whose logits are asked for, first to last.
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
        cache.last.set_rows(0);
        self.read(batch, cache);
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
        cache.last.set_rows(0);
        self.read(batch, cache);
        let asked: Vec<_> = (0..).zip(labels.iter().map(|&label| label as u32)).collect();
        self.losses(&asked, cache)
    }

    /// Reads `batch.ids`, leaves their keys and values in the cache, and lets the wanted rows wait
    /// there behind those that wait already: few rows of many batches then share one projection.
    ///
    /// # Panics
    /// If ids, spans and cache do not fit each other, or more rows wait than the cache has rows.
    pub fn read(&self, batch: &Batch, cache: &mut KvCache) {
        let (rows, keys) = (batch.spans.rows(), batch.spans.key_rows());
        assert_eq!(batch.ids.len(), rows, "ids of the rows of the spans");
        assert!(keys <= cache.rows(), "spans reach row {keys} in a cache of {}", cache.rows());
        assert!(batch.wanted.is_sorted(), "wanted rows go from the first on");
        assert!(batch.wanted.iter().all(|&row| (row as usize) < rows), "wanted rows of {rows}");
        for (first, spans) in cache.pieces(&batch.spans) {
            let rows = first..first + spans.rows();
            let before = |row| batch.wanted.partition_point(|&wanted| (wanted as usize) < row);
            let wanted = &batch.wanted[before(rows.start)..before(rows.end)];
            let wanted: Vec<u32> = wanted.iter().map(|row| row - first as u32).collect();
            self.read_piece(&batch.ids[rows], &spans, &wanted, cache);
        }
    }

    /// For each row that waits in the cache and label of `asked`, first row first: −log p and whether
    /// the label is the likeliest token. Then nothing waits any more.
    ///
    /// # Panics
    /// If the rows are not in order, or not there.
    pub fn losses(&self, asked: &[(u32, u32)], cache: &mut KvCache) -> Vec<(f32, bool)> {
        let (losses, logits, head) = (&mut cache.losses, &mut cache.logits, self.parameters.head());
        let mut found = Vec::with_capacity(asked.len());
        for asked in asked.chunks(losses.capacity().max(1)) {
            losses.set_rows(asked.len());
            ops::label_losses(losses, logits, &cache.last, head, asked);
            found.extend(losses.to_vec().chunks_exact(2).map(|row| (row[0], row[1] == 1.0)));
        }
        cache.last.set_rows(0);
        found
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

    /// The inference walk: tokens to normed rows, layer after layer; the wanted ones go behind those
    /// in `cache.last`.
    fn read_piece(&self, ids: &[u32], spans: &Spans, wanted: &[u32], cache: &mut KvCache) {
        cache.begin(spans);
        ops::embedding(&mut cache.x, &self.parameters.embed_tokens, ids);
        let layers = self.config.num_hidden_layers;
        // Every row leaves its key and value in the last layer, only the wanted ones go through it.
        let through_all = if wanted.len() == ids.len() { layers } else { layers - 1 };
        for index in 0..through_all {
            let step = self.step(index);
            step.norm(&mut cache.scratch, &cache.x);
            step.project(&mut cache.activations, &cache.scratch);
            cache.keep(index, spans);
            self.go_on(index, spans, cache);
        }
        if through_all < layers {
            self.narrow_last(spans, wanted, cache);
        }
        if !wanted.is_empty() {
            self.let_wait(cache);
        }
    }

    /// The last layer, where not every row is wanted.
    fn narrow_last(&self, spans: &Spans, wanted: &[u32], cache: &mut KvCache) {
        let last = self.config.num_hidden_layers - 1;
        let step = self.step(last);
        step.norm(&mut cache.scratch, &cache.x);
        step.project_keys(&mut cache.activations, &cache.scratch);
        cache.keep(last, spans);
        if !wanted.is_empty() {
            let spans = cache.narrow(spans, wanted);
            step.norm(&mut cache.scratch, &cache.x);
            step.project_queries(&mut cache.activations, &cache.scratch);
            self.go_on(last, &spans, cache);
        }
    }

    /// A layer from its queries on: `x` becomes its output.
    fn go_on(&self, index: usize, spans: &Spans, cache: &mut KvCache) {
        let step = self.step(index);
        let seen = Some((&cache.keys[index], &cache.values[index]));
        step.attend(&mut cache.activations, &mut cache.scratch, &cache.x, seen, spans);
        step.feed_forward(&mut cache.x, &cache.activations, &mut cache.scratch);
    }

    /// The norm before the output projection, behind the rows that wait for that already.
    fn let_wait(&self, cache: &mut KvCache) {
        let (x, norm, waiting) = (&cache.x, &self.parameters.norm, cache.last.rows());
        ops::rms_norm(&mut cache.scratch.normed, x, norm, self.config.rms_norm_eps);
        cache.last.set_rows(waiting + x.rows());
        ops::copy_rows(&mut cache.last, waiting, &cache.scratch.normed, 0..x.rows());
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
        step.norm(scratch, &tape.inputs[index]);
        step.project(activations, scratch);
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
    /// `normed = norm(x)`
    fn norm(&self, scratch: &mut Scratch, x: &Matrix) {
        let (norm, epsilon) = (&self.layer.input_layernorm, self.config.rms_norm_eps);
        ops::rms_norm(&mut scratch.normed, x, norm, epsilon);
    }

    /// Queries, keys and values.
    fn project(&self, out: &mut LayerActivations, scratch: &Scratch) {
        let LayerActivations { queries, keys, values, .. } = out;
        let LayerParameters { q_proj, k_proj, v_proj, .. } = self.layer;
        ops::matmuls([queries, keys, values], &scratch.normed, [q_proj, k_proj, v_proj]);
        ops::rope(&mut out.queries, &scratch.turns, self.heads.queries);
        ops::rope(&mut out.keys, &scratch.turns, self.heads.keys);
    }

    /// `queries = turn(normed · Wq)`
    fn project_queries(&self, out: &mut LayerActivations, scratch: &Scratch) {
        ops::matmul(&mut out.queries, &scratch.normed, &self.layer.q_proj);
        ops::rope(&mut out.queries, &scratch.turns, self.heads.queries);
    }

    /// `keys = turn(normed · Wk)`; `values = normed · Wv`
    fn project_keys(&self, out: &mut LayerActivations, scratch: &Scratch) {
        let LayerParameters { k_proj, v_proj, .. } = self.layer;
        ops::matmuls([&mut out.keys, &mut out.values], &scratch.normed, [k_proj, v_proj]);
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
        let LayerParameters { gate_proj, up_proj, .. } = self.layer;
        ops::matmuls([&mut out.gate, &mut out.up], normed, [gate_proj, up_proj]);
    }

    /// `out = middle + (silu(gate) · up) · Wd`
    fn feed_forward(&self, out: &mut Matrix, input: &LayerActivations, scratch: &mut Scratch) {
        let (LayerActivations { gate, up, .. }, down_proj) = (input, &self.layer.down_proj);
        ops::matmul_swiglu(out, &mut scratch.product, gate, up, down_proj);
        ops::add(out, &input.middle);
    }
}
