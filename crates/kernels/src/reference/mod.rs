//! Slow and right: what each result *is*. Plain loops over slices, every element summed in `f64`
//! and rounded to `f32` once, at the end; every faster device is judged by these. Not meant for
//! work: one thread, no blocking, scratch memory where it makes a loop plainer.
//!
//! This file turns views into slices, one line per operation; the operations themselves are safe
//! functions that know neither views nor devices.

mod adamw;
mod attention;
mod cross_entropy;
mod embedding;
#[cfg(test)]
mod finite_differences;
mod matmul;
mod packed;
mod real;
mod rms_norm;
mod rope;
mod sums;
mod swiglu;

use crate::backend::{AdamW, Backend, Before, HeadGradientViews, QkvViews};
use crate::dtype::DType;
use crate::error::KernelError;
use crate::host_memory;
use crate::layout::{Heads, Spans};
use crate::q8_rows;
use crate::remainder;
use crate::view::{Address, View};
use half::bf16;
use std::borrow::Cow;

/// The device that defines every result.
pub struct Reference;

impl Backend for Reference {
    fn name(&self) -> String {
        "reference".to_owned()
    }

    fn allocate(&self, bytes: usize) -> Result<Address, KernelError> {
        host_memory::allocate(bytes, "reference")
    }

    fn free(&self, address: Address, bytes: usize) {
        host_memory::free(address, bytes);
    }

    fn copy_in(&self, address: Address, bytes: &[u8]) {
        host_memory::copy_in(address, bytes);
    }

    fn copy_out(&self, bytes: &mut [u8], address: Address) {
        host_memory::copy_out(bytes, address);
    }

    fn clear(&self, x: View) {
        host_memory::clear(x);
    }

    fn copy(&self, mut out: View, x: View) {
        match out.dtype {
            same if same == x.dtype => host_memory::copy(out, x),
            DType::Q8Rows => round_to_eight_bits(out, read(&x)),
            _ => write_rounded(&mut out, |out| out.copy_from_slice(&widened(&x))),
        }
    }

    fn split(&self, rounded: View, remainder: View, x: View) {
        take_apart(rounded, remainder, read(&x));
    }

    fn join(&self, mut out: View, rounded: View, remainder: View) {
        write(&mut out).copy_from_slice(&joined(&rounded, &remainder));
    }

    fn finish(&self) -> Result<(), KernelError> {
        Ok(())
    }

    fn pack(&self, out: View, x: View) {
        // SAFETY: the output of the running operation.
        let panels = unsafe { out.panels_mut() };
        packed::pack(panels, read(&x), x.columns, out.dtype);
    }

    fn matmul(&self, mut out: View, x: View, w: View) {
        if w.dtype.is_packed() {
            let x = packed::rounded(&widened(&x), x.columns, w.dtype);
            let w = (unpacked(&w), w.columns);
            return write_rounded(&mut out, |out| packed::matmul(out, &x, &w.0, w.1));
        }
        write_rounded(&mut out, |out| matmul::matmul(out, &widened(&x), &widened(&w), x.columns));
    }

    fn matmul_backward_input(&self, mut d_x: View, d_out: View, w: View, before: Before) {
        begin(d_x, before);
        write_rounded(&mut d_x, |d_x| {
            matmul::matmul_backward_input(d_x, &widened(&d_out), &widened(&w), w.columns);
        });
    }

    fn matmul_backward_weight(&self, mut d_w: View, d_out: View, x: View, before: Before) {
        begin(d_w, before);
        let (d_out, columns) = (widened(&d_out), x.columns);
        matmul::matmul_backward_weight(write(&mut d_w), &d_out, &widened(&x), columns);
    }

    fn embedding(&self, mut out: View, table: View, ids: &[u32]) {
        embedding::embedding(write(&mut out), &widened(&table), ids, table.columns);
    }

    fn embedding_backward(&self, mut d_table: View, d_out: View, ids: &[u32]) {
        embedding::embedding_backward(write(&mut d_table), read(&d_out), ids, d_out.columns);
    }

    fn rms_norm(&self, mut out: View, x: View, weight: View, epsilon: f32) {
        let (x, weight) = (read(&x), read(&weight));
        write_rounded(&mut out, |out| rms_norm::rms_norm(out, x, weight, epsilon));
    }

    fn rms_norm_backward(
        &self,
        mut d_x: View,
        mut d_weight: View,
        d_out: View,
        x: View,
        weight: View,
        epsilon: f32,
    ) {
        let (d_x, d_weight) = (write(&mut d_x), write(&mut d_weight));
        let (d_out, x, weight) = (read(&d_out), read(&x), read(&weight));
        rms_norm::rms_norm_backward(d_x, d_weight, d_out, x, weight, epsilon);
    }

