//! The matrices that one layer fills while it reads rows of tokens, and what all layers share.
//! The tape keeps one set per layer for backward; a cache keeps one set for all layers. What a
//! product reads or gives may be bf16; the row that runs through all layers is f32.

use crate::config::LlamaConfig;
use crate::rotary;
use kollama_kernels::{DType, Device, KernelError, Matrix, Spans, ops};

/// What backward needs of one layer besides its input; one row per token. `log_sums` and `middle`
/// are f32 whatever the rest is.
pub(crate) struct LayerActivations {
    /// `[t, query columns]`, turned.
    pub queries: Matrix,
    /// `[t, key columns]`, turned.
    pub keys: Matrix,
    /// `[t, key columns]`
    pub values: Matrix,
    /// `[t, query columns]`
    pub attended: Matrix,
    /// `[t, query heads]`
    pub log_sums: Matrix,
    /// `[t, hidden]`: the row between the attention half and the feed-forward half.
    pub middle: Matrix,
    /// `[t, intermediate]`
    pub gate: Matrix,
    /// `[t, intermediate]`
    pub up: Matrix,
}

impl LayerActivations {
    pub fn new(
        config: &LlamaConfig,
        device: &Device,
        rows: usize,
        dtype: DType,
    ) -> Result<LayerActivations, KernelError> {
        let heads = config.heads();
        let make = |columns| Matrix::zeros(device, rows, columns, dtype);
        let make_f32 = |columns| Matrix::zeros(device, rows, columns, DType::F32);
        Ok(LayerActivations {
            queries: make(heads.query_columns())?,
            keys: make(heads.key_columns())?,
            values: make(heads.key_columns())?,
            attended: make(heads.query_columns())?,
            log_sums: make_f32(heads.queries)?,
            middle: make_f32(config.hidden_size)?,
            gate: make(config.intermediate_size)?,
            up: make(config.intermediate_size)?,
        })
    }

    pub fn set_rows(&mut self, rows: usize) {
        self.queries.set_rows(rows);
        self.keys.set_rows(rows);
        self.values.set_rows(rows);
        self.attended.set_rows(rows);
        self.log_sums.set_rows(rows);
        self.middle.set_rows(rows);
        self.gate.set_rows(rows);
        self.up.set_rows(rows);
    }

    pub fn bytes(&self) -> usize {
        let attention = [&self.queries, &self.keys, &self.values, &self.attended, &self.log_sums];
        let feed_forward = [&self.middle, &self.gate, &self.up];
        attention.iter().chain(&feed_forward).map(|matrix| matrix.bytes()).sum()
    }
}

/// What every layer fills anew and nobody keeps.
pub(crate) struct Scratch {
    /// `[t, hidden]`
    pub normed: Matrix,
    /// `[t, intermediate]`: silu(gate) · up
    pub product: Matrix,
    /// `[t, head_dim]`: cosines and sines of the rows of this batch.
    pub turns: Matrix,
    /// `[position, head_dim]`
    all_turns: Matrix,
}

impl Scratch {
    pub fn new(
        config: &LlamaConfig,
        device: &Device,
        rows: usize,
        positions: usize,
        dtype: DType,
    ) -> Result<Scratch, KernelError> {
        let make = |columns| Matrix::zeros(device, rows, columns, dtype);
        let turns = rotary::turns(config, positions);
        Ok(Scratch {
            normed: make(config.hidden_size)?,
            product: make(config.intermediate_size)?,
            turns: Matrix::zeros(device, rows, config.head_dim, DType::F32)?,
            all_turns: Matrix::from_values(device, positions, config.head_dim, &turns)?,
        })
    }

    /// Makes room for the rows of `spans` and looks up their turns.
    pub fn begin(&mut self, spans: &Spans) {
        self.normed.set_rows(spans.rows());
        self.product.set_rows(spans.rows());
        self.turns.set_rows(spans.rows());
        ops::embedding(&mut self.turns, &self.all_turns, &spans.positions());
    }

    pub fn bytes(&self) -> usize {
        let matrices = [&self.normed, &self.product, &self.turns, &self.all_turns];
        matrices.iter().map(|matrix| matrix.bytes()).sum()
    }
}
