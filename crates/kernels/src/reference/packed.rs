//! Packed weights: how they come about, and products with them. A row that is multiplied with such a
//! weight is rounded first; what it is rounded to takes more bits than `f32` has, so everything here
//! is in `f64` until the result is rounded.

use super::{cross_entropy, matmul};
use crate::dtype::DType;
use crate::packed_block::{activations, filled_up, pack_row};
use crate::packed_layout::{self, BLOCK, PANEL};
use half::bf16;

/// `out = x`, zeros beyond its rows and columns.
pub fn pack(out: &mut [u8], x: &[f32], columns: usize, dtype: DType) {
    out.fill(0);
    let panel_bytes = dtype.matrix_bytes(PANEL, columns);
    for (panel, rows) in out.chunks_exact_mut(panel_bytes).zip(x.chunks(PANEL * columns)) {
        for (row, x) in rows.chunks_exact(columns).enumerate() {
            let blocks = panel.chunks_exact_mut(dtype.block_bytes());
            blocks.zip(x.chunks(BLOCK)).for_each(|(block, x)| pack_row(block, row, x, dtype));
        }
    }
}

/// All elements, row after row.
pub fn unpacked(panels: &[u8], (rows, columns): (usize, usize), dtype: DType) -> Vec<f64> {
    let at = |row: usize, column: usize| {
        let block = &panels[packed_layout::block_of(dtype, columns, row, column)..];
        f64::from(packed_layout::element(dtype, block, row % PANEL, column % BLOCK))
    };
    (0..rows * columns).map(|i| at(i / columns, i % columns)).collect()
}

/// Rows as a weight of that type meets them.
pub fn rounded(x: &[f32], columns: usize, dtype: DType) -> Vec<f64> {
    if dtype == DType::PackedBf16 {
        return x.iter().map(|&x| bf16::from_f32(x).to_f64()).collect();
    }
    let round = |x: &[f32]| {
        let (scale, numbers) = activations(&filled_up(x));
        let values = numbers.map(|number| f64::from(scale) * f64::from(number));
        values.into_iter().take(x.len()).collect::<Vec<_>>()
    };
    x.chunks_exact(columns).flat_map(|row| row.chunks(BLOCK)).flat_map(round).collect()
}

/// `out[t, o] = Σ_i x[t, i] · w[o, i]`
pub fn matmul(out: &mut [f32], x: &[f64], w: &[f64], columns: usize) {
    let mut wide = vec![0.0; out.len()];
    matmul::matmul(&mut wide, x, w, columns);
    narrow(out, &wide);
}

/// As [`cross_entropy::cross_entropy`] without gradients.
pub fn cross_entropy(losses: &mut [f32], hidden: &[f64], weight: &[f64], labels: &[i32]) {
    let mut wide = vec![0.0; losses.len()];
    cross_entropy::cross_entropy(&mut wide, None, hidden, weight, labels, |z| z);
    narrow(losses, &wide);
}

fn narrow(out: &mut [f32], x: &[f64]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = x as f32);
}
