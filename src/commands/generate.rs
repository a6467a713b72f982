//! Prompt to text, streamed as it becomes certain.

use super::held::{self, Purpose};
use crate::cli::Generate as Flags;
use crate::usage::usage;
use anyhow::{Context, Result, bail};
use kollama_engine::{Engine, Finish, Request, Sampling, prompt_ids};
use kollama_kernels::Device;
use kollama_tokenizer::Tokenizer;
use serde_json::json;
use std::io::{Read, Write, stdout};

/// Continues one text.
pub fn generate(flags: &Flags, device: &Device) -> Result<()> {
    let tokenizer = Tokenizer::open(&flags.model)?;
    let (llama, cache) = held::open(&flags.model, &flags.held, Purpose::Write, device)?;
    let request = request(flags, &tokenizer)?;
    if let Err(error) = request.sampling.check() {
        return usage(error.to_string());
    }
    let prompt_tokens = request.prompt.len();
    let positions = llama.config.max_position_embeddings;
    let rows = prompt_tokens.saturating_add(flags.max_new_tokens.get()).min(positions);
    let mut engine = Engine::with_cache(llama, &tokenizer, rows, cache)?;
    engine.submit(request)?;
    let mut out = stdout().lock();
    let (mut text, mut ids, mut finish) = (String::new(), Vec::new(), None);
    while !engine.is_idle() {
        for emission in engine.step()? {
            if !flags.json {
                write!(out, "{}", emission.text)?;
                out.flush()?;
            }
            text.push_str(&emission.text);
            ids.push(emission.token);
            finish = emission.finish;
        }
    }
    if finish == Some(Finish::Failed) {
        bail!("the model gave logits that are not finite; try `kollama model verify`");
    }
    if !flags.json {
        writeln!(out)?;
        return Ok(());
    }
    let reason = finish.map_or("length", Finish::name);
    let answer = json!({ "text": text, "ids": ids, "prompt_tokens": prompt_tokens, "finish_reason": reason });
    writeln!(out, "{answer}")?;
    Ok(())
}

fn request(flags: &Flags, tokenizer: &Tokenizer) -> Result<Request> {
    let text = match &flags.prompt {
        Some(text) => text.clone(),
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input")?;
            text
        }
    };
    let prompt = prompt_ids(tokenizer, &text);
    let sampling = Sampling {
        repetition_penalty: flags.repetition_penalty,
        temperature: flags.temperature,
        top_k: flags.top_k,
        top_p: flags.top_p,
        min_p: flags.min_p,
        seed: flags.seed,
        ..Sampling::GREEDY
    };
    let (max_new_tokens, stop) = (flags.max_new_tokens.get(), flags.stop.clone());
    Ok(Request { prompt, max_new_tokens, sampling, stop })
}
