//! The page: every operation, its formula and its shapes; nowhere else does a position stand for a
//! meaning.
//!
//! Outputs come first, then inputs, then sizes. Plain outputs are overwritten; outputs called
//! `d_…` are gradients and are **added to**, unless an operation is told that there is nothing
//! [`Before`] it. Operations return nothing: a wrong shape is a bug of
//! the caller and panics with names and numbers; memory was asked for earlier, by [`Matrix`].
//! Every sum is taken in an order that does not depend on the number of threads. Where an output is
//! bf16, the result is what it would be in `f32`, rounded to nearest even once, at the end. (Where a
//! processor multiplies bf16 in tiles, products of bf16 take denormals for zero.)
//!
//! Index names: `t` a row (token), `i` an input column, `o` an output column, `h` a head, `j` a
//! column inside a head, `s` a key row, `c` a vocabulary entry.

pub use crate::backend::{AdamW, Before};
use crate::backend::{HeadGradientViews, QkvViews};
use crate::dtype::DType;
pub use crate::layout::NOT_COUNTED;
use crate::layout::{Heads, Spans};
use crate::matrix::Matrix;
use std::ops::Range;

/// Queries `[t, heads.queries * size]`, keys and values `[s, heads.keys * size]`.
#[derive(Clone, Copy)]
pub struct Qkv<'a> {
    /// One row per query token.
    pub queries: &'a Matrix,
    /// One row per key token.
    pub keys: &'a Matrix,
    /// One row per key token.
    pub values: &'a Matrix,
}

/// Gradients of [`Qkv`], same shapes.
pub struct QkvGradients<'a> {
    /// Gradient of the queries.
    pub queries: &'a mut Matrix,
    /// Gradient of the keys.
    pub keys: &'a mut Matrix,
    /// Gradient of the values.
    pub values: &'a mut Matrix,
}

/// What [`attention`] leaves for its backward.
pub struct AttentionResult<'a> {
    /// The output `[t, heads.queries * size]`.
    pub out: &'a Matrix,
    /// `[t, heads.queries]`: log of the sum of the exponentials of the scaled scores.
    pub log_sums: &'a Matrix,
}

/// Where [`cross_entropy`] puts its gradients.
pub struct HeadGradients<'a> {
    /// `[t, i]`, added to.
    pub d_hidden: &'a mut Matrix,
    /// `[c, i]`
    pub d_weight: &'a mut Matrix,
    /// What stands in `d_weight`.
    pub before: Before,
    /// The loss is multiplied with it: 1 / number of counted labels of the whole step.
    pub scale: f32,
}

/// `out[first_row + o, i] = x[o, i]` in the packed type of `out`: rounded to the nearest bf16, or
/// for every 32 columns of a row to whole numbers of a step, which in `Q8` makes 127 of the largest
/// of them and in `Q4` is chosen for a small squared error. `first_row` is a multiple of
/// [`DType::PANEL_ROWS`], and so is the number of rows unless they are the last ones.
pub fn pack(out: &mut Matrix, first_row: usize, x: &Matrix) {
    assert!(out.dtype().is_packed(), "pack: out is {:?}", out.dtype());
    shape("x", x, x.rows(), out.columns());
    out.device().backend().pack(out.view().row_range(first_row, x.rows()), x.view());
}

/// `out[t, o] = Σ_i x[t, i] · w[o, i]`; each may be bf16, or `w` packed and the others `f32`. With a
/// `PackedBf16` weight, `x` is first rounded to bf16; with `Q8` and `Q4`, every 32 columns of a row of
/// `x` to whole numbers -127 ..= 127 of steps of the largest of them / 127, in `f32`. A row of the
/// result does not depend on the rows beside it.
pub fn matmul(out: &mut Matrix, x: &Matrix, w: &Matrix) {
    matmuls([out], x, [w]);
}

