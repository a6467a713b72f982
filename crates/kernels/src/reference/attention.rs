//! Causal attention inside spans, query heads in groups that share a key head, and its gradients:
//! for every query all scores at once, in `f64`; no running maximum, no blocks.

use super::real::{Real, add_all_rounded, add_scaled, dot, log_sum_exp};
use crate::layout::{Heads, Spans};
use std::ops::Range;

/// Queries `[t, h, j]`, keys and values `[s, g, j]`.
#[derive(Clone, Copy)]
pub struct Qkv<'a, T> {
    pub queries: &'a [T],
    pub keys: &'a [T],
    pub values: &'a [T],
}

/// Gradients of [`Qkv`].
pub struct QkvGradients<'a, T> {
    pub queries: &'a mut [T],
    pub keys: &'a mut [T],
    pub values: &'a mut [T],
}

/// `out[t, h] = Σ_s p_s · values[s, g]` over the keys that query `t` sees, with `g = h / group`,
/// `score_s = queries[t, h]·keys[s, g] · heads.scale()`, `p_s = exp(score_s − log_sum)` and
/// `log_sums[t, h] = log Σ_s exp(score_s)`.
pub fn attention<T: Real>(
    out: &mut [T],
    log_sums: &mut [T],
    input: Qkv<'_, T>,
    spans: &Spans,
    heads: Heads,
) {
    for query in queries_of(spans, heads) {
        let scores = scores(&input, &query, heads);
        let log_sum = log_sum_exp(&scores);
        let mut sums = vec![0.0; heads.size];
        for (&s, score) in query.keys.iter().zip(&scores) {
            let value = &input.values[query.key_place(s, heads)];
            add_scaled(&mut sums, (score - log_sum).exp(), value);
        }
        for (out, &sum) in out[query.place(heads)].iter_mut().zip(&sums) {
            *out = T::rounded(sum);
        }
        log_sums[query.row * heads.queries + query.head] = T::rounded(log_sum);
    }
}

/// Adds the gradients of [`attention`]: with `d_p_s = d_out[t, h]·values[s, g]` and
/// `d_score_s = p_s · (d_p_s − Σ_r p_r · d_p_r) · heads.scale()`,
/// `d_queries[t, h] += Σ_s d_score_s · keys[s, g]`, `d_keys[s, g] += Σ_{t, h} d_score_s · queries[t, h]`
/// and `d_values[s, g] += Σ_{t, h} p_s · d_out[t, h]`.
pub fn attention_backward<T: Real>(
    d_input: QkvGradients<'_, T>,
    d_out: &[T],
    input: Qkv<'_, T>,
    spans: &Spans,
    heads: Heads,
) {
    let mut d_keys = vec![0.0; input.keys.len()];
    let mut d_values = vec![0.0; input.values.len()];
    for query in queries_of(spans, heads) {
        let scores = scores(&input, &query, heads);
        let log_sum = log_sum_exp(&scores);
        let place = query.place(heads);
        let (queries, d_out) = (&input.queries[place.clone()], &d_out[place.clone()]);
        let key_places = || query.keys.iter().map(|&s| query.key_place(s, heads));
        let p: Vec<f64> = scores.iter().map(|score| (score - log_sum).exp()).collect();
        let d_p: Vec<f64> = key_places().map(|key| dot(d_out, &input.values[key])).collect();
        let mean = dot(&p, &d_p);
        let mut d_queries = vec![0.0; heads.size];
        for (i, key) in key_places().enumerate() {
            let d_score = p[i] * (d_p[i] - mean) * f64::from(heads.scale());
            add_scaled(&mut d_queries, d_score, &input.keys[key.clone()]);
            add_scaled(&mut d_keys[key.clone()], d_score, queries);
            add_scaled(&mut d_values[key], p[i], d_out);
        }
        add_all_rounded(&mut d_input.queries[place], &d_queries);
    }
    add_all_rounded(d_input.keys, &d_keys);
    add_all_rounded(d_input.values, &d_values);
}

/// One head of one query row, and the key rows that it sees.
struct Query {
    row: usize,
    head: usize,
    keys: Vec<usize>,
}

impl Query {
    /// Its elements in the matrix of queries, and those of its output.
    fn place(&self, heads: Heads) -> Range<usize> {
        let start = (self.row * heads.queries + self.head) * heads.size;
        start..start + heads.size
    }

    /// Elements of the head that it reads, in row `s` of the keys or values.
    fn key_place(&self, s: usize, heads: Heads) -> Range<usize> {
        let start = (s * heads.keys + self.head / heads.group()) * heads.size;
        start..start + heads.size
    }
}

