//! A random model that writes something like answers: of the 32,000 pieces it only ever finds a few
//! likeliest, among them digits, `####` and `Question:`, so that stop strings and extraction have
//! work to do, and so that the likeliest piece leads by far more than rounding.

use super::golden_model;
use kollama_kernels::Device;
use kollama_llama::{Llama, LlamaError};

/// Pieces of the Llama-2 vocabulary: the end token, a line feed, half a character, `####`, blanks,
/// digits, `$`, `,`, `.`, `-`, `:`, `Question` and some words.
const PIECES: [u32; 35] = [
    2, 13, 198, 3191, 4136, 29937, 29871, 29900, 29896, 29906, 29941, 29946, 29945, 29953, 29955,
    29947, 29929, 395, 29938, 29892, 29889, 448, 29899, 29901, 894, 16492, 450, 1576, 353, 718,
    322, 310, 338, 673, 29995,
];

/// The random model with all other rows of its output projection set to zero.
pub fn build(positions: usize, device: &Device) -> Result<Llama, LlamaError> {
    let mut llama = golden_model::build_with(32_000, positions, device)?;
    let columns = llama.config.hidden_size;
    let head = llama.parameters.head_mut();
    let mut rows = vec![0.0; head.rows() * columns];
    head.read_rows(0, &mut rows);
    let zeroed =
        rows.chunks_mut(columns).enumerate().filter(|(id, _)| !PIECES.contains(&(*id as u32)));
    zeroed.for_each(|(_, row)| row.fill(0.0));
    head.write_rows(0, &rows);
    Ok(llama)
}
