//! Log-likelihoods of continuations, JSON lines in and out.
//!
//! A text context and a text continuation are encoded separately and without `<s>`, as in the
//! polyglot branch of lm-evaluation-harness; whoever wants another rule sends ids.

use super::{lines_of, place, tokenizer_if_there, weights_in_memory};
use crate::cli::Score as Flags;
use anyhow::{Context, Result, bail};
use kollama_engine::{EngineError, ScoreRequest, Scorer};
use kollama_kernels::Device;
use kollama_llama::Llama;
use kollama_tokenizer::Tokenizer;
use serde::Deserialize;
use serde_json::json;
use std::io::{BufRead, Write, stdout};

/// Requests that are scored, and answered, together.
const REQUESTS_AT_ONCE: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    context: Option<String>,
    continuation: Option<String>,
    context_ids: Option<Vec<u32>>,
    continuation_ids: Option<Vec<u32>>,
}

/// Scores every line of the input, in order.
pub fn score(flags: &Flags, device: &Device) -> Result<()> {
    let llama = Llama::open_as(&flags.model, device, weights_in_memory(flags.dtype))?;
    let tokenizer = tokenizer_if_there(&flags.model)?;
    let (prefix, vocab_size) = (llama.config.eos_token_id, llama.config.vocab_size);
    let mut scorer = Scorer::new(llama, prefix)?;
    let mut waiting = Vec::new();
    for (index, line) in lines_of(&flags.input)?.lines().enumerate() {
        let here = || place(&flags.input, index + 1);
        let line = line.with_context(here)?;
        let line: Line = serde_json::from_str(&line).with_context(here)?;
        let request = request(line, tokenizer.as_ref()).with_context(here)?;
        check(&request, vocab_size).with_context(here)?;
        waiting.push(request);
        if waiting.len() == REQUESTS_AT_ONCE {
            answer(&mut scorer, &mut waiting)?;
        }
    }
    answer(&mut scorer, &mut waiting)
}

fn request(line: Line, tokenizer: Option<&Tokenizer>) -> Result<ScoreRequest> {
    let ids = |text: Option<String>, ids: Option<Vec<u32>>, name: &str| match (text, ids) {
        (None, Some(ids)) => Ok(ids),
        (Some(text), None) => match tokenizer {
            Some(tokenizer) => Ok(tokenizer.encode_to_vec(&text)),
            None => bail!("the model folder has no tokenizer; send {name}_ids"),
        },
        _ => bail!("expected exactly one of `{name}` and `{name}_ids`"),
    };
    Ok(ScoreRequest {
        context: ids(line.context, line.context_ids, "context")?,
        continuation: ids(line.continuation, line.continuation_ids, "continuation")?,
    })
}

/// Refuses here, where the line is known, what the scorer would refuse among many.
fn check(request: &ScoreRequest, vocab_size: usize) -> Result<(), EngineError> {
    if request.continuation.is_empty() {
        return Err(EngineError::EmptyContinuation);
    }
    let mut ids = request.context.iter().chain(&request.continuation);
    match ids.find(|&&id| id as usize >= vocab_size) {
        Some(&id) => Err(EngineError::UnknownToken { id, vocab_size }),
        None => Ok(()),
    }
}

fn answer(scorer: &mut Scorer, requests: &mut Vec<ScoreRequest>) -> Result<()> {
    let mut out = stdout().lock();
    for score in scorer.score(requests, &mut |_| ())? {
        let (logprob, is_greedy, num_tokens) = (score.logprob, score.is_greedy, score.num_tokens);
        let line = json!({ "logprob": logprob, "is_greedy": is_greedy, "num_tokens": num_tokens });
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    requests.clear();
    Ok(())
}
