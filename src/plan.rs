//! `run --check`: what a recipe would do, with its memory, time and disk, before anything is done.

use crate::commands::model::config_named;
use crate::limits;
use crate::recipe::{Data, Recipe};
use anyhow::{Context, Result, ensure};
use kollama_harness::tasks;
use kollama_kernels::Device;
use kollama_llama::LlamaConfig;
use kollama_tokenizer::Tokenizer;
use kollama_trainer::{DtypeChoice, TrainSettings, estimate};
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

/// Share of the multiply-add roof that a training step is expected to reach.
const SHARE_OF_ROOF: f64 = 0.6;
const MIB: f64 = (1u64 << 20) as f64;

/// Prints the plan of a recipe; what is not there yet is listed, not an error.
pub fn print(recipe: &Recipe, base_config: LlamaConfig, threads: usize) -> Result<()> {
    let mut out = stdout().lock();
    let mut taught = base_config.clone();
    taught.vocab_size = recipe.tokenizer.vocab_size;
    let (old, new) = (base_config.vocab_size, taught.vocab_size);
    writeln!(out, "{}", recipe.name)?;
    let millions = |config: &LlamaConfig| config.parameter_count() as f64 / 1e6;
    writeln!(out, "  vocabulary   {old} -> {new}, {}", recipe.tokenizer.script)?;
    writeln!(out, "  parameters   {:.1} M -> {:.1} M", millions(&base_config), millions(&taught))?;
    let flops = limits::gflops(threads)? * 1e9;
    let device = Device::cpu(threads)?.name();
    writeln!(out, "  device       {device}, at most {:.0} GFLOP/s", flops * 1e-9)?;
    let places = ["model", "data", "train"].map(Path::new);
    if let (Some(train), Some(data)) = (&recipe.base.train, &recipe.base.data) {
        let settings = recipe.settings(train, data, places)?;
        describe(&mut out, "base", &base_config, &settings, flops)?;
    }
    let settings = recipe.settings(&recipe.train, &recipe.data, places)?;
    describe(&mut out, "train", &taught, &settings, flops)?;
    print_missing(&mut out, recipe)
}

/// Refuses what would fail only after hours; gives the config of the base.
pub fn validate(recipe: &Recipe) -> Result<LlamaConfig> {
    let config = base_config(recipe)?;
    let (old, new) = (config.vocab_size, recipe.tokenizer.vocab_size);
    ensure!(new > old, "[tokenizer] vocab_size {new} must be more than the base's {old}");
    LlamaConfig { vocab_size: new, ..config.clone() }.validate()?;
    kollama_tokenizer::check_script(&recipe.tokenizer.script).context("in [tokenizer]")?;
    let positions = config.max_position_embeddings;
    for length in recipe.base.data.iter().chain([&recipe.data]).map(|data| data.sequence_length) {
        let fits = length <= positions;
        ensure!(
            fits,
            "[data] sequence_length {length} exceeds the {positions} positions of the model"
        );
    }
    let comparison = &recipe.comparison;
    let new_tokens = comparison.max_new_tokens;
    ensure!(
        (1..positions).contains(&new_tokens),
        "[comparison] max_new_tokens {new_tokens} must be from 1 to below the {positions} positions"
    );
    for name in &comparison.tasks {
        let known = tasks::names();
        let is_known = known.contains(&name.as_str());
        ensure!(is_known, "[comparison] no task {name:?}; there are {}", known.join(", "));
    }
    let has_data = comparison.tasks.is_empty() || comparison.task_data.is_some();
    ensure!(has_data, "[comparison] tasks need `task_data`");
    Ok(config)
}

