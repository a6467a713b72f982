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

use crate::backend::{AdamW, Backend, HeadGradientViews, QkvViews};
use crate::dtype::DType;
use crate::error::KernelError;
use crate::host_memory;
use crate::layout::{Heads, Spans};
use crate::view::{Address, View};
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

    fn copy(&self, out: View, x: View) {
        host_memory::copy(out, x);
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
            let x = packed::rounded(read(&x), x.columns, w.dtype);
            return packed::matmul(write(&mut out), &x, &unpacked(&w), w.columns);
        }
        matmul::matmul(write(&mut out), read(&x), &weight(&w), x.columns);
    }

    fn matmul_backward_input(&self, mut d_x: View, d_out: View, w: View) {
        matmul::matmul_backward_input(write(&mut d_x), read(&d_out), &weight(&w), w.columns);
    }

    fn matmul_backward_weight(&self, mut d_w: View, d_out: View, x: View) {
        matmul::matmul_backward_weight(write(&mut d_w), read(&d_out), read(&x), x.columns);
    }

    fn embedding(&self, mut out: View, table: View, ids: &[u32]) {
        embedding::embedding(write(&mut out), &weight(&table), ids, table.columns);
    }

    fn embedding_backward(&self, mut d_table: View, d_out: View, ids: &[u32]) {
        embedding::embedding_backward(write(&mut d_table), read(&d_out), ids, d_out.columns);
    }

    fn rms_norm(&self, mut out: View, x: View, weight: View, epsilon: f32) {
        rms_norm::rms_norm(write(&mut out), read(&x), read(&weight), epsilon);
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
        rope::rope(write(&mut x), read(&turns), heads, turns.columns);
    }

    fn rope_backward(&self, mut d_x: View, turns: View, heads: usize) {
        rope::rope_backward(write(&mut d_x), read(&turns), heads, turns.columns);
    }

    fn attention(
        &self,
        mut out: View,
        mut log_sums: View,
        input: QkvViews,
        spans: &Spans,
        heads: Heads,
    ) {
        let (out, log_sums) = (write(&mut out), write(&mut log_sums));
        attention::attention(out, log_sums, read_qkv(&input), spans, heads);
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
        attention::attention_backward(d_input, read(&d_out), read_qkv(&input), spans, heads);
    }

    fn swiglu(&self, mut out: View, gate: View, up: View) {
        swiglu::swiglu(write(&mut out), read(&gate), read(&up));
    }

    fn swiglu_backward(&self, mut d_gate: View, mut d_up: View, d_out: View, gate: View, up: View) {
        let (d_gate, d_up) = (write(&mut d_gate), write(&mut d_up));
        swiglu::swiglu_backward(d_gate, d_up, read(&d_out), read(&gate), read(&up));
    }

    fn add(&self, mut out: View, x: View) {
        sums::add(write(&mut out), read(&x));
    }

    /// One row at a time and without the scratch: results do not depend on the size of chunks.
    fn cross_entropy(
        &self,
        mut losses: View,
        mut gradients: Option<HeadGradientViews>,
        _logits: View,
        hidden: View,
        weight: View,
        labels: &[i32],
    ) {
        let gradients = gradients.as_mut().map(|views| cross_entropy::HeadGradients {
            d_hidden: write(&mut views.d_hidden),
            d_weight: write(&mut views.d_weight),
            scale: views.scale,
        });
        if weight.dtype.is_packed() {
            let hidden = packed::rounded(read(&hidden), hidden.columns, weight.dtype);
            let losses = write(&mut losses);
            return packed::cross_entropy(losses, &hidden, &unpacked(&weight), labels);
        }
        let (losses, weight) = (write(&mut losses), self::weight(&weight));
        cross_entropy::cross_entropy(losses, gradients, read(&hidden), &weight, labels);
    }

    fn square_sum(&self, x: View) -> f64 {
        sums::square_sum(read(&x))
    }

    fn adamw(&self, mut parameters: View, gradients: View, moments: (View, View), update: AdamW) {
        let (mut first, mut second) = moments;
        let moments = (write(&mut first), write(&mut second));
        adamw::adamw(write(&mut parameters), read(&gradients), moments, update);
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
fn weight(view: &View) -> Cow<'_, [f32]> {
    match view.dtype {
        DType::F32 => Cow::Borrowed(read(view)),
        // SAFETY: as for `read`.
        DType::Bf16 => unsafe { view.bf16s() }.iter().map(|x| x.to_f32()).collect(),
        DType::PackedBf16 | DType::Q8 | DType::Q4 => {
            unpacked(view).into_iter().map(|x| x as f32).collect()
        }
    }
}

/// The elements of a packed input.
fn unpacked(view: &View) -> Vec<f64> {
    // SAFETY: as for `read`.
    packed::unpacked(unsafe { view.panels() }, (view.rows, view.columns), view.dtype)
}

fn read_qkv(input: &QkvViews) -> attention::Qkv<'_, f32> {
    let QkvViews { queries, keys, values } = input;
    attention::Qkv { queries: read(queries), keys: read(keys), values: read(values) }
}
