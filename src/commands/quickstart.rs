//! The whole story on the embedded sample, then what to try next.

use super::run::{self, Scope};
use crate::cli::Quickstart as Flags;
use crate::recipe::Recipe;
use crate::sample;
use anyhow::{Result, ensure};
use kollama_kernels::Device;
use std::fs;

/// Minutes of training that the recipe takes on two cores of a laptop; `--minutes` scales the steps.
const MINUTES_OF_THE_RECIPE: f64 = 1.0;

/// Runs `recipes/quickstart.toml` on the embedded sample and says what to try next.
pub fn quickstart(flags: &Flags, threads: usize) -> Result<()> {
    let minutes = flags.minutes;
    ensure!(minutes > 0.0 && minutes.is_finite(), "--minutes {minutes} must be more than 0");
    let folder = flags.out.join("sample");
    sample::write(&folder)?;
    let text = fs::read_to_string(folder.join("recipes/quickstart.toml"))?;
    let mut recipe = Recipe::parse(&text, &folder.join("recipes"))?;
    let scale = minutes / MINUTES_OF_THE_RECIPE;
    scale_steps(&mut recipe.train, scale);
    recipe.base.train.iter_mut().for_each(|train| scale_steps(train, scale));
    let scope = Scope { replaces_training: true, ..Scope::default() };
    run::perform(&recipe, &flags.out, (&Device::cpu(threads)?, threads), &scope)?;
    let out = flags.out.display();
    eprintln!(
        "\nEverything is in {out}. Try next:\n  \
         kollama generate --model {out}/train --prompt '할머니는 시장에서' --temperature 0.8\n  \
         kollama tokenizer compare {out}/base {out}/tokenizer '안녕하세요, 오늘은 날씨가 좋네요.'\n  \
         kollama model info {out}/train\n  \
         kollama run {out}/sample/recipes/quickstart.toml --check"
    );
    Ok(())
}

fn scale_steps(train: &mut toml::Table, scale: f64) {
    for field in ["steps", "warmup_steps"] {
        if let Some(steps) = train.get(field).and_then(toml::Value::as_integer) {
            let scaled = ((steps as f64 * scale).round() as i64).max(1);
            train.insert(field.to_owned(), scaled.into());
        }
    }
}
