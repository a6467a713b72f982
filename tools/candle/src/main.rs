//! Times candle's quantised Llama on a GGUF file: reads 512 tokens, then writes 64, the likeliest
//! each time. `candle-side FILE.gguf THREADS REPEATS` prints one JSON object a repeat, after one run
//! that is not counted.

use candle_core::quantized::gguf_file;
use candle_core::{Device, Result, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use std::time::Instant;

const PROMPT: u32 = 512;
const NEW: usize = 64;
const VOCABULARY: u32 = 46_336;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, threads, repeats] = &arguments[..] else {
        eprintln!("usage: candle-side FILE.gguf THREADS REPEATS");
        std::process::exit(2);
    };
    let number = |text: &String| text.parse::<usize>().map_err(candle_core::Error::wrap);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number(threads)?);
    pool.build_global().map_err(candle_core::Error::wrap)?;
    let mut file = std::fs::File::open(path)?;
    let content = gguf_file::Content::read(&mut file)?;
    let mut model = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
    let prompt: Vec<u32> = (0..PROMPT).map(|place| place * 7919 % VOCABULARY).collect();
    for repeat in 0..=number(repeats)? {
        let began = Instant::now();
        let mut token = read(&mut model, &prompt, 0)?;
        let reading = began.elapsed().as_secs_f64();
        let began = Instant::now();
        for written in 0..NEW {
            token = read(&mut model, &[token], prompt.len() + written)?;
        }
        let writing = began.elapsed().as_secs_f64();
        if repeat > 0 {
            let rate = |tokens: f64, seconds: f64| tokens / seconds;
            let (prefill, decode) = (rate(PROMPT.into(), reading), rate(NEW as f64, writing));
            println!("{}", serde_json::json!({ "prefill": prefill, "decode": decode }));
        }
    }
    Ok(())
}

/// Reads tokens from `position` on and gives the likeliest next one.
fn read(model: &mut ModelWeights, tokens: &[u32], position: usize) -> Result<u32> {
    let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
    model.forward(&input, position)?.squeeze(0)?.argmax(0)?.to_scalar::<u32>()
}
