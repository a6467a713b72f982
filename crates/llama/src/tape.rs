//! The activations that backward needs, and the gradients that flow back through them: all memory
//! of a training step besides the parameters, asked for once.
//!
//! Kept per layer: its input, turned queries, keys and values, the attention's output with its
//! log-sums, the row between the halves, gate and up. Norms and silu(gate)·up are cheap and
//! computed again. With [`Recompute::Layer`] only the inputs are kept (Chen et al. 2016).

use crate::activations::{LayerActivations, Scratch};
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use kollama_kernels::{DType, Device, KernelError, Matrix, Spans};

/// What backward computes again instead of remembering it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recompute {
    /// Only norms and silu(gate)·up.
    None,
    /// Everything inside a layer: a third more arithmetic, a small part of the memory.
    Layer,
}

/// Memory of a training step; made for a largest number of rows, used with as many or fewer.
pub struct Tape {
    /// `[t, hidden]` each: the input of every layer, then the output of the last.
    pub(crate) inputs: Vec<Matrix>,
    /// One per layer, or one for all with [`Recompute::Layer`].
    pub(crate) layers: Vec<LayerActivations>,
    pub(crate) scratch: Scratch,
    pub(crate) d: ActivationGradients,
    /// `[t, 2]`: see `ops::cross_entropy`.
    pub(crate) losses: Matrix,
    /// `[chunk, vocab]`: logits of a few rows at a time.
    pub(crate) logits: Matrix,
    recompute: Recompute,
    rows_max: usize,
}

/// Gradients of one layer's activations, used by one layer after the other.
pub(crate) struct ActivationGradients {
    /// `[t, hidden]`: of the row that runs through all layers.
    pub x: Matrix,
    /// `[t, hidden]`
    pub normed: Matrix,
    /// `[t, query columns]`
    pub queries: Matrix,
    /// `[t, key columns]`
    pub keys: Matrix,
    /// `[t, key columns]`
    pub values: Matrix,
    /// `[t, query columns]`
    pub attended: Matrix,
    /// `[t, intermediate]`
    pub gate: Matrix,
    /// `[t, intermediate]`
    pub up: Matrix,
    /// `[t, intermediate]`
    pub product: Matrix,
}

/// Logits held at once take about this many bytes.
const LOGITS_BYTES: usize = 128 << 20;

impl Tape {
    /// Memory for batches of up to `rows_max` rows.
    ///
    /// # Errors
    /// If the device has not that much.
    pub fn new(
        config: &LlamaConfig,
        device: &Device,
        rows_max: usize,
        recompute: Recompute,
    ) -> Result<Tape, LlamaError> {
        let make = |columns| Matrix::zeros(device, rows_max, columns, DType::F32);
        let kept = match recompute {
            Recompute::None => config.num_hidden_layers,
            Recompute::Layer => 1,
        };
        let chunk = Tape::logits_rows(config, rows_max);
        let inputs = (0..=config.num_hidden_layers).map(|_| make(config.hidden_size));
        let layers = (0..kept).map(|_| LayerActivations::new(config, device, rows_max));
        Ok(Tape {
            inputs: inputs.collect::<Result<_, _>>()?,
            layers: layers.collect::<Result<_, _>>()?,
            scratch: Scratch::new(config, device, rows_max, rows_max)?,
            d: ActivationGradients::new(config, device, rows_max)?,
            losses: make(2)?,
            logits: Matrix::zeros(device, chunk, config.vocab_size, DType::F32)?,
            recompute,
            rows_max,
        })
    }

    /// Rows whose logits a tape for `rows_max` rows holds at once.
    pub fn logits_rows(config: &LlamaConfig, rows_max: usize) -> usize {
        (LOGITS_BYTES / 4 / config.vocab_size).clamp(64, 1024).min(rows_max.max(1))
    }

    /// Most rows a batch may have.
    pub fn rows_max(&self) -> usize {
        self.rows_max
    }

    /// What backward computes again.
    pub fn recompute(&self) -> Recompute {
        self.recompute
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        let inputs = self.inputs.iter().map(Matrix::bytes).sum::<usize>();
        let layers = self.layers.iter().map(LayerActivations::bytes).sum::<usize>();
        let rest = self.losses.bytes() + self.logits.bytes();
        inputs + layers + self.scratch.bytes() + self.d.bytes() + rest
    }

    /// Makes room for the rows of `spans` and looks up their turns.
    pub(crate) fn begin(&mut self, spans: &Spans) {
        let rows = spans.rows();
        assert!(rows <= self.rows_max, "{rows} rows on a tape of {}", self.rows_max);
        self.inputs.iter_mut().for_each(|input| input.set_rows(rows));
        self.layers.iter_mut().for_each(|layer| layer.set_rows(rows));
        self.scratch.begin(spans);
        self.d.all_mut().into_iter().for_each(|matrix| matrix.set_rows(rows));
        self.losses.set_rows(rows);
    }

    /// Which of `layers` remembers layer `index`.
    pub(crate) fn place(&self, index: usize) -> usize {
        match self.recompute {
            Recompute::None => index,
            Recompute::Layer => 0,
        }
    }

    /// Sum of the losses of all counted rows, in `f64`, first row first.
    pub(crate) fn sum_of_losses(&self) -> f64 {
        self.losses.to_vec().chunks_exact(2).map(|row| f64::from(row[0])).sum()
    }
}

impl ActivationGradients {
    fn new(
        config: &LlamaConfig,
        device: &Device,
        rows: usize,
    ) -> Result<ActivationGradients, KernelError> {
        let heads = config.heads();
        let make = |columns| Matrix::zeros(device, rows, columns, DType::F32);
        Ok(ActivationGradients {
            x: make(config.hidden_size)?,
            normed: make(config.hidden_size)?,
            queries: make(heads.query_columns())?,
            keys: make(heads.key_columns())?,
            values: make(heads.key_columns())?,
            attended: make(heads.query_columns())?,
            gate: make(config.intermediate_size)?,
            up: make(config.intermediate_size)?,
            product: make(config.intermediate_size)?,
        })
    }

    /// Every operation adds to a gradient, so each must be empty before its layer.
    pub fn clear_all_but_x(&mut self) {
        let [_, inside_a_layer @ ..] = self.all_mut();
        inside_a_layer.into_iter().for_each(Matrix::clear);
    }

    fn all_mut(&mut self) -> [&mut Matrix; 9] {
        [
            &mut self.x,
            &mut self.normed,
            &mut self.queries,
            &mut self.keys,
            &mut self.values,
            &mut self.attended,
            &mut self.gate,
            &mut self.up,
            &mut self.product,
        ]
    }

    fn bytes(&self) -> usize {
        let rows = [&self.x, &self.normed, &self.queries, &self.keys, &self.values];
        let rest = [&self.attended, &self.gate, &self.up, &self.product];
        rows.iter().chain(&rest).map(|matrix| matrix.bytes()).sum()
    }
}
