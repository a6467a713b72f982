//! Log-likelihoods of continuations, JSON lines in and out.
//!
//! A text context and a text continuation are encoded separately and without `<s>`, as in the
//! polyglot branch of lm-evaluation-harness; whoever wants another rule sends ids.

use super::held::{self, Purpose};
use super::{lines_of, place, tokenizer_if_there};
use crate::cli::Score as Flags;
use anyhow::{Context, Result, bail};
use kollama_engine::{EngineError, ScoreRequest, Scorer};
use kollama_kernels::Device;
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

/// Scores every line of the input, in order. What is waiting is answered as soon as no further
/// line has arrived, so that another program can ask and wait; blank lines are passed over.
pub fn score(flags: &Flags, device: &Device) -> Result<()> {
    let (llama, cache) = held::open(&flags.model, &flags.held, Purpose::Measure, device)?;
    let tokenizer = tokenizer_if_there(&flags.model)?;
    let vocab_size = llama.config.vocab_size;
    let end = tokenizer.as_ref().map_or(llama.config.eos_token_id, Tokenizer::eos_id);
    let mut scorer = Scorer::with_cache(llama, end, cache)?;
    let mut reader = lines_of(&flags.input)?;
    let (mut line, mut number, mut waiting) = (String::new(), 0, Vec::new());
    while reader.read_line(&mut line).with_context(|| place(&flags.input, number + 1))? > 0 {
        number += 1;
        if !line.trim().is_empty() {
            match parsed(&line, tokenizer.as_ref(), vocab_size) {
                Ok(request) => waiting.push(request),
                Err(error) => {
                    answer(&mut scorer, &mut waiting)?;
                    return Err(error.context(place(&flags.input, number)));
                }
            }
        }
        line.clear();
        if waiting.len() == REQUESTS_AT_ONCE || !reader.buffer().contains(&b'\n') {
            answer(&mut scorer, &mut waiting)?;
        }
    }
    answer(&mut scorer, &mut waiting)
}

fn parsed(line: &str, tokenizer: Option<&Tokenizer>, vocab_size: usize) -> Result<ScoreRequest> {
    let request = request(serde_json::from_str(line)?, tokenizer)?;
    check(&request, vocab_size)?;
    Ok(request)
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