/// As [`matmul`] of every `out` with its `w`; `x` is rounded once for all packed weights of a dtype.
pub fn matmuls<const N: usize>(outs: [&mut Matrix; N], x: &Matrix, ws: [&Matrix; N]) {
    for (out, w) in outs.iter().zip(ws) {
        sizes("out", out, x.rows(), w.rows());
        sizes("w", w, w.rows(), x.columns());
        let plain = out.dtype() == DType::F32 && x.dtype() == DType::F32;
        assert!(plain || !w.dtype().is_packed(), "x and out must be f32: w is {:?}", w.dtype());
    }
    let products = std::array::from_fn::<_, N, _>(|i| (outs[i].view(), ws[i].view()));
    x.device().backend().matmuls(&products, x.view());
}

/// `d_x[t, i] += Σ_o d_out[t, o] · w[o, i]`; each may be bf16.
pub fn matmul_backward_input(d_x: &mut Matrix, d_out: &Matrix, w: &Matrix, before: Before) {
    sizes("d_x", d_x, d_out.rows(), w.columns());
    sizes("w", w, d_out.columns(), d_x.columns());
    assert!(!w.dtype().is_packed(), "w has no gradients: it is {:?}", w.dtype());
    let backend = d_x.device().backend();
    backend.matmul_backward_input(d_x.view(), d_out.view(), w.view(), before);
}

/// `d_w[o, i] += Σ_t d_out[t, o] · x[t, i]`; `d_out` and `x` may be bf16.
pub fn matmul_backward_weight(d_w: &mut Matrix, d_out: &Matrix, x: &Matrix, before: Before) {
    shape("d_w", d_w, d_out.columns(), x.columns());
    sizes("x", x, d_out.rows(), x.columns());
    let backend = d_w.device().backend();
    backend.matmul_backward_weight(d_w.view(), d_out.view(), x.view(), before);
}

/// `out[t, i] = table[ids[t], i]`; `table` may be bf16 or packed. Also gathers rows of any matrix.
pub fn embedding(out: &mut Matrix, table: &Matrix, ids: &[u32]) {
    shape("out", out, ids.len(), table.columns());
    within("ids", ids, table.rows());
    out.device().backend().embedding(out.view(), table.view(), ids);
}

/// `d_table[ids[t], i] += d_out[t, i]`, rows taken in the order of `t`.
pub fn embedding_backward(d_table: &mut Matrix, d_out: &Matrix, ids: &[u32]) {
    shape("d_out", d_out, ids.len(), d_table.columns());
    within("ids", ids, d_table.rows());
    d_table.device().backend().embedding_backward(d_table.view(), d_out.view(), ids);
}

/// `out[t, i] = weight[0, i] · x[t, i] / √(Σ_i x[t, i]² / columns + epsilon)` (Zhang and Sennrich 2019);
/// `out` may be bf16.
pub fn rms_norm(out: &mut Matrix, x: &Matrix, weight: &Matrix, epsilon: f32) {
    float_shape("out", out, x.rows(), x.columns());
    shape("weight", weight, 1, x.columns());
    out.device().backend().rms_norm(out.view(), x.view(), weight.view(), epsilon);
}

/// Adds the gradients of [`rms_norm`] to `d_x[t, i]` and `d_weight[0, i]`.
pub fn rms_norm_backward(
    d_x: &mut Matrix,
    d_weight: &mut Matrix,
    d_out: &Matrix,
    x: &Matrix,
    weight: &Matrix,
    epsilon: f32,
) {
    shape("d_x", d_x, x.rows(), x.columns());
    shape("d_weight", d_weight, 1, x.columns());
    shape("d_out", d_out, x.rows(), x.columns());
    shape("weight", weight, 1, x.columns());
    d_x.device().backend().rms_norm_backward(
        d_x.view(),
        d_weight.view(),
        d_out.view(),
        x.view(),
        weight.view(),
        epsilon,
    );
}