/// Every head of every query row; the last query of a span stands at its last key.
fn queries_of(spans: &Spans, heads: Heads) -> impl Iterator<Item = Query> {
    let rows = spans.iter().flat_map(move |span| {
        let hidden_at = move |row: usize| span.queries.end - 1 - row;
        let seen = move |row: usize| span.keys.start..span.keys.end - hidden_at(row);
        let keys = move |row: usize| seen(row).map(|key| spans.key_row(key)).collect::<Vec<_>>();
        span.queries.clone().map(move |row| (row, keys(row)))
    });
    rows.flat_map(move |(row, keys)| {
        (0..heads.queries).map(move |head| Query { row, head, keys: keys.clone() })
    })
}

/// `queries[t, h]·keys[s, g] · heads.scale()` for every key `s` that the query sees.
fn scores<T: Real>(input: &Qkv<'_, T>, query: &Query, heads: Heads) -> Vec<f64> {
    let queries = &input.queries[query.place(heads)];
    let score = |s| dot(queries, &input.keys[query.key_place(s, heads)]) * f64::from(heads.scale());
    query.keys.iter().copied().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finite_differences::{assert_gradient, before, numbers};
    use super::*;
    use crate::layout::Span;

    fn one_head(size: usize) -> Heads {
        Heads { queries: 1, keys: 1, size }
    }

    #[test]
    fn equal_keys_give_the_mean_of_the_values_seen_so_far() {
        let (mut out, mut log_sums) = ([0f32; 6], [0f32; 3]);
        let values = [2., 0., 4., 0., 9., 3.];
        let input = Qkv { queries: &[1.; 6], keys: &[0.; 6], values: &values };
        attention(&mut out, &mut log_sums, input, &Spans::of_lengths([3]), one_head(2));
        assert_eq!(out, [2., 0., 3., 0., 5., 1.]);
        assert_eq!(log_sums, [0., 2f32.ln(), 3f32.ln()]);
    }

    #[test]
    fn spans_do_not_see_each_other_and_the_last_query_stands_at_the_last_key() {
        let (mut out, mut log_sums) = ([0f32; 6], [0f32; 3]);
        let values = [1., 1., 2., 2., 3., 3., 40., 40., 50., 50.];
        let input = Qkv { queries: &[1.; 6], keys: &[0.; 10], values: &values };
        let spans = Spans::new(vec![
            Span { queries: 0..2, keys: 0..3 },
            Span { queries: 2..3, keys: 3..5 },
        ]);
        attention(&mut out, &mut log_sums, input, &spans, one_head(2));
        assert_eq!(out, [1.5, 1.5, 2., 2., 45., 45.]);
    }

    #[test]
    fn neighbouring_query_heads_share_a_key_head() {
        let (mut out, mut log_sums) = ([0f32; 8], [0f32; 4]);
        let input = Qkv { queries: &[1.; 8], keys: &[0.; 4], values: &[1., 2., 3., 4.] };
        let heads = Heads { queries: 4, keys: 2, size: 2 };
        attention(&mut out, &mut log_sums, input, &Spans::of_lengths([1]), heads);
        assert_eq!(out, [1., 2., 1., 2., 3., 4., 3., 4.]);
    }

    fn check_backward(spans: &Spans, key_rows: usize, heads: Heads) {
        let queries = numbers(1, spans.rows() * heads.query_columns());
        let keys = numbers(2, key_rows * heads.key_columns());
        let values = numbers(3, key_rows * heads.key_columns());
        let d_out = numbers(4, queries.len());
        let loss = |queries: &[f64], keys: &[f64], values: &[f64]| {
            let mut out = vec![0.0; queries.len()];
            let mut log_sums = vec![0.0; spans.rows() * heads.queries];
            attention(&mut out, &mut log_sums, Qkv { queries, keys, values }, spans, heads);
            dot(&out, &d_out)
        };
        let (mut d_queries, mut d_keys) = (before(queries.len()), before(keys.len()));
        let mut d_values = before(values.len());
        let d_input =
            QkvGradients { queries: &mut d_queries, keys: &mut d_keys, values: &mut d_values };
        let input = Qkv { queries: &queries, keys: &keys, values: &values };
        attention_backward(d_input, &d_out, input, spans, heads);
        assert_gradient(&d_queries, &queries, |queries| loss(queries, &keys, &values));
        assert_gradient(&d_keys, &keys, |keys| loss(&queries, keys, &values));
        assert_gradient(&d_values, &values, |values| loss(&queries, &keys, values));
    }

    #[test]
    fn the_backward_equals_finite_differences_over_several_spans_and_grouped_heads() {
        let heads = Heads { queries: 4, keys: 2, size: 4 };
        check_backward(&Spans::of_lengths([1, 5, 3]), 9, heads);
    }

    #[test]
    fn the_backward_equals_finite_differences_where_keys_are_more_than_queries_and_shared() {
        let spans = Spans::new(vec![
            Span { queries: 0..2, keys: 4..9 },
            Span { queries: 2..5, keys: 0..6 },
        ]);
        check_backward(&spans, 10, Heads { queries: 3, keys: 1, size: 2 });
    }
}