    fn rope(&self, mut x: View, turns: View, heads: usize) {
        write_rounded(&mut x, |x| rope::rope(x, read(&turns), heads, turns.columns));
    }

    fn rope_backward(&self, mut d_x: View, turns: View, heads: usize) {
        let size = turns.columns;
        write_rounded(&mut d_x, |d_x| rope::rope_backward(d_x, read(&turns), heads, size));
    }

    fn attention(
        &self,
        mut out: View,
        mut log_sums: View,
        input: QkvViews,
        spans: &Spans,
        heads: Heads,
    ) {
        let [queries, keys, values] = widened_qkv(&input);
        let (input, log_sums) = (qkv(&queries, &keys, &values), write(&mut log_sums));
        write_rounded(&mut out, |out| attention::attention(out, log_sums, input, spans, heads));
    }

    /// Computes the forward call again in `f64` instead of reading its rounded `result`.
    fn attention_backward(
        &self,
        mut d_input: QkvViews,
        d_out: View,
        _result: (View, View),
        input: QkvViews,
        spans: &Spans,
        heads: Heads,
    ) {
        let d_input = attention::QkvGradients {
            queries: write(&mut d_input.queries),
            keys: write(&mut d_input.keys),
            values: write(&mut d_input.values),
        };
        let [queries, keys, values] = widened_qkv(&input);
        let input = qkv(&queries, &keys, &values);
        attention::attention_backward(d_input, &widened(&d_out), input, spans, heads);
    }

    fn swiglu(&self, mut out: View, gate: View, up: View) {
        write_rounded(&mut out, |out| swiglu::swiglu(out, &widened(&gate), &widened(&up)));
    }

    fn swiglu_backward(
        &self,
        (mut d_gate, mut d_up): (View, View),
        d_out: View,
        gate: View,
        up: View,
        before: Before,
    ) {
        begin(d_gate, before);
        begin(d_up, before);
        let (d_out, gate, up) = (&widened(&d_out), &widened(&gate), &widened(&up));
        write_rounded(&mut d_gate, |d_gate| {
            write_rounded(&mut d_up, |d_up| swiglu::swiglu_backward(d_gate, d_up, d_out, gate, up));
        });
    }

    fn add(&self, mut out: View, x: View) {
        sums::add(write(&mut out), read(&x));
    }

    /// One row at a time and without the scratch: results do not depend on the size of chunks.
    fn cross_entropy(
        &self,
        mut losses: View,
        mut gradients: Option<HeadGradientViews>,
        logits: View,
        hidden: View,
        weight: View,
        labels: &[i32],
    ) {
        if let Some(views) = &gradients {
            begin(views.d_weight, views.before);
        }
        let stored: fn(f64) -> f64 = match logits.dtype {
            DType::Bf16 => |z| f64::from(bf16::from_f32(z as f32).to_f32()),
            _ => |z| z,
        };
        let gradients = gradients.as_mut().map(|views| cross_entropy::HeadGradients {
            d_hidden: write(&mut views.d_hidden),
            d_weight: write(&mut views.d_weight),
            scale: views.scale,
        });
        if weight.dtype.is_packed() {
            let hidden = packed::rounded(&widened(&hidden), hidden.columns, weight.dtype);
            let losses = write(&mut losses);
            return packed::cross_entropy(losses, &hidden, &unpacked(&weight), labels);
        }
        let (losses, hidden, weight) = (write(&mut losses), widened(&hidden), widened(&weight));
        cross_entropy::cross_entropy(losses, gradients, &hidden, &weight, labels, stored);
    }

    /// Every label as the only one of its row.
    fn label_losses(
        &self,
        mut losses: View,
        _logits: View,
        hidden: View,
        weight: View,
        asked: &[(u32, u32)],
    ) {
        let (rows, labels): (Vec<u32>, Vec<i32>) =
            asked.iter().map(|&(row, label)| (row, label as i32)).unzip();
        let hidden = widened(&hidden);
        let columns = weight.columns;
        let mut repeated = vec![0.0; rows.len() * columns];
        embedding::embedding(&mut repeated, &hidden, &rows, columns);
        if weight.dtype.is_packed() {
            let hidden = packed::rounded(&repeated, columns, weight.dtype);
            return packed::cross_entropy(write(&mut losses), &hidden, &unpacked(&weight), &labels);
        }
        cross_entropy::cross_entropy(
            write(&mut losses),
            None,
            &repeated,
            &widened(&weight),
            &labels,
            |z| z,
        );
    }

