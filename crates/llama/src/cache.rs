//! Keys and values of tokens already read, and the working memory to read more: after
//! [`KvCache::new`] nothing is asked for, however long decoding runs. Which rows belong to whom is
//! the caller's affair; the model only sees spans.

use crate::activations::{LayerActivations, Scratch};
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use kollama_kernels::{DType, Device, Matrix, Span, Spans, ops};
use std::ops::Range;

/// Rows are read in pieces of at most this many, which bounds the working memory.
const PIECE_ROWS: usize = 512;
/// Scoring holds the logits of at most this many rows.
const SCORED_ROWS: usize = 128;

/// Keys and values of every layer, one row per token, and room to work.
pub struct KvCache {
    /// `[rows, key columns]` per layer, turned.
    pub(crate) keys: Vec<Matrix>,
    /// `[rows, key columns]` per layer.
    pub(crate) values: Vec<Matrix>,
    /// `[t, key columns]`, kept rows on their way to another place.
    moved: Matrix,
    /// `[t, hidden]`: the row that runs through all layers.
    pub(crate) x: Matrix,
    /// `[wanted, hidden]`: where rows go that go on alone.
    narrowed: Matrix,
    pub(crate) activations: LayerActivations,
    pub(crate) scratch: Scratch,
    /// `[wanted, hidden]`, normed: what the output projection sees.
    pub(crate) last: Matrix,
    /// `[asked, 2]`: see `ops::label_losses`.
    pub(crate) losses: Matrix,
    /// `[chunk, vocab]`, only for scoring.
    pub(crate) logits: Matrix,
}

impl KvCache {
    /// Memory for `rows` tokens of all sequences together.
    ///
    /// # Errors
    /// If the device has not that much.
    pub fn new(config: &LlamaConfig, device: &Device, rows: usize) -> Result<KvCache, LlamaError> {
        KvCache::new_as(config, device, rows, DType::F32)
    }

    /// As [`KvCache::new`], with keys and values kept as `f32`, [`DType::Bf16`] or
    /// [`DType::Q8Rows`].
    ///
    /// # Errors
    /// If the device has not the memory.
    pub fn new_as(
        config: &LlamaConfig,
        device: &Device,
        rows: usize,
        kept: DType,
    ) -> Result<KvCache, LlamaError> {
        let make = |rows, columns| Matrix::zeros(device, rows, columns, DType::F32);
        let columns = config.heads().key_columns();
        let per_layer = || -> Result<Vec<Matrix>, LlamaError> {
            let one = || Matrix::zeros(device, rows, columns, kept);
            (0..config.num_hidden_layers).map(|_| Ok(one()?)).collect()
        };
        let piece = rows.min(PIECE_ROWS);
        let mut last = make(rows, config.hidden_size)?;
        last.set_rows(0);
        Ok(KvCache {
            keys: per_layer()?,
            values: per_layer()?,
            moved: Matrix::zeros(device, piece, columns, kept)?,
            x: make(piece, config.hidden_size)?,
            narrowed: make(piece, config.hidden_size)?,
            activations: LayerActivations::new(config, device, piece, DType::F32)?,
            scratch: Scratch::new(config, device, piece, rows, DType::F32)?,
            last,
            losses: make(rows, 2)?,
            logits: make(rows.clamp(1, SCORED_ROWS), config.vocab_size)?,
        })
    }

    /// Rows that it holds.
    pub fn rows(&self) -> usize {
        self.last.capacity()
    }

    /// Bytes of memory held, working memory included.
    pub fn bytes(&self) -> usize {
        let kept = self.keys.iter().chain(&self.values).map(Matrix::bytes).sum::<usize>();
        let work = [&self.moved, &self.x, &self.narrowed, &self.last, &self.losses, &self.logits];
        let work = work.iter().map(|matrix| matrix.bytes()).sum::<usize>();
        kept + work + self.activations.bytes() + self.scratch.bytes()
    }

    /// Copies the keys and values of `rows` of every layer to the rows from `to` on, for a
    /// sequence that begins like another.
    ///
    /// # Panics
    /// If either range lies beyond the last row.
    pub fn copy_rows(&mut self, rows: Range<usize>, to: usize) {
        let between = &mut self.moved;
        let piece = between.capacity().max(1);
        for start in rows.clone().step_by(piece) {
            let part = start..rows.end.min(start + piece);
            between.set_rows(part.len());
            for matrix in self.keys.iter_mut().chain(&mut self.values) {
                ops::copy_rows(between, 0, matrix, part.clone());
                ops::copy_rows(matrix, to + start - rows.start, between, 0..part.len());
            }
        }
    }

    /// Rows that [`crate::Llama::read`] has left for [`crate::Llama::losses`].
    pub fn waiting_rows(&self) -> usize {
        self.last.rows()
    }

    /// Makes room for a piece and looks up its turns.
    pub(crate) fn begin(&mut self, spans: &Spans) {
        self.x.set_rows(spans.rows());
        self.activations.set_rows(spans.rows());
        self.scratch.begin(spans);
    }

