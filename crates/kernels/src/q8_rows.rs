//! Rows of 8-bit numbers, for keys and values that are kept: the definition. A row is its whole
//! numbers, then a scale in `f32` for every 32 of them; element `i` is `number[i] · scale[i / 32]`.
//! Never in a file, so the scales are in the byte order of the machine.

use crate::packed_block::{activations, filled_up};
use crate::packed_layout::BLOCK;

const SCALE_BYTES: usize = size_of::<f32>();

/// Bytes of a row.
pub const fn row_bytes(columns: usize) -> usize {
    columns + columns.div_ceil(BLOCK) * SCALE_BYTES
}

/// Writes a row, each block in -127 ..= 127 steps of the largest of its numbers / 127.
#[inline(always)]
pub fn put(row: &mut [u8], x: &[f32]) {
    let (numbers, scales) = row.split_at_mut(x.len());
    let blocks = numbers.chunks_mut(BLOCK).zip(scales.chunks_exact_mut(SCALE_BYTES));
    for ((numbers, scale), x) in blocks.zip(x.chunks(BLOCK)) {
        let (step, rounded) = activations(&filled_up(x));
        scale.copy_from_slice(&step.to_ne_bytes());
        numbers.iter_mut().zip(rounded).for_each(|(number, x)| *number = x as u8);
    }
}

/// Reads the columns from `first` on of a row of `columns`, as many as `out` has room for.
#[inline(always)]
pub fn get(row: &[u8], columns: usize, first: usize, out: &mut [f32]) {
    let (mut column, mut out) = (first, out);
    while !out.is_empty() {
        let count = (BLOCK - column % BLOCK).min(out.len());
        let (now, rest) = out.split_at_mut(count);
        let scale = scale_of(row, columns, column / BLOCK);
        let numbers = &row[column..column + count];
        now.iter_mut().zip(numbers).for_each(|(out, &x)| *out = f32::from(x as i8) * scale);
        (column, out) = (column + count, rest);
    }
}

/// The scale of a block of a row of `columns`.
#[inline(always)]
pub fn scale_of(row: &[u8], columns: usize, block: usize) -> f32 {
    let at = columns + block * SCALE_BYTES;
    f32::from_ne_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_to_half_a_step_of_its_block_from_any_column_on() {
        let x: Vec<f32> = (0..70).map(|i| ((i * 37 % 71) as f32 - 35.0) * 0.01).collect();
        let mut row = vec![0; row_bytes(x.len())];
        assert_eq!(row.len(), 70 + 3 * 4);
        put(&mut row, &x);
        for first in [0, 1, 31, 32, 40, 69] {
            let mut back = vec![0.0; x.len() - first];
            get(&row, x.len(), first, &mut back);
            for (found, expected) in back.iter().zip(&x[first..]) {
                assert!((found - expected).abs() <= 0.5 * 0.35 / 127.0 + 1e-6, "from {first}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        let mut row = vec![0; row_bytes(33)];
        let mut x = [1.0; 33];
        x[2] = f32::INFINITY;
        put(&mut row, &x);
        let mut back = [0.0; 33];
        get(&row, 33, 0, &mut back);
        assert!(back[..32].iter().all(|x| x.is_nan()));
        assert_eq!(back[32], 1.0);
    }
}
