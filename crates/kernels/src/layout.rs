//! How rows are cut into sequences ([`Spans`]) and columns into heads ([`Heads`]).

use std::ops::Range;
use std::sync::Arc;

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
pub struct Spans {
    spans: Vec<Span>,
    /// Where the keys stand, if not in the rows of their numbers.
    key_rows: Option<Arc<[u32]>>,
}

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
        Spans { spans, key_rows: None }
    }

    /// The same with key `s` of the spans in row `rows[s]` of the key and value matrices, so that
    /// sequences which begin alike can read their beginning in the same rows.
    ///
    /// # Panics
    /// If a span has a key beyond the last of `rows`.
    pub fn with_keys_in(self, rows: Arc<[u32]>) -> Spans {
        let keys = self.spans.iter().map(|span| span.keys.end).max().unwrap_or(0);
        assert!(keys <= rows.len(), "{keys} keys in {} rows", rows.len());
        Spans { key_rows: Some(rows), ..self }
    }

    /// Other queries of the same keys: spans whose keys stand where these say.
    pub fn with_keys_of(self, other: &Spans) -> Spans {
        match &other.key_rows {
            Some(rows) => self.with_keys_in(rows.clone()),
            None => self,
        }
    }

    /// Where the keys stand, if not in the rows of their numbers.
    pub fn keys_in(&self) -> Option<&[u32]> {
        self.key_rows.as_deref()
    }

    /// The row of a key.
    pub fn key_row(&self, key: usize) -> usize {
        self.key_rows.as_ref().map_or(key, |rows| rows[key] as usize)
    }

    /// `keys` in stretches that lie together: first row and length of each.
    pub fn stretches(&self, keys: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        let Range { mut start, end } = keys;
        std::iter::from_fn(move || {
            let first = (start < end).then(|| self.key_row(start))?;
            let length = match &self.key_rows {
                None => end - start,
                Some(rows) => {
                    let follows = |&(i, &row): &(usize, &u32)| row as usize == first + i;
                    rows[start..end].iter().enumerate().take_while(follows).count()
                }
            };
            start += length;
            Some((first, length))
        })
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
        self.spans.iter()
    }

    /// Number of query rows covered.
    pub fn rows(&self) -> usize {
        self.spans.last().map_or(0, |span| span.queries.end)
    }

    /// One past the highest key row that is read.
    pub fn key_rows(&self) -> usize {
        let keys = self.spans.iter().map(|span| span.keys.end).max().unwrap_or(0);
        match &self.key_rows {
            Some(rows) => rows[..keys].iter().fold(0, |end, &row| end.max(row as usize + 1)),
            None => keys,
        }
    }

    /// Position of every query row inside its sequence, counted from 0.
    pub fn positions(&self) -> Vec<u32> {
        self.spans
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
    fn keys_elsewhere_come_in_stretches_that_lie_together() {
        let spans = Spans::new(vec![Span { queries: 0..2, keys: 0..6 }]);
        assert_eq!(spans.stretches(1..6).collect::<Vec<_>>(), [(1, 5)]);
        let spans = spans.with_keys_in([4, 5, 6, 1, 9, 10].into());
        assert_eq!(spans.stretches(1..6).collect::<Vec<_>>(), [(5, 2), (1, 1), (9, 2)]);
        assert_eq!((spans.stretches(2..2).next(), spans.key_rows()), (None, 11));
        assert_eq!(spans.positions(), [4, 5]);
    }

    #[test]
    #[should_panic(expected = "6 keys in 5 rows")]
    fn a_key_without_a_row_is_refused() {
        Spans::new(vec![Span { queries: 0..2, keys: 0..6 }]).with_keys_in([0; 5].into());
    }

    #[test]
    #[should_panic(expected = "tile the query rows")]
    fn a_gap_between_spans_is_refused() {
        Spans::new(vec![Span { queries: 1..2, keys: 0..1 }]);
    }
}
