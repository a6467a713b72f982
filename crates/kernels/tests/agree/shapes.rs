//! The shapes and tolerances that all tests here share, and what they start from.

use crate::numbers::Values;
use half::bf16;
use kollama_kernels::{Device, Matrix};

pub const ROWS: [usize; 8] = [1, 2, 3, 7, 13, 31, 64, 100];
pub const COLUMNS: [usize; 6] = [1, 5, 16, 33, 100, 257];
pub const EPSILON: f32 = 1e-5;

/// 16 roundings of `f32`, in units of the terms. Plain loops in `f32` need up to 12 of them here
/// (4099 squares, all of one sign, added one by one); blocked sums need fewer. A term too much, too
/// few or in the wrong place costs thousands.
pub const TOLERANCE: f64 = 16.0 * (f32::EPSILON / 2.0) as f64;

/// Rows, columns: all ragged ones and two that are worth dividing among threads.
pub fn shapes() -> Vec<(usize, usize)> {
    let ragged = ROWS.iter().flat_map(|&rows| COLUMNS.map(|columns| (rows, columns)));
    ragged.chain([(5, 4099), (700, 520)]).collect()
}

/// An output that nobody has written yet.
pub fn unwritten(device: &Device, rows: usize, columns: usize) -> Matrix {
    Matrix::from_values(device, rows, columns, &vec![f32::NAN; rows * columns])
        .expect("a small matrix fits into memory")
}

/// The nearest number that bf16 can hold.
pub fn rounded(x: f32) -> f32 {
    bf16::from_f32(x).to_f32()
}

/// Numbers below a bound, some of them more than once.
pub fn ids(count: usize, below: usize) -> Vec<u32> {
    let pick = |value: f32| ((value + 1.0) / 2.0 * below as f32) as u32;
    Values::random(7, 1, count).values.into_iter().map(pick).collect()
}
