//! Attention calls of many shapes, and the sizes of the terms behind every element of their
//! results.

use crate::numbers::Values;
use kollama_kernels::{Heads, Span, Spans};

/// The shape of one call.
pub struct AttentionCase {
    pub spans: Spans,
    pub heads: Heads,
    key_rows: usize,
}

/// What goes in; `d_queries`, `d_keys` and `d_values` are where the gradients start.
pub struct AttentionInput {
    pub queries: Values,
    pub keys: Values,
    pub values: Values,
    pub d_out: Values,
    pub d_queries: Values,
    pub d_keys: Values,
    pub d_values: Values,
}

/// For every element the sum of the absolute values of its terms. An exponential multiplies the
/// error of its argument, so a probability counts as often as its score has terms.
pub struct Terms {
    pub out: Vec<f32>,
    pub log_sums: Vec<f32>,
    pub d_queries: Vec<f32>,
    pub d_keys: Vec<f32>,
    pub d_values: Vec<f32>,
}

impl AttentionCase {
    /// Training on whole sequences and reading from a cache (keys out of order, unread rows between
    /// them, rows that two spans read), with one head, several, and several in groups.
    pub fn all() -> Vec<AttentionCase> {
        let heads = [(1, 1, 2), (3, 1, 6), (4, 2, 10), (8, 2, 16), (2, 2, 64), (2, 1, 128)];
        let heads = heads.map(|(queries, keys, size)| Heads { queries, keys, size });
        let cases = heads.iter().flat_map(|&heads| {
            let case = move |(spans, key_rows)| AttentionCase { spans, heads, key_rows };
            span_cases().into_iter().map(case)
        });
        let long = AttentionCase {
            spans: Spans::of_lengths([300, 17]),
            heads: Heads { queries: 8, keys: 2, size: 64 },
            key_rows: 317,
        };
        cases.chain([long]).collect()
    }

    /// Keys that do not stand in the rows of their numbers: one beginning that others share, blocks
    /// of it cut anywhere, rows in any order.
    pub fn elsewhere() -> Vec<AttentionCase> {
        let spans = vec![
            Span { queries: 0..1, keys: 0..300 },
            Span { queries: 1..41, keys: 300..540 },
            Span { queries: 41..44, keys: 540..560 },
        ];
        let beginning = (200..330).chain(20..40);
        let first = beginning.clone().chain(400..550);
        let second = beginning.chain(150..200).chain(60..100);
        let rows: Vec<u32> = first.chain(second).chain((0..20).rev()).collect();
        let spans = Spans::new(spans).with_keys_in(rows.into());
        let heads = [(3, 1, 6), (4, 2, 10), (2, 2, 64)];
        let case = |(queries, keys, size)| AttentionCase {
            spans: spans.clone(),
            heads: Heads { queries, keys, size },
            key_rows: 551,
        };
        heads.map(case).into()
    }

    pub fn name(&self) -> String {
        let spans: Vec<String> =
            self.spans.iter().map(|span| format!("{:?}->{:?}", span.queries, span.keys)).collect();
        format!("{} with {:?}", spans.join(" "), self.heads)
    }

    /// Random values; queries are `sharpness` times larger, which makes some keys win.
    pub fn input(&self, sharpness: f32) -> AttentionInput {
        let query_columns = self.heads.query_columns();
        let of_queries = |seed| Values::random(seed, self.spans.rows(), query_columns);
        let of_keys = |seed| Values::random(seed, self.key_rows, self.heads.key_columns());
        AttentionInput {
            queries: of_queries(1).map(|x| sharpness * x),
            keys: of_keys(2),
            values: of_keys(3),
            d_out: of_queries(4),
            d_queries: of_queries(5),
            d_keys: of_keys(6),
            d_values: of_keys(7),
        }
    }

