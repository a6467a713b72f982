//! The random models behind the goldens and the tests. Nothing of them is stored and nothing in
//! them depends on how models are initialised elsewhere: a formula gives every weight exactly.
#![allow(dead_code, reason = "each test needs a part of it")]

use kollama_kernels::{DType, Device};
use kollama_llama::{Llama, LlamaConfig, LlamaError, Parameters};

/// The model of the goldens: the shape `tiny` with weights large enough that choices differ by
/// whole nats, and so few positions that part of the prompts do not fit.
pub fn build(device: &Device) -> Result<Llama, LlamaError> {
    build_with(32_000, 320, device)
}

/// The same with another vocabulary and another window.
pub fn build_with(
    vocab_size: usize,
    positions: usize,
    device: &Device,
) -> Result<Llama, LlamaError> {
    let tiny = LlamaConfig::preset("tiny").expect("there is a shape called tiny");
    let config = LlamaConfig { vocab_size, max_position_embeddings: positions, ..tiny };
    let mut parameters = Parameters::zeros(&config, device, DType::F32)?;
    for (number, (name, matrix)) in (0..).zip(parameters.named_mut()) {
        // Norms lie between 0.5 and 1.5, all else between -0.35 and 0.35.
        let (middle, width) = if name.ends_with("norm.weight") { (1.0, 1.0) } else { (0.0, 0.7) };
        let places = 0..(matrix.rows() * matrix.columns()) as u64;
        let values: Vec<f32> =
            places.map(|place| middle + width * noise(number << 32 | place)).collect();
        matrix.write_rows(0, &values);
    }
    Ok(Llama { config, parameters, device: device.clone() })
}

/// SplitMix64 (Steele, Lea and Flood 2014) of a counter, 24 bits of it, from -0.5 to 0.5.
fn noise(counter: u64) -> f32 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32 - 0.5
}