/// Turns every head of `x[t, h * size + j]` in place, `j` paired with `j + size/2` (Su et al. 2021,
/// in the half-split pairing of Hugging Face): with `cos = turns[t, j]`, `sin = turns[t, j + size/2]`
/// for `j < size/2`: `(x_j, x_{j+size/2}) ← (x_j·cos − x_{j+size/2}·sin, x_{j+size/2}·cos + x_j·sin)`.
/// `x` may be bf16.
pub fn rope(x: &mut Matrix, turns: &Matrix, heads: usize) {
    rope_shapes(x, turns, heads);
    x.device().backend().rope(x.view(), turns.view(), heads);
}

/// The gradient of [`rope`], in place: the turn back. Not added to, since input and output are one.
pub fn rope_backward(d_x: &mut Matrix, turns: &Matrix, heads: usize) {
    rope_shapes(d_x, turns, heads);
    d_x.device().backend().rope_backward(d_x.view(), turns.view(), heads);
}

/// Causal attention inside each span, grouped queries:
/// `out[t, h] = Σ_s softmax_s(queries[t, h]·keys[s, g] · heads.scale()) values[s, g]`, `g = h / heads.group()`,
/// over the keys that [`crate::Span`] says, in the rows that [`Spans::key_row`] says. `log_sums[t, h]` = log Σ_s exp(scaled score). No `[t, s]` matrix is kept
/// (Dao et al. 2022). All but `log_sums` may be bf16.
pub fn attention(
    out: &mut Matrix,
    log_sums: &mut Matrix,
    input: Qkv<'_>,
    spans: &Spans,
    heads: Heads,
) {
    qkv_shapes(&input, spans, heads);
    float_shape("out", out, spans.rows(), heads.query_columns());
    shape("log_sums", log_sums, spans.rows(), heads.queries);
    let backend = out.device().backend();
    backend.attention(out.view(), log_sums.view(), input.views(), spans, heads);
}

/// Adds the gradients of [`attention`] to `d_input`; scores are computed again from `log_sums`.
/// `d_out`, `result.out` and `input` may be bf16.
pub fn attention_backward(
    d_input: QkvGradients<'_>,
    d_out: &Matrix,
    result: AttentionResult<'_>,
    input: Qkv<'_>,
    spans: &Spans,
    heads: Heads,
) {
    let kept = [input.keys, input.values].map(Matrix::dtype);
    assert!(!kept.contains(&DType::Q8Rows), "8-bit keys and values have no gradients");
    assert!(spans.keys_in().is_none(), "keys that stand elsewhere have no gradients");
    qkv_shapes(&input, spans, heads);
    shape("d_queries", d_input.queries, input.queries.rows(), input.queries.columns());
    shape("d_keys", d_input.keys, input.keys.rows(), input.keys.columns());
    shape("d_values", d_input.values, input.values.rows(), input.values.columns());
    float_shape("d_out", d_out, spans.rows(), heads.query_columns());
    float_shape("out", result.out, spans.rows(), heads.query_columns());
    shape("log_sums", result.log_sums, spans.rows(), heads.queries);
    let d_views = QkvViews {
        queries: d_input.queries.view(),
        keys: d_input.keys.view(),
        values: d_input.values.view(),
    };
    let result = (result.out.view(), result.log_sums.view());
    let backend = d_out.device().backend();
    backend.attention_backward(d_views, d_out.view(), result, input.views(), spans, heads);
}

/// `out[t, i] = gate[t, i] · σ(gate[t, i]) · up[t, i]` (Shazeer 2020); each may be bf16.
pub fn swiglu(out: &mut Matrix, gate: &Matrix, up: &Matrix) {
    float_shape("out", out, gate.rows(), gate.columns());
    float_shape("up", up, gate.rows(), gate.columns());
    float_shape("gate", gate, gate.rows(), gate.columns());
    out.device().backend().swiglu(out.view(), gate.view(), up.view());
}

