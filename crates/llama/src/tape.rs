//! The activations that backward needs, and the gradients that flow back through them: all memory
//! of a training step besides the parameters, asked for once.
//!
//! Kept per layer: its input, turned queries, keys and values, the attention's output with its
//! log-sums, the row between the halves, gate and up. Norms and silu(gate)·up are cheap and
//! computed again. With [`Recompute::Layer`] only the inputs are kept (Chen et al. 2016).

use crate::activations::{LayerActivations, Scratch};
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use kollama_kernels::{DType, Device, KernelError, Matrix, Spans, ops};

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

/// Gradients of one layer's activations, used by one layer after the other. What several
/// operations add to is f32.
pub(crate) struct ActivationGradients {
    /// `[t, hidden]`: of the row that runs through all layers.
    pub x: Summed,
    /// `[t, hidden]`
    pub normed: Matrix,
    /// `[t, query columns]`
    pub queries: Summed,
    /// `[t, key columns]`
    pub keys: Summed,
    /// `[t, key columns]`
    pub values: Summed,
    /// `[t, query columns]`
    pub attended: Matrix,
    /// `[t, intermediate]`, as the activations are.
    pub gate: Matrix,
    /// `[t, intermediate]`, as the activations are.
    pub up: Matrix,
    /// `[t, intermediate]`
    pub product: Matrix,
}

/// A gradient that operations add to as f32, and that products read as the activations are.
pub(crate) struct Summed {
    pub sum: Matrix,
    /// None where the activations are f32.
    rounded: Option<Matrix>,
}

/// Logits that are held at once.
const LOGITS: usize = 32 << 20;

impl Tape {
    /// Memory for batches of up to `rows_max` rows. With [`DType::Bf16`], what products read and
    /// give is rounded to that: half the memory, for weights that are bf16 as well.
    ///
    /// # Errors
    /// If the device has not that much.
    pub fn new(
        config: &LlamaConfig,
        device: &Device,
        rows_max: usize,
        recompute: Recompute,
        activations: DType,
    ) -> Result<Tape, LlamaError> {
        let make = |columns| Matrix::zeros(device, rows_max, columns, DType::F32);
        let kept = match recompute {
            Recompute::None => config.num_hidden_layers,
            Recompute::Layer => 1,
        };
        let chunk = Tape::logits_rows(config, rows_max);
        let inputs = (0..=config.num_hidden_layers).map(|_| make(config.hidden_size));
        let layers =
            (0..kept).map(|_| LayerActivations::new(config, device, rows_max, activations));
        Ok(Tape {
            inputs: inputs.collect::<Result<_, _>>()?,
            layers: layers.collect::<Result<_, _>>()?,
            scratch: Scratch::new(config, device, rows_max, rows_max, activations)?,
            d: ActivationGradients::new(config, device, rows_max, activations)?,
            losses: make(2)?,
            logits: Matrix::zeros(device, chunk, config.vocab_size, activations)?,
            recompute,
            rows_max,
        })
    }

    /// Rows whose logits a tape for `rows_max` rows holds at once.
    pub fn logits_rows(config: &LlamaConfig, rows_max: usize) -> usize {
        let rows = (LOGITS / config.vocab_size).clamp(64, 1024);
        // Whole tiles of rows, where a processor has such.
        (rows / 32 * 32).min(rows_max.max(1))
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
        self.d.set_rows(rows);
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
        activations: DType,
    ) -> Result<ActivationGradients, KernelError> {
        let heads = config.heads();
        let make = |columns| Matrix::zeros(device, rows, columns, DType::F32);
        let make_as_activation = |columns| Matrix::zeros(device, rows, columns, activations);
        let summed = |columns| Summed::new(device, (rows, columns), activations);
        Ok(ActivationGradients {
            x: summed(config.hidden_size)?,
            normed: make(config.hidden_size)?,
            queries: summed(heads.query_columns())?,
            keys: summed(heads.key_columns())?,
            values: summed(heads.key_columns())?,
            attended: make(heads.query_columns())?,
            gate: make_as_activation(config.intermediate_size)?,
            up: make_as_activation(config.intermediate_size)?,
            product: make(config.intermediate_size)?,
        })
    }

    /// Attention adds to its gradients, so they must be empty before their layer; the first operation
    /// that comes to one of the others overwrites it.
    pub fn clear_what_is_added_to(&mut self) {
        let [_, summed @ ..] = self.summed_mut();
        summed.into_iter().for_each(|gradient| gradient.sum.clear());
    }

    fn set_rows(&mut self, rows: usize) {
        for gradient in self.summed_mut() {
            gradient.sum.set_rows(rows);
            gradient.rounded.iter_mut().for_each(|matrix| matrix.set_rows(rows));
        }
        self.plain_mut().into_iter().for_each(|matrix| matrix.set_rows(rows));
    }

    fn summed_mut(&mut self) -> [&mut Summed; 4] {
        [&mut self.x, &mut self.queries, &mut self.keys, &mut self.values]
    }

    fn plain_mut(&mut self) -> [&mut Matrix; 5] {
        let ActivationGradients { normed, attended, gate, up, product, .. } = self;
        [normed, attended, gate, up, product]
    }

    fn bytes(&self) -> usize {
        let summed = [&self.x, &self.queries, &self.keys, &self.values];
        let plain = [&self.normed, &self.attended, &self.gate, &self.up, &self.product];
        let summed = summed.into_iter().flat_map(|d| [Some(&d.sum), d.rounded.as_ref()]);
        summed.flatten().chain(plain).map(Matrix::bytes).sum()
    }
}

impl Summed {
    fn new(
        device: &Device,
        (rows, columns): (usize, usize),
        activations: DType,
    ) -> Result<Summed, KernelError> {
        let rounded = match activations {
            DType::F32 => None,
            dtype => Some(Matrix::zeros(device, rows, columns, dtype)?),
        };
        Ok(Summed { sum: Matrix::zeros(device, rows, columns, DType::F32)?, rounded })
    }

    /// The sum as it is now, as products read it.
    pub fn for_products(&mut self) -> &Matrix {
        match &mut self.rounded {
            None => &self.sum,
            Some(rounded) => {
                ops::copy_rows(rounded, 0, &self.sum, 0..self.sum.rows());
                rounded
            }
        }
    }
}
