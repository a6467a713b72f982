//! `run --check`: what a recipe would do, with its memory, time and disk, before anything is done.

use crate::commands::model::config_named;
use crate::limits;
use crate::recipe::{Data, Recipe};
use anyhow::{Result, ensure};
use kollama_kernels::Device;
use kollama_llama::LlamaConfig;
use kollama_tokenizer::Tokenizer;
use kollama_trainer::{TrainSettings, estimate};
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

/// Share of the multiply-add roof that a training step is expected to reach.
const SHARE_OF_ROOF: f64 = 0.6;
const GIB: f64 = (1u64 << 30) as f64;

/// Validates a recipe and prints its plan; what is not there yet is listed, not an error.
pub fn print(recipe: &Recipe, threads: usize) -> Result<()> {
    let mut out = stdout().lock();
    let base_config = base_config(recipe)?;
    let mut taught = base_config.clone();
    taught.vocab_size = recipe.tokenizer.vocab_size;
    let (old, new) = (base_config.vocab_size, taught.vocab_size);
    ensure!(new > old, "[tokenizer] vocab_size {new} must be more than the base's {old}");
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
    let tokens = settings.tokens_per_step() * settings.steps;
    let total = need.flop_per_token as f64 * tokens as f64;
    let gib = |bytes: u64| bytes as f64 / GIB;
    writeln!(
        out,
        "\n{stage}: {} steps of {} tokens = {:.3} G tokens",
        settings.steps,
        settings.tokens_per_step(),
        tokens as f64 / 1e9
    )?;
    writeln!(
        out,
        "  rate         {} {:?}, warm-up {}",
        settings.learning_rate, settings.schedule, settings.warmup_steps
    )?;
    writeln!(
        out,
        "  memory       {:.1} GiB in f32: weights {:.1}, gradients {:.1}, moments {:.1}, activations {:.1}",
        gib(need.bytes()),
        gib(need.weight_bytes),
        gib(need.gradient_bytes),
        gib(need.moment_bytes),
        gib(need.activation_bytes)
    )?;
    writeln!(
        out,
        "  time         {} here at {:.0} % of the roof ({:.3e} FLOP, {:.1} GFLOP a token)",
        duration(total / (flops * SHARE_OF_ROOF)),
        SHARE_OF_ROOF * 100.0,
        total,
        need.flop_per_token as f64 / 1e9
    )?;
    let checkpoints = (need.weight_bytes + need.moment_bytes) * settings.keep as u64;
    writeln!(
        out,
        "  disk         {:.1} GiB: {} checkpoints with moments and the model",
        gib(checkpoints + need.weight_bytes),
        settings.keep
    )?;
    Ok(())
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} seconds"),
        s if s < 7200.0 => format!("{:.0} minutes", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} hours", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
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