/// As [`swiglu`] and then [`matmul`] with `w`, to the same bits: `out[t, o] = Σ_i gated[t, i] · w[o, i]`.
/// `gated` is room for the activation, which need not be left there.
pub fn matmul_swiglu(out: &mut Matrix, gated: &mut Matrix, gate: &Matrix, up: &Matrix, w: &Matrix) {
    for (name, matrix) in [("gated", &*gated), ("up", up), ("gate", gate)] {
        float_shape(name, matrix, gate.rows(), gate.columns());
    }
    sizes("out", out, gate.rows(), w.rows());
    sizes("w", w, w.rows(), gate.columns());
    let plain = [&*out, gated, gate, up].iter().all(|matrix| matrix.dtype() == DType::F32);
    assert!(plain || !w.dtype().is_packed(), "all but w must be f32: w is {:?}", w.dtype());
    let backend = w.device().backend();
    backend.matmul_swiglu(out.view(), gated.view(), gate.view(), up.view(), w.view());
}

/// Adds the gradients of [`swiglu`] to `d_gate` and `d_up`; each may be bf16.
pub fn swiglu_backward(
    d_gate: &mut Matrix,
    d_up: &mut Matrix,
    d_out: &Matrix,
    gate: &Matrix,
    up: &Matrix,
    before: Before,
) {
    for (name, matrix) in [("d_gate", &*d_gate), ("d_up", &*d_up), ("d_out", d_out), ("up", up)] {
        float_shape(name, matrix, gate.rows(), gate.columns());
    }
    let backend = d_out.device().backend();
    let d_input = (d_gate.view(), d_up.view());
    backend.swiglu_backward(d_input, d_out.view(), gate.view(), up.view(), before);
}

/// `out[t, i] += x[t, i]`
pub fn add(out: &mut Matrix, x: &Matrix) {
    shape("x", x, out.rows(), out.columns());
    out.device().backend().add(out.view(), x.view());
}

/// `out[first + t, i] = x[t, i]`: whole rows to another place, for example into a cache; widened or
/// rounded where one of the two is bf16. Into 8-bit rows, every 32 columns of an `f32` row are rounded
/// to whole numbers -127 ..= 127 of steps of the largest of them / 127.
pub fn copy_rows(out: &mut Matrix, first: usize, x: &Matrix, rows: Range<usize>) {
    assert_eq!(out.columns(), x.columns(), "copy_rows: columns of out and x");
    let (to, from) = (out.view(), x.view());
    let rows_to = to.row_range(first, rows.len());
    out.device().backend().copy(rows_to, from.row_range(rows.start, rows.len()));
}

/// Takes `f32` rows apart: `rounded[first + t, i] = x[t, i]`, rounded to bf16, and `remainder` keeps what
/// that takes from them, so that [`join_rows`] gives them back bit for bit (of NaN, another NaN).
pub fn split_rows(rounded: &mut Matrix, remainder: &mut Matrix, first: usize, x: &Matrix) {
    split_shapes(rounded, remainder);
    shape("x", x, x.rows(), rounded.columns());
    let part = |matrix: &Matrix| matrix.view().row_range(first, x.rows());
    x.device().backend().split(part(rounded), part(remainder), x.view());
}

/// `out[t, i]` = what [`split_rows`] took apart in these rows.
pub fn join_rows(out: &mut Matrix, rounded: &Matrix, remainder: &Matrix, rows: Range<usize>) {
    split_shapes(rounded, remainder);
    shape("out", out, rows.len(), rounded.columns());
    let part = |matrix: &Matrix| matrix.view().row_range(rows.start, rows.len());
    out.device().backend().join(out.view(), part(rounded), part(remainder));
}

