//! How close to the limits of this machine the engine works. Every figure is printed beside the
//! roof measured in the same run; medians are quoted.

use super::bench_tokenize::bench_tokenize;
use super::threads;
use crate::choices::StoredType as DtypeFlag;
use crate::cli::{Bench as Verb, BenchOutput, BenchTrain};
use crate::limits;
use anyhow::{Context, Result};
use kollama_corpus::pack_ids;
use kollama_engine::{Engine, Request, Sampling};
use kollama_kernels::{DType, Device, Matrix, ops};
use kollama_llama::{Llama, LlamaConfig, StoredType};
use kollama_tokenizer::Tokenizer;
use kollama_trainer::{TrainSettings, Trainer, estimate};
use serde_json::{Value, json};
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Does one of the verbs, with as many threads as were asked for.
pub fn bench(verb: Verb, asked: Option<u16>) -> Result<()> {
    let threads = threads(asked);
    let device = &Device::cpu(threads)?;
    match verb {
        Verb::Roof { json } => print(json, &measure_roof(device, threads)?),
        Verb::Matmul(output) => print(output.json, &matmul(device, threads, &output)?),
        Verb::Train(flags) => print(flags.output.json, &train(device, threads, &flags)?),
        Verb::Generate(output) => print(output.json, &generate(device, threads, &output)?),
        // One thread shows the encoder; more show the machine.
        Verb::Tokenize(flags) => {
            bench_tokenize(&flags, &device.name(), asked.map_or(1, usize::from))
        }
    }
}

/// Facts of one measurement, in the order in which they are printed.
type Facts = Vec<(String, Value)>;

fn fact(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}

fn print(json: bool, facts: &Facts) -> Result<()> {
    let mut out = stdout().lock();
    if json {
        let object: serde_json::Map<String, Value> = facts.iter().cloned().collect();
        writeln!(out, "{}", Value::Object(object))?;
        return Ok(());
    }
    for (name, value) in facts {
        match value.as_f64().filter(|_| value.is_f64()) {
            Some(number) => writeln!(out, "{name:32} {number:.3}")?,
            None => writeln!(
                out,
                "{name:32} {}",
                value.as_str().map_or(value.to_string(), str::to_owned)
            )?,
        }
    }
    Ok(())
}

fn measure_roof(device: &Device, threads: usize) -> Result<Facts> {
    Ok(vec![
        fact("device", device.name()),
        fact("fma_gflops", limits::gflops(threads)?),
        fact("bf16_dot_gflops", limits::bf16_gflops(threads)?),
        fact("int8_gops", limits::int8_gops(threads)?),
        fact("read_gb_per_second", limits::read_gb_per_second(threads)?),
    ])
}

