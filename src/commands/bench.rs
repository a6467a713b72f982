//! How close to the limits of this machine the engine works. Every figure is printed beside the
//! roof measured in the same run; medians are quoted.

use super::bench_generate::bench_generate;
use super::bench_tokenize::bench_tokenize;
use super::measurement::{Facts, fact, median, peak_memory, print};
use super::threads;
use crate::choices::StoredType as DtypeFlag;
use crate::cli::{Bench as Verb, BenchOutput, BenchTrain};
use crate::limits;
use anyhow::{Context, Result};
use kollama_corpus::pack_ids;
use kollama_kernels::ops::{self, Before};
use kollama_kernels::{DType, Device, Matrix};
use kollama_llama::{LlamaConfig, StoredType};
use kollama_trainer::{TrainSettings, Trainer, estimate};
use serde_json::json;
use std::fs;
use std::io::Write;
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
        Verb::Generate(flags) => {
            print(flags.output.json, &bench_generate(&flags, device, threads)?)
        }
        // One thread shows the encoder; more show the machine.
        Verb::Tokenize(flags) => {
            bench_tokenize(&flags, &device.name(), asked.map_or(1, usize::from))
        }
    }
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
        let input = || ops::matmul_backward_input(&mut d_x, &y, &w, Before::Others);
        add("backward_input", median_seconds(output, input));
        let weight = || ops::matmul_backward_weight(&mut d_w, &y, &x, Before::Others);
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
    let mut facts = vec![
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
    ];
    if flags.dtype == DtypeFlag::Bf16
        && let Some(roof) = limits::bf16_gflops(threads)?
    {
        facts.push(fact("bf16_gflops", roof));
        facts.push(fact("share_of_bf16_roof", flops / step / roof));
    }
    Ok(facts)
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