/// Output projection and cross-entropy in one, in chunks of `logits.rows()` rows, so that the
/// logits `[t, c]` never exist as a whole: with `z[t, c] = Σ_i hidden[t, i] · weight[c, i]`,
/// `losses[t, 0] = log Σ_c exp z[t, c] − z[t, labels[t]]` and `losses[t, 1]` = 1 if the label is
/// the first maximum of `z[t]`, else 0; both 0 where the label is [`NOT_COUNTED`].
/// With `gradients`, those of `scale · Σ_t losses[t, 0]` are added as well. `hidden` and `weight` may
/// be bf16, and `logits`, which rounds `z`, and its gradients before they are multiplied with `weight`
/// and `hidden`. Without gradients `weight` may be packed, which rounds `hidden` as in [`matmul`].
pub fn cross_entropy(
    losses: &mut Matrix,
    gradients: Option<HeadGradients<'_>>,
    logits: &mut Matrix,
    hidden: &Matrix,
    weight: &Matrix,
    labels: &[i32],
) {
    shape("losses", losses, hidden.rows(), 2);
    float_shape("logits", logits, logits.rows().max(1), weight.rows());
    shape("weight", weight, weight.rows(), hidden.columns());
    float_shape("hidden", hidden, hidden.rows(), hidden.columns());
    assert_eq!(labels.len(), hidden.rows(), "labels of hidden");
    let known = |&label: &i32| label == NOT_COUNTED || (0..weight.rows() as i32).contains(&label);
    assert!(labels.iter().all(known), "labels must be below {} or {NOT_COUNTED}", weight.rows());
    let trained = gradients.is_some();
    assert!(!(trained && weight.dtype().is_packed()), "weight has no gradients: it is packed");
    let gradients = gradients.map(|g| {
        shape("d_hidden", g.d_hidden, hidden.rows(), hidden.columns());
        shape("d_weight", g.d_weight, weight.rows(), weight.columns());
        let (d_hidden, d_weight) = (g.d_hidden.view(), g.d_weight.view());
        HeadGradientViews { d_hidden, d_weight, before: g.before, scale: g.scale }
    });
    let backend = losses.device().backend();
    let (losses, logits) = (losses.view(), logits.view());
    backend.cross_entropy(losses, gradients, logits, hidden.view(), weight.view(), labels);
}

/// As [`cross_entropy`] without gradients, for any labels of any rows: with `(t, c) = asked[l]`,
/// `losses[l, 0] = log Σ_k exp z[t, k] − z[t, c]` and `losses[l, 1]` = 1 if `c` is the first maximum of
/// `z[t]`, else 0. `asked` goes from the first row on; rows nobody asks about are left out where a
/// whole chunk of them is.
pub fn label_losses(
    losses: &mut Matrix,
    logits: &mut Matrix,
    hidden: &Matrix,
    weight: &Matrix,
    asked: &[(u32, u32)],
) {
    shape("losses", losses, asked.len(), 2);
    shape("logits", logits, logits.rows().max(1), weight.rows());
    sizes("weight", weight, weight.rows(), hidden.columns());
    shape("hidden", hidden, hidden.rows(), hidden.columns());
    assert!(asked.is_sorted_by_key(|(row, _)| row), "asked must go from the first row on");
    for &(row, label) in asked {
        assert!((row as usize) < hidden.rows(), "row {row} of {} hidden ones", hidden.rows());
        assert!((label as usize) < weight.rows(), "labels must be below {}", weight.rows());
    }
    let backend = losses.device().backend();
    let (losses, logits) = (losses.view(), logits.view());
    backend.label_losses(losses, logits, hidden.view(), weight.view(), asked);
}

/// `Σ x[t, i]²` over the given rows, in f64.
pub fn square_sum(x: &Matrix, rows: Range<usize>) -> f64 {
    x.device().backend().square_sum(x.view().row_range(rows.start, rows.len()))
}