/// Seconds of `work`, median over the repeats after one run that is not counted.
fn median_seconds(output: &BenchOutput, mut work: impl FnMut()) -> f64 {
    work();
    let mut seconds = Vec::new();
    for _ in 0..output.repeats {
        let began = Instant::now();
        work();
        seconds.push(began.elapsed().as_secs_f64());
    }
    median(seconds)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Rows of a micro-batch, inner and outer size of the products of the `train` shape.
const PRODUCTS: [(usize, usize, usize); 4] =
    [(2048, 512, 512), (2048, 512, 1376), (2048, 1376, 512), (512, 512, 46_336)];

fn matmul(device: &Device, threads: usize, output: &BenchOutput) -> Result<Facts> {
    let before = limits::gflops(threads)?;
    let mut rates = Vec::new();
    for (rows, inner, outer) in PRODUCTS {
        let x = filled(device, rows, inner)?;
        let w = filled(device, outer, inner)?;
        let mut y = filled(device, rows, outer)?;
        let mut d_x = filled(device, rows, inner)?;
        let mut d_w = filled(device, outer, inner)?;
        let work = 2e-9 * (rows * inner * outer) as f64;
        let shape = format!("{rows}x{inner}x{outer}");
        let mut add = |name: &str, seconds: f64| {
            rates.push((format!("{name}_{shape}"), work / seconds));
        };
        add("forward", median_seconds(output, || ops::matmul(&mut y, &x, &w)));
        let input = || ops::matmul_backward_input(&mut d_x, &y, &w);
        add("backward_input", median_seconds(output, input));
        let weight = || ops::matmul_backward_weight(&mut d_w, &y, &x);
        add("backward_weight", median_seconds(output, weight));
    }
    // A neighbour may disturb one reading of the roof; the higher one is nearer to it.
    let roof = before.max(limits::gflops(threads)?);
    let mut facts = vec![fact("device", device.name()), fact("fma_gflops", roof)];
    for (name, rate) in rates {
        facts.push(fact(&format!("{name}_gflops"), rate));
        facts.push(fact(&format!("{name}_share_of_roof"), rate / roof));
    }
    Ok(facts)
}

/// Small numbers that differ: zeros and denormals would be measured otherwise.
fn filled(device: &Device, rows: usize, columns: usize) -> Result<Matrix> {
    let mut matrix = Matrix::zeros(device, rows, columns, DType::F32)?;
    let values: Vec<f32> = (0..columns).map(|i| (i % 17) as f32 * 1e-3 - 8e-3).collect();
    (0..rows).for_each(|row| matrix.write_rows(row, &values));
    Ok(matrix)
}

/// The shape that the project quotes: 72.8 M parameters.
fn quoted_shape() -> Result<LlamaConfig> {
    let mut config = LlamaConfig::preset("small").context("the small preset")?;
    config.vocab_size = 46_336;
    Ok(config)
}

const SEQUENCES: usize = 4;
const SEQUENCE_LENGTH: usize = 512;

fn train(device: &Device, threads: usize, flags: &BenchTrain) -> Result<Facts> {
    let config = quoted_shape()?;
    let folder = Scratch::new()?;
    let model = folder.0.join("model");
    kollama_llama::init_checkpoint(&config, 0, StoredType::F32, &model, &mut |_, _| ())?;
    let settings = bench_settings(&folder.0, &model, flags)?;
    let mut trainer = Trainer::start(settings.clone(), device, None)?;
    fs::remove_dir_all(&model)?;
    let mut seconds = Vec::new();
    for _ in 0..settings.steps {
        let began = Instant::now();
        trainer.step()?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    let peak = peak_memory();
    let step = median(seconds.split_off(1));
    let tokens = settings.tokens_per_step() as f64;
    let flops = estimate(&config, &settings, 0).flop_per_token as f64 * tokens * 1e-9;
    let roof = limits::gflops(threads)?;
    Ok(vec![
        fact("device", device.name()),
        fact("parameters", config.parameter_count()),
        fact("tokens_per_step", tokens as u64),
        fact("seconds_per_step", step),
        fact("tokens_per_second", tokens / step),
        fact("gflop_per_step", flops),
        fact("gflops", flops / step),
        fact("fma_gflops", roof),
        fact("share_of_roof", flops / step / roof),
        fact("peak_rss_bytes", peak),
    ])
}

fn bench_settings(folder: &Path, model: &Path, flags: &BenchTrain) -> Result<TrainSettings> {
    let rows = folder.join("rows.jsonl");
    let mut file = fs::File::create(&rows)?;
    for row in 0..SEQUENCES {
        let ids: Vec<usize> =
            (0..SEQUENCE_LENGTH).map(|i| (i * 7919 + row * 104_729) % 46_336).collect();
        writeln!(file, "{}", json!({ "ids": ids }))?;
    }
    let data = folder.join("data");
    pack_ids(&rows, 46_336, &data)?;
    let steps = u64::from(flags.output.repeats) + 1;
    let dtype = match flags.dtype {
        DtypeFlag::F32 => "f32",
        DtypeFlag::Bf16 => "bf16",
    };
    let text = format!(
        "dtype = {dtype:?}\nmodel = {:?}\ndata = {:?}\nout = {:?}\nsteps = {steps}\nbatch_size = {SEQUENCES}\n\
         sequence_length = {SEQUENCE_LENGTH}\nlearning_rate = 1e-4\nweight_decay = 0.1\nclip = 1.0\n",
        model.display().to_string(),
        data.display().to_string(),
        folder.join("run").display().to_string()
    );
    Ok(TrainSettings::from_toml(&text)?)
}

fn generate(device: &Device, threads: usize, output: &BenchOutput) -> Result<Facts> {
    let config = quoted_shape()?;
    let folder = Scratch::new()?;
    let model = folder.0.join("model");
    kollama_llama::init_checkpoint(&config, 0, StoredType::F32, &model, &mut |_, _| ())?;
    let words = byte_tokenizer()?;
    let mut llama = Llama::open(&model, device)?;
    llama.config.eos_token_id = None;
    let weights = llama.parameters.named().iter().map(|(_, matrix)| matrix.bytes()).sum::<usize>();
    let (prompt, new) = (512, 64);
    let mut engine = Engine::new(llama, &words, prompt + new)?;
    let request = Request {
        prompt: (0..prompt as u32).map(|i| (i * 7919) % 46_336).collect(),
        max_new_tokens: new,
        sampling: Sampling::GREEDY,
        stop: Vec::new(),
    };
    let (mut reading, mut writing) = (Vec::new(), Vec::new());
    for _ in 0..=output.repeats {
        engine.submit(request.clone())?;
        let began = Instant::now();
        engine.step()?;
        reading.push(prompt as f64 / began.elapsed().as_secs_f64());
        let began = Instant::now();
        while !engine.is_idle() {
            engine.step()?;
        }
        writing.push((new - 1) as f64 / began.elapsed().as_secs_f64());
    }
    let (reading, writing) = (median(reading.split_off(1)), median(writing.split_off(1)));
    let bandwidth = limits::read_gb_per_second(threads)?;
    Ok(vec![
        fact("device", device.name()),
        fact("parameters", config.parameter_count()),
        fact("prompt_tokens_per_second", reading),
        fact("new_tokens_per_second", writing),
        fact("read_gb_per_second", bandwidth),
        fact("share_of_bandwidth", writing * weights as f64 * 1e-9 / bandwidth),
    ])
}

/// Text is not what is measured: any tokenizer will do that knows the bytes.
fn byte_tokenizer() -> Result<Tokenizer> {
    let texts = std::iter::once(Ok::<_, anyhow::Error>("a b a b".to_owned()));
    kollama_tokenizer::train(texts, 262, 1.0)
}

/// Highest memory of this process so far, in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A folder that is gone when the measurement is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let folder = std::env::temp_dir().join(format!("kollama-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
