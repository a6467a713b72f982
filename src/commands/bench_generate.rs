//! How fast a model reads a prompt and writes an answer, beside what this machine could do at most:
//! reading is a share of the roof of its products, writing of the roof of memory.

use super::bench_model::{CIRCLE, random_model};
use super::measurement::{Facts, fact, median};
use crate::choices::{BenchShape, BenchWeights};
use crate::cli::BenchGenerate;
use crate::limits;
use anyhow::{Context, Result};
use kollama_engine::{Engine, Request, Sampling};
use kollama_kernels::roof::Memory;
use kollama_kernels::{DType, Device};
use kollama_llama::{LlamaConfig, Parameters};
use kollama_tokenizer::Tokenizer;
use std::time::Instant;

/// Tokens of the prompt, and tokens that are written one by one.
const PROMPT: usize = 512;
const NEW: usize = 64;
/// Tokens that are written between two readings of memory.
const BETWEEN_READINGS: usize = 8;
/// Sequences of a crowd, and tokens of their prompts.
const CROWD: usize = 8;
const CROWD_PROMPT: usize = 32;
/// Size of the vocabulary that the project quotes.
const VOCABULARY: usize = 46_336;

/// The figures of one shape and one kind of weights.
pub fn bench_generate(flags: &BenchGenerate, device: &Device, threads: usize) -> Result<Facts> {
    let config = shape(flags.shape)?;
    let memory = limits::memory(threads)?;
    let llama = random_model(config.clone(), device, flags.weights.dtype())?;
    let weights = weight_bytes(&llama.parameters);
    let words = byte_tokenizer()?;
    let rows = (PROMPT + NEW + 1).max(CROWD * (CROWD_PROMPT + NEW + 1));
    let mut engine = Engine::new(llama, &words, rows)?;
    let (mut rounds, mut roof) = (Vec::new(), 0.0_f64);
    for _ in 0..=flags.output.repeats {
        rounds.push(Round::run(&mut engine, &memory)?);
        // A neighbour may disturb a reading of a limit, but none is too high.
        roof = roof.max(limits::product_gflops(flags.weights.dtype(), threads)?);
    }
    // The first is not counted.
    let middle = |rate: fn(&Round) -> f64| median(rounds[1..].iter().map(rate).collect());
    let (prefill, decode) = (middle(|round| round.prefill), middle(|round| round.decode));
    let share = |round: &Round| round.decode * weights as f64 / round.bandwidth;
    let share_of_bandwidth = median(rounds[1..].iter().map(share).collect());
    let products = prefill * gflop_of_a_prompt(&config) / PROMPT as f64;
    Ok(vec![
        fact("device", device.name()),
        fact("shape", flags.shape.name()),
        fact("weights", flags.weights.name()),
        fact("parameters", config.parameter_count()),
        fact("weight_bytes_per_token", weights),
        fact("prompt_tokens_per_second", prefill),
        fact("prompt_gflops", products),
        fact("product_roof_gflops", roof),
        fact("share_of_product_roof", products / roof),
        fact("new_tokens_per_second", decode),
        fact("read_gb_per_second", 1e-9 * middle(|round| round.bandwidth)),
        fact("share_of_bandwidth", share_of_bandwidth),
        fact("new_tokens_per_second_of_8", middle(|round| round.crowd)),
        fact("guessed_tokens_per_second", middle(|round| round.guessed)),
    ])
}

/// Tokens a second, and bytes a second.
struct Round {
    /// Reading a prompt.
    prefill: f64,
    /// Writing one by one.
    decode: f64,
    /// Reading memory meanwhile: the middle one of readings in turn with tokens.
    bandwidth: f64,
    /// Writing by several sequences together.
    crowd: f64,
    /// Writing what repeats itself, so that every guess comes true.
    guessed: f64,
}

