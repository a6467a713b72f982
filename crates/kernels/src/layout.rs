//! How rows are cut into sequences ([`Spans`]) and columns into heads ([`Heads`]).

use std::ops::Range;

/// Label that is not counted.
pub const NOT_COUNTED: i32 = -100;

/// One sequence inside an attention call: which query rows it has, and which key rows they see.
///
/// The last query stands at the last key: query `queries.start + i` sees the keys
/// `keys.start ..= keys.end - queries.len() + i`. In training both ranges are equal; with a cache
/// the keys also hold what was read before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Rows of the query (and output) matrix.
    pub queries: Range<usize>,
    /// Rows of the key and value matrices, at least as many as queries.
    pub keys: Range<usize>,
}

/// All sequences of a call; together their queries cover every query row once, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// Checks that the query ranges tile `0..rows` in order and that every span has at least as
    /// many keys as queries.
    ///
    /// # Panics
    /// If they do not.
    pub fn new(spans: Vec<Span>) -> Spans {
        let mut row = 0;
        for span in &spans {
            assert_eq!(span.queries.start, row, "spans must tile the query rows in order");
            assert!(span.queries.end > row, "a span must hold at least one query");
            assert!(span.keys.len() >= span.queries.len(), "a span has fewer keys than queries");
            row = span.queries.end;
        }
        Spans(spans)
    }

    /// Whole sequences of the given lengths, one after the other, keys where the queries are.
    pub fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Spans {
        let mut start = 0;
        let spans = lengths.into_iter().map(|length| {
            let rows = start..start + length;
            start += length;
            Span { queries: rows.clone(), keys: rows }
        });
        Spans::new(spans.collect())
    }

    /// The spans in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Span> {
        self.0.iter()
    }

    /// Number of query rows covered.
    pub fn rows(&self) -> usize {
        self.0.last().map_or(0, |span| span.queries.end)
    }

    /// One past the highest key row that is read.
    pub fn key_rows(&self) -> usize {
        self.0.iter().map(|span| span.keys.end).max().unwrap_or(0)
    }

    /// Position of every query row inside its sequence, counted from 0.
    pub fn positions(&self) -> Vec<u32> {
        self.0
            .iter()
            .flat_map(|span| span.keys.len() - span.queries.len()..span.keys.len())
            .map(|position| position as u32)
            .collect()
    }
}

/// How the columns of queries, keys and values are cut into heads (grouped-query attention: query
/// head `h` reads key head `h / (queries / keys)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// `num_attention_heads`.
    pub queries: usize,
    /// `num_key_value_heads`; divides `queries`.
    pub keys: usize,
    /// `head_dim`: columns of one head; even.
    pub size: usize,
}

impl Heads {
    /// Columns of the query matrix.
    pub const fn query_columns(self) -> usize {
        self.queries * self.size
    }

    /// Columns of the key matrix and of the value matrix.
    pub const fn key_columns(self) -> usize {
        self.keys * self.size
    }

    /// Query heads that share one key head.
    pub const fn group(self) -> usize {
        self.queries / self.keys
    }

    /// What attention scores are multiplied with: 1/√size.
    pub fn scale(self) -> f32 {
        (1.0 / (self.size as f64).sqrt()) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_restart_in_every_span_and_go_on_after_cached_keys() {
        let spans = Spans::new(vec![
            Span { queries: 0..2, keys: 10..15 },
            Span { queries: 2..5, keys: 0..3 },
        ]);
        assert_eq!(spans.positions(), [3, 4, 0, 1, 2]);
        assert_eq!((spans.rows(), spans.key_rows()), (5, 15));
    }

    #[test]
    #[should_panic(expected = "tile the query rows")]
    fn a_gap_between_spans_is_refused() {
        Spans::new(vec![Span { queries: 1..2, keys: 0..1 }]);
    }
}
