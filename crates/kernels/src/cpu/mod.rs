//! This machine's processor: the same operations as `reference/`, fast. Here stands the seam, one
//! line per operation; each file beside it holds one operation, written once over the vectors of
//! `simd.rs` and the threads of `threads.rs`.

mod adamw;
mod attention;
mod attention_backward;
mod attention_blocks;
mod attention_few;
mod attention_kept;
mod attention_products;
mod attention_rows;
mod attention_team;
mod bf16_choice;
mod cross_entropy;
mod elements;
mod elementwise;
mod embedding;
mod gated_product;
pub mod instructions;
pub mod machine;
mod matmul;
mod matmul_blocks;
mod matmul_kernel;
mod matmul_pack;
mod matmul_plan;
mod matmul_result;
mod matmul_stream;
mod matmul_tiles;
pub mod measure;
mod packed;
mod packed_bf16;
mod packed_bytes;
mod packed_dot;
mod packed_format;
mod packed_group;
pub mod packed_instructions;
mod packed_product;
mod packed_round;
mod packed_stream;
mod packed_tile;
mod packed_tiles;
#[cfg(target_arch = "x86_64")]
mod packed_x86;
pub mod path;
mod remainder;
mod rms_norm;
mod rope;
mod simd;
mod simd_portable;
#[cfg(target_arch = "x86_64")]
mod simd_x86;
mod swiglu;
mod threads;
mod tile_pack;
mod tile_strip;
mod tiles;
#[cfg(test)]
mod tiles_model;
#[cfg(target_arch = "x86_64")]
mod tiles_x86;

use crate::backend::{AdamW, Backend, Before, HeadGradientViews, QkvViews};
use crate::error::KernelError;
use crate::host_memory;
use crate::layout::{Heads, Spans};
use crate::view::{Address, View};
use machine::Machine;
use path::CpuPath;

/// This machine's processor on one path, with a number of threads.
pub struct Cpu(Machine);

impl Cpu {
    /// Refuses zero threads and a path that this processor lacks.
    pub fn new(threads: usize, path: CpuPath) -> Result<Cpu, KernelError> {
        Ok(Cpu(Machine::new(threads, path)?))
    }
}

impl Backend for Cpu {
    fn name(&self) -> String {
        let (path, threads) = (self.0.instructions.path(), self.0.pool.threads());
        let plural = if threads == 1 { "" } else { "s" };
        format!("cpu ({}, {threads} thread{plural})", path.name())
    }

    fn allocate(&self, bytes: usize) -> Result<Address, KernelError> {
        host_memory::allocate(bytes, &self.name())
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
        elementwise::clear(&self.0, x);
    }

    fn copy(&self, out: View, x: View) {
        elementwise::copy(&self.0, out, x);
    }

    fn split(&self, rounded: View, remainder: View, x: View) {
        remainder::split(&self.0, rounded, remainder, x);
    }

    fn join(&self, out: View, rounded: View, remainder: View) {
        remainder::join(&self.0, out, rounded, remainder);
    }

    /// Operations are done when they return.
    fn finish(&self) -> Result<(), KernelError> {
        Ok(())
    }

    fn pack(&self, out: View, x: View) {
        packed::pack(&self.0, out, x);
    }

    fn matmul(&self, out: View, x: View, w: View) {
        matmul::forward(&self.0, &mut self.0.scratch(), out, x, w);
    }

    fn matmuls(&self, products: &[(View, View)], x: View) {
        matmul::forward_all(&self.0, &mut self.0.scratch(), products, x);
    }

    fn matmul_backward_input(&self, d_x: View, d_out: View, w: View, before: Before) {
        matmul::backward_input(&self.0, &mut self.0.scratch(), d_x, (d_out, w), before);
    }

    fn matmul_backward_weight(&self, d_w: View, d_out: View, x: View, before: Before) {
        matmul::backward_weight(&self.0, &mut self.0.scratch(), d_w, (d_out, x), before);
    }

    fn embedding(&self, out: View, table: View, ids: &[u32]) {
        embedding::forward(&self.0, out, table, ids);
    }

    fn embedding_backward(&self, d_table: View, d_out: View, ids: &[u32]) {
        embedding::backward(&self.0, d_table, d_out, ids);
    }

    fn rms_norm(&self, out: View, x: View, weight: View, epsilon: f32) {
        rms_norm::forward(&self.0, out, x, weight, epsilon);
    }

    fn rms_norm_backward(
        &self,
        d_x: View,
        d_weight: View,
        d_out: View,
        x: View,
        weight: View,
        epsilon: f32,
    ) {
        let scratch = &mut self.0.scratch();
        rms_norm::backward(&self.0, scratch, (d_x, d_weight), d_out, x, weight, epsilon);
    }

    fn rope(&self, x: View, turns: View, _heads: usize) {
        rope::forward(&self.0, x, turns);
    }

    fn rope_backward(&self, d_x: View, turns: View, _heads: usize) {
        rope::backward(&self.0, d_x, turns);
    }

    fn attention(&self, out: View, log_sums: View, input: QkvViews, spans: &Spans, heads: Heads) {
        let scratch = &mut self.0.scratch();
        attention::forward(&self.0, scratch, (out, log_sums), input, spans, heads);
    }

    fn attention_backward(
        &self,
        d_input: QkvViews,
        d_out: View,
        result: (View, View),
        input: QkvViews,
        spans: &Spans,
        heads: Heads,
    ) {
        let scratch = &mut self.0.scratch();
        attention_backward::backward(
            &self.0,
            scratch,
            d_input,
            (d_out, result),
            input,
            spans,
            heads,
        );
    }

    fn swiglu(&self, out: View, gate: View, up: View) {
        swiglu::forward(&self.0, out, gate, up);
    }

    fn matmul_swiglu(&self, out: View, gated: View, gate: View, up: View, w: View) {
        let scratch = &mut self.0.scratch();
        gated_product::forward(&self.0, scratch, (out, gated), (gate, up), w);
    }

    fn swiglu_backward(
        &self,
        d_input: (View, View),
        d_out: View,
        gate: View,
        up: View,
        before: Before,
    ) {
        swiglu::backward(&self.0, d_input, d_out, (gate, up), before);
    }

    fn add(&self, out: View, x: View) {
        elementwise::add(&self.0, out, x);
    }

    fn cross_entropy(
        &self,
        losses: View,
        gradients: Option<HeadGradientViews>,
        logits: View,
        hidden: View,
        weight: View,
        labels: &[i32],
    ) {
        let (scratch, outputs, inputs) =
            (&mut self.0.scratch(), (losses, gradients), (hidden, weight));
        cross_entropy::forward_and_backward(&self.0, scratch, outputs, logits, inputs, labels);
    }

    fn label_losses(
        &self,
        losses: View,
        logits: View,
        hidden: View,
        weight: View,
        asked: &[(u32, u32)],
    ) {
        let (scratch, inputs) = (&mut self.0.scratch(), (hidden, weight));
        cross_entropy::losses_of_labels(&self.0, scratch, losses, logits, inputs, asked);
    }

    fn square_sum(&self, x: View) -> f64 {
        adamw::square_sum(&self.0, &mut self.0.scratch(), x)
    }

    fn adamw(
        &self,
        parameters: (View, Option<View>),
        gradients: View,
        moments: (View, View),
        update: AdamW,
    ) {
        adamw::update(&self.0, parameters, gradients, moments, update);
    }
}