/// One [`AdamW`] update of the given rows, with `g = gradient_scale · gradients`:
/// `p ← p·(1 − lr·decay)`; `m ← β₁m + (1−β₁)g`; `v ← β₂v + (1−β₂)g²`;
/// `p ← p − lr/(1−β₁ᵗ) · m / (√(v/(1−β₂ᵗ)) + ε)`. Parameters with a `remainder` are bf16; both together
/// are `p`, as in [`split_rows`].
pub fn adamw(
    parameters: &mut Matrix,
    remainder: Option<&mut Matrix>,
    gradients: &Matrix,
    first_moment: &mut Matrix,
    second_moment: &mut Matrix,
    rows: Range<usize>,
    update: AdamW,
) {
    let (count, columns) = (parameters.rows(), parameters.columns());
    shape("gradients", gradients, count, columns);
    shape("first_moment", first_moment, count, columns);
    shape("second_moment", second_moment, count, columns);
    let part = |matrix: &Matrix| matrix.view().row_range(rows.start, rows.len());
    let moments = (part(first_moment), part(second_moment));
    match &remainder {
        Some(remainder) => split_shapes(parameters, remainder),
        None => shape("parameters", parameters, count, columns),
    }
    let remainder = remainder.map(|remainder| part(remainder));
    let backend = gradients.device().backend();
    backend.adamw((part(parameters), remainder), part(gradients), moments, update);
}

impl Qkv<'_> {
    fn views(&self) -> QkvViews {
        QkvViews {
            queries: self.queries.view(),
            keys: self.keys.view(),
            values: self.values.view(),
        }
    }
}

fn qkv_shapes(input: &Qkv<'_>, spans: &Spans, heads: Heads) {
    assert_eq!(heads.queries % heads.keys, 0, "query heads must be a multiple of key heads");
    float_shape("queries", input.queries, spans.rows(), heads.query_columns());
    kept_shape("keys", input.keys, input.keys.rows(), heads.key_columns());
    kept_shape("values", input.values, input.keys.rows(), heads.key_columns());
    assert!(spans.key_rows() <= input.keys.rows(), "spans read beyond the last key");
}

fn split_shapes(rounded: &Matrix, remainder: &Matrix) {
    sizes("remainder", remainder, rounded.rows(), rounded.columns());
    let dtypes = (rounded.dtype(), remainder.dtype());
    assert_eq!(dtypes, (DType::Bf16, DType::Remainder), "bf16 and its remainder");
}

fn rope_shapes(x: &Matrix, turns: &Matrix, heads: usize) {
    assert_eq!(turns.columns() % 2, 0, "a head must have an even number of columns");
    float_shape("x", x, turns.rows(), heads * turns.columns());
}

fn sizes(name: &str, matrix: &Matrix, rows: usize, columns: usize) {
    let found = (matrix.rows(), matrix.columns());
    assert_eq!(found, (rows, columns), "{name} has a wrong shape");
}

fn shape(name: &str, matrix: &Matrix, rows: usize, columns: usize) {
    sizes(name, matrix, rows, columns);
    assert!(
        name == "w" || name == "weight" || name == "table" || matrix.dtype() == DType::F32,
        "{name} must be f32"
    );
}

/// Of a matrix that may be f32 or bf16.
fn float_shape(name: &str, matrix: &Matrix, rows: usize, columns: usize) {
    sizes(name, matrix, rows, columns);
    let is_float = matches!(matrix.dtype(), DType::F32 | DType::Bf16);
    assert!(is_float, "{name} must be f32 or bf16");
}

/// Of keys or values, which may be 8-bit rows as well.
fn kept_shape(name: &str, matrix: &Matrix, rows: usize, columns: usize) {
    match matrix.dtype() {
        DType::Q8Rows => sizes(name, matrix, rows, columns),
        _ => float_shape(name, matrix, rows, columns),
    }
}

fn within(name: &str, ids: &[u32], rows: usize) {
    if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
        panic!("{name} holds {id}, but the table has {rows} rows");
    }
}