    /// Puts the new keys and values of a layer where their spans end.
    pub(crate) fn keep(&mut self, layer: usize, spans: &Spans) {
        let new = &self.activations;
        for Span { queries, keys } in spans.iter() {
            let mut row = queries.start;
            for (first, length) in spans.stretches(keys.end - queries.len()..keys.end) {
                let rows = row..row + length;
                ops::copy_rows(&mut self.keys[layer], first, &new.keys, rows.clone());
                ops::copy_rows(&mut self.values[layer], first, &new.values, rows);
                row += length;
            }
        }
    }

    /// Goes on with some rows alone, first to last; returns their spans.
    pub(crate) fn narrow(&mut self, spans: &Spans, rows: &[u32]) -> Spans {
        let spans = narrowed(spans, rows);
        self.narrowed.set_rows(rows.len());
        ops::embedding(&mut self.narrowed, &self.x, rows);
        std::mem::swap(&mut self.x, &mut self.narrowed);
        self.begin(&spans);
        spans
    }

    /// Cuts spans into pieces that fit the working memory: first row of each piece, and its spans.
    pub(crate) fn pieces(&self, spans: &Spans) -> Vec<(usize, Spans)> {
        pieces(spans, self.x.capacity())
    }
}

/// A later piece of a sequence sees what an earlier one has left in the cache, so cutting changes
/// nothing but the memory needed.
fn pieces(spans: &Spans, limit: usize) -> Vec<(usize, Spans)> {
    let like = |piece| Spans::new(piece).with_keys_of(spans);
    let (mut pieces, mut piece, mut filled, mut first) = (Vec::new(), Vec::new(), 0, 0);
    for span in spans.iter() {
        let mut left = span.queries.len();
        while left > 0 {
            let taken = left.min(limit - filled);
            left -= taken;
            let keys = span.keys.start..span.keys.end - left;
            piece.push(Span { queries: filled..filled + taken, keys });
            filled += taken;
            if filled == limit {
                pieces.push((first, like(std::mem::take(&mut piece))));
                first += filled;
                filled = 0;
            }
        }
    }
    if !piece.is_empty() {
        pieces.push((first, like(piece)));
    }
    pieces
}

/// The spans of some query rows, first to last, which see what they saw among all.
fn narrowed(spans: &Spans, rows: &[u32]) -> Spans {
    let (mut narrowed, mut rest, mut row) = (Vec::new(), rows, 0);
    for Span { queries, keys } in spans.iter() {
        while let Some(&first) = rest.first().filter(|&&first| (first as usize) < queries.end) {
            let follows = |&(i, &row): &(usize, &u32)| {
                row as usize == first as usize + i && (row as usize) < queries.end
            };
            let length = rest.iter().enumerate().take_while(follows).count();
            let unseen = queries.end - (first as usize + length);
            let keys = keys.start..keys.end - unseen;
            narrowed.push(Span { queries: row..row + length, keys });
            (rest, row) = (&rest[length..], row + length);
        }
    }
    Spans::new(narrowed).with_keys_of(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_spans_are_cut_and_every_row_keeps_its_position() {
        let spans = Spans::new(vec![
            Span { queries: 0..3, keys: 20..30 },
            Span { queries: 3..8, keys: 0..5 },
            Span { queries: 8..9, keys: 7..8 },
        ]);
        let pieces = pieces(&spans, 4);
        let firsts: Vec<_> = pieces.iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, [0, 4, 8]);
        let positions: Vec<_> = pieces.iter().flat_map(|(_, spans)| spans.positions()).collect();
        assert_eq!(positions, spans.positions());
        let second = pieces[1].1.iter().next().unwrap();
        assert_eq!((second.queries.clone(), second.keys.clone()), (0..4, 0..5));
    }

    #[test]
    fn narrowed_spans_keep_positions_and_keys() {
        let spans = Spans::new(vec![
            Span { queries: 0..3, keys: 20..30 },
            Span { queries: 3..8, keys: 0..5 },
            Span { queries: 8..9, keys: 7..8 },
        ])
        .with_keys_in((5..35).collect());
        let rows = [1, 2, 3, 5, 8];
        let narrow = narrowed(&spans, &rows);
        let positions = spans.positions();
        assert_eq!(narrow.positions(), rows.map(|row| positions[row as usize]));
        let keys: Vec<_> = narrow.iter().map(|span| span.keys.clone()).collect();
        assert_eq!(keys, [20..30, 0..1, 0..3, 7..8]);
        assert_eq!(narrow.key_row(20), 25);
    }

    #[test]
    fn copied_rows_arrive_in_every_layer() {
        let config = LlamaConfig::preset("tiny").unwrap();
        let mut cache = KvCache::new(&config, &Device::reference(), 6).unwrap();
        let row: Vec<f32> = (0..32).map(|i| i as f32).collect();
        for matrix in cache.keys.iter_mut().chain(&mut cache.values) {
            matrix.write_rows(1, &row);
        }
        cache.copy_rows(0..3, 3);
        for matrix in cache.keys.iter().chain(&cache.values) {
            assert_eq!(matrix.to_vec()[4 * 32..5 * 32], row);
        }
    }
}