fn base_config(recipe: &Recipe) -> Result<LlamaConfig> {
    let base = &recipe.base;
    if let Some(model) = base.model.as_ref().filter(|model| model.exists()) {
        return Ok(LlamaConfig::read(model)?);
    }
    let mut config = config_named(&base.config)?;
    if let Some(words) = base.tokenizer.as_ref().filter(|words| words.exists()) {
        config.vocab_size = Tokenizer::open(words)?.vocab_size();
    }
    config.vocab_size = base.vocab_size.unwrap_or(config.vocab_size);
    Ok(config)
}

fn describe(
    out: &mut impl Write,
    stage: &str,
    config: &LlamaConfig,
    settings: &TrainSettings,
    flops: f64,
) -> Result<()> {
    let need = estimate(config, settings, 0);
    let (steps, of_a_step) = (settings.steps, settings.tokens_per_step());
    let tokens = steps as f64 * of_a_step as f64;
    let flop = need.flop_per_token as f64 * tokens;
    let schedule = format!("{:?}", settings.schedule).to_lowercase();
    let (rate, warmup) = (settings.learning_rate, settings.warmup_steps);
    let checkpoints = (need.stored_bytes + need.moment_bytes) * settings.keep as u64;
    writeln!(out, "\n{stage}: {steps} steps of {of_a_step} tokens, {:.3e} tokens", tokens)?;
    writeln!(out, "  rate         {rate:e} {schedule}, warm-up {warmup} steps")?;
    writeln!(
        out,
        "  memory       {}: weights {}, gradients {}, moments {}, activations {}; {}",
        size(need.bytes()),
        size(need.weight_bytes),
        size(need.gradient_bytes),
        size(need.moment_bytes),
        size(need.activation_bytes),
        match settings.dtype {
            DtypeChoice::F32 => "all f32",
            DtypeChoice::Bf16 => "weights and activations in bf16, beside what weights lack of f32",
        }
    )?;
    writeln!(
        out,
        "  time         {} here at {:.0} % of the roof; {flop:.2e} FLOP",
        duration(flop / (flops * SHARE_OF_ROOF)),
        SHARE_OF_ROOF * 100.0,
    )?;
    let disk = size(checkpoints + need.stored_bytes);
    writeln!(
        out,
        "  disk         {disk}: {} checkpoints with moments, and the model",
        settings.keep
    )?;
    Ok(())
}

fn size(bytes: u64) -> String {
    match bytes as f64 / MIB {
        mib if mib < 1024.0 => format!("{mib:.0} MiB"),
        mib => format!("{:.1} GiB", mib / 1024.0),
    }
}

fn duration(seconds: f64) -> String {
    const DAY: f64 = 86_400.0;
    match seconds {
        s if s < 120.0 => format!("{s:.0} seconds"),
        s if s < 7200.0 => format!("{:.0} minutes", s / 60.0),
        s if s < 2.0 * DAY => format!("{:.1} hours", s / 3600.0),
        s if s < 1000.0 * DAY => format!("{:.0} days", s / DAY),
        s => format!("{:.0} years", s / DAY / 365.25),
    }
}

fn print_missing(out: &mut impl Write, recipe: &Recipe) -> Result<()> {
    let sources = |data: &Data| data.sources.clone();
    let mut paths: Vec<PathBuf> =
        recipe.base.model.iter().chain(&recipe.base.tokenizer).cloned().collect();
    paths.extend(recipe.base.data.as_ref().map(sources).unwrap_or_default());
    paths.extend(recipe.tokenizer.corpus.iter().cloned());
    paths.extend(sources(&recipe.data));
    paths.extend(recipe.comparison.held_out.iter().flat_map(|texts| texts.sources.iter().cloned()));
    paths.extend(recipe.comparison.task_data.iter().cloned());
    paths.sort();
    paths.dedup();
    paths.retain(|path| !path.exists());
    if paths.is_empty() {
        writeln!(out, "\nEverything it reads is there.")?;
        return Ok(());
    }
    writeln!(out, "\nTo be provided before it can run:")?;
    for path in paths {
        writeln!(out, "  {}", path.display())?;
    }
    Ok(())
}