    pub fn terms(&self, input: &AttentionInput) -> Terms {
        let absolute = |values: &Values| values.map(f32::abs).values;
        let mut terms = Terms {
            out: vec![0.0; input.queries.values.len()],
            log_sums: vec![0.0; self.spans.rows() * self.heads.queries],
            d_queries: absolute(&input.d_queries),
            d_keys: absolute(&input.d_keys),
            d_values: absolute(&input.d_values),
        };
        for span in self.spans.iter() {
            for row in span.queries.clone() {
                let seen = span.keys.start..span.keys.end - (span.queries.end - 1 - row);
                let seen: Vec<usize> = seen.map(|key| self.spans.key_row(key)).collect();
                for head in 0..self.heads.queries {
                    self.add_terms(&mut terms, input, (row, head), &seen);
                }
            }
        }
        terms
    }

    fn add_terms(
        &self,
        terms: &mut Terms,
        input: &AttentionInput,
        (row, head): (usize, usize),
        seen: &[usize],
    ) {
        let (Heads { queries, keys, size }, scale) = (self.heads, self.heads.scale());
        let at = (row * queries + head) * size;
        let key_at = |s: usize| (s * keys + head / self.heads.group()) * size;
        let (q, d_out) = (&input.queries.values[at..at + size], &input.d_out.values[at..at + size]);
        let key = |s: usize| &input.keys.values[key_at(s)..key_at(s) + size];
        let value = |s: usize| &input.values.values[key_at(s)..key_at(s) + size];

        let scores: Vec<f32> = seen.iter().map(|&s| sum(q, key(s), |x| x) * scale).collect();
        let score_terms = seen.iter().map(|&s| sum(q, key(s), f32::abs) * scale);
        let largest_terms = 1.0 + score_terms.fold(0.0, f32::max);
        let maximum = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let all: f32 = scores.iter().map(|score| (score - maximum).exp()).sum();
        let p: Vec<f32> = scores.iter().map(|score| (score - maximum).exp() / all).collect();
        let d_p: Vec<f32> = seen.iter().map(|&s| sum(d_out, value(s), f32::abs)).collect();
        let mean: f32 = p.iter().zip(&d_p).map(|(p, d_p)| p * d_p).sum();

        terms.log_sums[row * queries + head] = largest_terms + (seen.len() as f32).ln();
        for (i, &s) in seen.iter().enumerate() {
            let p = p[i] * largest_terms;
            let d_score = p * (d_p[i] + mean) * scale;
            for j in 0..size {
                terms.out[at + j] += p * value(s)[j].abs();
                terms.d_queries[at + j] += d_score * key(s)[j].abs();
                terms.d_keys[key_at(s) + j] += d_score * q[j].abs();
                terms.d_values[key_at(s) + j] += p * d_out[j].abs();
            }
        }
    }
}

/// Spans, and how many key rows there are.
fn span_cases() -> Vec<(Spans, usize)> {
    let lengths: [&[usize]; 5] = [&[1], &[3, 1, 7], &[13, 31], &[64], &[100]];
    let whole =
        lengths.map(|lengths| (Spans::of_lengths(lengths.iter().copied()), lengths.iter().sum()));
    let cached = [
        (vec![Span { queries: 0..1, keys: 0..100 }], 100),
        (
            vec![
                Span { queries: 0..1, keys: 40..73 },
                Span { queries: 1..8, keys: 0..33 },
                Span { queries: 8..21, keys: 90..103 },
            ],
            110,
        ),
        (vec![Span { queries: 0..2, keys: 4..13 }, Span { queries: 2..5, keys: 0..10 }], 13),
    ];
    let one_beginning =
        (0..6).map(|answer| Span { queries: 8 * answer..8 * answer + 8, keys: 0..60 });
    let cached = cached.map(|(spans, key_rows)| (Spans::new(spans), key_rows));
    let shared = (Spans::new(one_beginning.collect()), 60);
    whole.into_iter().chain(cached).chain([shared]).collect()
}

fn sum(x: &[f32], y: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    x.iter().zip(y).map(|(x, y)| term(x * y)).sum()
}
