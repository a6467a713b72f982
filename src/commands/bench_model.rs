//! A Llama of random weights for `bench generate`, made in memory in seconds, however large. Speed
//! does not depend on the weights, except that guesses must come true: so its layers say little, and
//! its output projection is the embedding moved on by one row, in circles of [`CIRCLE`] tokens.

use super::measurement::free_memory;
use anyhow::{Result, bail};
use kollama_kernels::{DType, Device, Matrix, ops};
use kollama_llama::parameters::{is_norm, tensor_shapes};
use kollama_llama::{Llama, LlamaConfig, Parameters};

/// After token `t` the likeliest is the next one of its circle: ids `32n ..= 32n + 31`.
pub const CIRCLE: usize = 32;
/// Rows that are drawn; a matrix repeats them.
const DRAWN_ROWS: usize = 64;

/// The model, its weights stored as `dtype`.
pub fn random_model(config: LlamaConfig, device: &Device, dtype: DType) -> Result<Llama> {
    check_memory(&config, dtype)?;
    let mut parameters = Parameters::zeros(&config, device, dtype)?;
    for (name, matrix) in parameters.named_mut() {
        if is_norm(&name) {
            matrix.write_rows(0, &vec![1.0; matrix.columns()]);
        } else {
            fill(matrix, &drawn_rows(&name, matrix.columns()))?;
        }
    }
    Ok(Llama { config, parameters, device: device.clone() })
}

/// Memory that is lent before it is there kills the program later, without a word.
fn check_memory(config: &LlamaConfig, dtype: DType) -> Result<()> {
    let shapes = tensor_shapes(config).into_iter();
    let needed: usize = shapes.map(|shape| dtype.matrix_bytes(shape.rows, shape.columns)).sum();
    match free_memory() {
        Some(free) if free < needed as u64 => bail!(
            "weights of {:.1} GB do not fit into the {:.1} GB of memory that are free; \
             choose smaller --weights or another --shape",
            needed as f64 * 1e-9,
            free as f64 * 1e-9
        ),
        _ => Ok(()),
    }
}

/// Embedding and output projection say all, the two matrices that write into the row next to nothing.
fn drawn_rows(name: &str, columns: usize) -> Vec<f32> {
    let (size, moved) = match name {
        "model.embed_tokens.weight" => (1.0, 0),
        "lm_head.weight" => (1.0, 1),
        _ if name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") => (1e-4, 0),
        _ => (0.05, 0),
    };
    let before = |row: usize| row / CIRCLE * CIRCLE + (row + CIRCLE - moved) % CIRCLE;
    let row = |row: usize| (0..columns).map(move |column| size * noise(row * columns + column));
    (0..DRAWN_ROWS).flat_map(|place| row(before(place))).collect()
}

/// Between -1 and 1, by the output function of SplitMix64 (Steele, Lea and Flood 2014).
fn noise(place: usize) -> f32 {
    let mut bits = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Packs the rows once, and copies the bytes until the matrix is full.
fn fill(matrix: &mut Matrix, values: &[f32]) -> Result<()> {
    let (device, dtype, columns) = (matrix.device().clone(), matrix.dtype(), matrix.columns());
    let rows = Matrix::from_values(&device, DRAWN_ROWS, columns, values)?;
    let mut bytes = vec![0; dtype.matrix_bytes(DRAWN_ROWS, columns)];
    if dtype.is_packed() {
        let mut packed = Matrix::zeros(&device, DRAWN_ROWS, columns, dtype)?;
        ops::pack(&mut packed, 0, &rows);
        packed.read_row_bytes(0, &mut bytes);
    } else {
        rows.read_row_bytes(0, &mut bytes);
    }
    for first in (0..matrix.rows()).step_by(DRAWN_ROWS) {
        let rows = DRAWN_ROWS.min(matrix.rows() - first);
        matrix.write_row_bytes(first, &bytes[..dtype.matrix_bytes(rows, columns)]);
    }
    Ok(())
}