impl Round {
    fn run(engine: &mut Engine<'_>, memory: &Memory) -> Result<Round> {
        let ids = |length: usize| (0..length).map(|place| (place * 7919 % VOCABULARY) as u32);
        engine.set_speculation(false);
        engine.set_sharing(false);
        engine.submit(request(ids(PROMPT).collect()))?;
        let began = Instant::now();
        engine.step()?;
        let prefill = PROMPT as f64 / began.elapsed().as_secs_f64();
        let (decode, bandwidth) = rates_in_turn(engine, memory)?;
        for _ in 0..CROWD {
            engine.submit(request(ids(CROWD_PROMPT).collect()))?;
        }
        engine.step()?;
        let crowd = rate_of_the_rest(engine)?;
        engine.set_speculation(true);
        engine.submit(request((0..PROMPT).map(|place| (place % CIRCLE) as u32).collect()))?;
        engine.step()?;
        let guessed = rate_of_the_rest(engine)?;
        Ok(Round { prefill, decode, bandwidth, crowd, guessed })
    }
}

fn request(prompt: Vec<u32>) -> Request {
    Request { prompt, max_new_tokens: NEW + 1, sampling: Sampling::GREEDY, stop: Vec::new() }
}

/// Tokens a second until nothing runs, and bytes a second of memory, which is read in between.
fn rates_in_turn(engine: &mut Engine<'_>, memory: &Memory) -> Result<(f64, f64)> {
    let (mut seconds, mut written, mut readings) = (0.0, 0, vec![memory.bytes_per_second()]);
    while !engine.is_idle() {
        let (began, goal) = (Instant::now(), written + BETWEEN_READINGS);
        while written < goal && !engine.is_idle() {
            written += engine.step()?.len();
        }
        seconds += began.elapsed().as_secs_f64();
        readings.push(memory.bytes_per_second());
    }
    Ok((written as f64 / seconds, median(readings)))
}

/// Tokens a second until nothing runs.
fn rate_of_the_rest(engine: &mut Engine<'_>) -> Result<f64> {
    let (began, mut written) = (Instant::now(), 0);
    while !engine.is_idle() {
        written += engine.step()?.len();
    }
    Ok(written as f64 / began.elapsed().as_secs_f64())
}

fn shape(shape: BenchShape) -> Result<LlamaConfig> {
    let preset = if matches!(shape, BenchShape::Small) { "small" } else { "7b" };
    let mut config = LlamaConfig::preset(preset).context("a preset")?;
    if matches!(shape, BenchShape::OneB) {
        config.hidden_size = 2048;
        config.intermediate_size = 5632;
        config.num_hidden_layers = 22;
        config.num_key_value_heads = 4;
        config.head_dim = 64;
    }
    // No token ends an answer before its time.
    config.eos_token_id = None;
    config.vocab_size = VOCABULARY;
    Ok(config)
}

/// What a token reads: all weights but the embedding, of which it takes one row.
fn weight_bytes(parameters: &Parameters) -> usize {
    parameters.bytes() - parameters.embed_tokens.bytes()
}

/// Multiplications and additions of a prompt in its products, in 10⁹: the projections of every token
/// and the output projection of the last one. Attention is not among them.
fn gflop_of_a_prompt(config: &LlamaConfig) -> f64 {
    let embeddings = 2 * config.vocab_size * config.hidden_size;
    let projections = config.parameter_count() as usize - embeddings;
    2e-9 * (projections * PROMPT + embeddings / 2) as f64
}

/// Text is not what is measured: any tokenizer will do that knows the bytes.
fn byte_tokenizer() -> Result<Tokenizer> {
    let texts = std::iter::once(Ok::<_, anyhow::Error>("a b a b".to_owned()));
    kollama_tokenizer::train(texts, 262, 1.0)
}

impl BenchWeights {
    fn dtype(self) -> DType {
        match self {
            BenchWeights::F32 => DType::F32,
            BenchWeights::Bf16 => DType::PackedBf16,
            BenchWeights::Q8 => DType::Q8,
            BenchWeights::Q4 => DType::Q4,
        }
    }
}