    fn square_sum(&self, x: View) -> f64 {
        sums::square_sum(read(&x))
    }

    fn adamw(
        &self,
        (mut parameters, remainder): (View, Option<View>),
        gradients: View,
        (mut first, mut second): (View, View),
        update: AdamW,
    ) {
        let moments = (write(&mut first), write(&mut second));
        let Some(remainder) = remainder else {
            return adamw::adamw(write(&mut parameters), read(&gradients), moments, update);
        };
        let mut values = joined(&parameters, &remainder);
        adamw::adamw(&mut values, read(&gradients), moments, update);
        take_apart(parameters, remainder, &values);
    }
}

/// Zero is what there is before the first gradient.
fn begin(d: View, before: Before) {
    if before == Before::Nothing {
        host_memory::clear(d);
    }
}

/// The elements of an input.
fn read(view: &View) -> &[f32] {
    // SAFETY: views reach a backend from `Matrix` alone, which stays borrowed during the call.
    unsafe { view.f32s() }
}

/// The elements of an output.
fn write(view: &mut View) -> &mut [f32] {
    // SAFETY: as for `read`; the matrix of an output is borrowed mutably, so it is no other view's.
    unsafe { view.f32s_mut() }
}

/// The elements of an input that may be bf16 or packed, widened exactly.
fn widened(view: &View) -> Cow<'_, [f32]> {
    match view.dtype {
        DType::F32 => Cow::Borrowed(read(view)),
        // SAFETY: as for `read`.
        DType::Bf16 => unsafe { view.bf16s() }.iter().map(|x| x.to_f32()).collect(),
        DType::Q8Rows => eight_bit_rows(view),
        DType::Remainder => panic!("a remainder is no number by itself"),
        DType::PackedBf16 | DType::Q8 | DType::Q4 => {
            unpacked(view).into_iter().map(|x| x as f32).collect()
        }
    }
}

/// The elements of 8-bit rows.
fn eight_bit_rows(view: &View) -> Cow<'_, [f32]> {
    let mut values = vec![0.0; view.len()];
    // SAFETY: as for `read`.
    let rows = unsafe { view.q8_rows() }.chunks_exact(q8_rows::row_bytes(view.columns));
    for (row, values) in rows.zip(values.chunks_exact_mut(view.columns)) {
        q8_rows::get(row, view.columns, 0, values);
    }
    values.into()
}

fn round_to_eight_bits(out: View, x: &[f32]) {
    // SAFETY: as for `write`.
    let rows = unsafe { out.q8_rows_mut() }.chunks_exact_mut(q8_rows::row_bytes(out.columns));
    rows.zip(x.chunks_exact(out.columns)).for_each(|(row, x)| q8_rows::put(row, x));
}

/// Writes an output of two parts.
fn take_apart(rounded: View, remainder: View, x: &[f32]) {
    // SAFETY: as for `write`.
    let (upper, lower) = unsafe { (rounded.bf16s_mut(), remainder.remainders_mut()) };
    remainder::split_rows(x, rounded.columns, upper, lower);
}

/// The elements of an input of two parts.
fn joined(rounded: &View, remainder: &View) -> Vec<f32> {
    let mut values = vec![0.0; rounded.len()];
    // SAFETY: as for `read`.
    let (upper, lower) = unsafe { (rounded.bf16s(), remainder.remainders()) };
    remainder::join_rows(upper, lower, rounded.columns, &mut values);
    values
}

/// The elements of a packed input.
fn unpacked(view: &View) -> Vec<f64> {
    // SAFETY: as for `read`.
    packed::unpacked(unsafe { view.panels() }, (view.rows, view.columns), view.dtype)
}

/// Lets `work` write an output that may be bf16 as if it were `f32`, and rounds what it leaves.
fn write_rounded(view: &mut View, work: impl FnOnce(&mut [f32])) {
    if view.dtype == DType::F32 {
        return work(write(view));
    }
    let mut values = widened(view).into_owned();
    work(&mut values);
    // SAFETY: as for `write`.
    let out = unsafe { view.bf16s_mut() };
    out.iter_mut().zip(values).for_each(|(out, value)| *out = bf16::from_f32(value));
}

fn widened_qkv(input: &QkvViews) -> [Cow<'_, [f32]>; 3] {
    [&input.queries, &input.keys, &input.values].map(widened)
}

fn qkv<'a>(queries: &'a [f32], keys: &'a [f32], values: &'a [f32]) -> attention::Qkv<'a, f32> {
    attention::Qkv { queries, keys, values }
}
