//! Submit, step, drain: several sequences share one batch, and one batch is one call of the model.
//! A sequence gets the same tokens alone and in a crowd.

use crate::error::EngineError;
use crate::request::{Emission, Finish, Request, RequestId};
use crate::sampler::sample;
use crate::slots::Slots;
use crate::stops::StopWatch;
use kollama_kernels::{DType, Matrix, Span, Spans};
use kollama_llama::{Batch, KvCache, Llama, LlamaConfig};
use kollama_tokenizer::{DecodeStream, Tokenizer};
use std::collections::VecDeque;
use std::ops::Range;

/// Prompt tokens read in one step, over all sequences: a long prompt does not hold up the others
/// for longer than this.
const TOKENS_OF_A_STEP: usize = 512;

/// A model, its tokenizer, its cache, and the sequences that are being written.
pub struct Engine<'t> {
    llama: Llama,
    tokenizer: &'t Tokenizer,
    cache: KvCache,
    slots: Slots,
    waiting: VecDeque<(RequestId, Request)>,
    running: Vec<Sequence<'t>>,
    logits: Matrix,
    end_tokens: Vec<u32>,
    next_id: u64,
}

struct Sequence<'t> {
    id: RequestId,
    request: Request,
    /// Prompt and answer.
    tokens: Vec<u32>,
    /// How many of them the cache holds.
    read: usize,
    slot: Range<usize>,
    text: DecodeStream<'t>,
    /// End of the prompt's text that the stream still holds: a run of byte tokens is certain only
    /// when it has ended.
    held_prompt: String,
    stops: StopWatch,
}

impl<'t> Engine<'t> {
    /// `cache_rows` bounds the tokens of all running sequences together; a request that would
    /// never fit is turned away by [`Engine::submit`].
    pub fn new(
        llama: Llama,
        tokenizer: &'t Tokenizer,
        cache_rows: usize,
    ) -> Result<Engine<'t>, EngineError> {
        let kept = llama.cache_dtype();
        Engine::with_cache(llama, tokenizer, cache_rows, kept)
    }

    /// As [`Engine::new`], with keys and values kept as `kept` (see [`KvCache::new_as`]).
    pub fn with_cache(
        llama: Llama,
        tokenizer: &'t Tokenizer,
        cache_rows: usize,
        kept: DType,
    ) -> Result<Engine<'t>, EngineError> {
        let cache = KvCache::new_as(&llama.config, &llama.device, cache_rows, kept)?;
        let logits = Matrix::zeros(&llama.device, 1, llama.config.vocab_size, DType::F32)?;
        Ok(Engine {
            end_tokens: end_tokens(&llama.config),
            llama,
            tokenizer,
            cache,
            slots: Slots::new(cache_rows),
            waiting: VecDeque::new(),
            running: Vec::new(),
            logits,
            next_id: 0,
        })
    }

    /// The model.
    pub fn llama(&self) -> &Llama {
        &self.llama
    }

    /// Puts a request in the queue.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, EngineError> {
        self.check(&request)?;
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.waiting.push_back((id, request));
        Ok(id)
    }

    /// Whether nothing runs and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// One call of the model; at most one new token for each running sequence.
    pub fn step(&mut self) -> Result<Vec<Emission>, EngineError> {
        self.admit();
        let (batch, writers) = self.gather();
        if batch.ids.is_empty() {
            return Ok(Vec::new());
        }
        self.make_room_for_logits(writers.len())?;
        self.llama.forward(&batch, &mut self.cache, &mut self.logits);
        let mut row = vec![0.0; self.llama.config.vocab_size];
        let mut emissions = Vec::new();
        for (index, writer) in writers.into_iter().enumerate() {
            self.logits.read_rows(index, &mut row);
            emissions.push(self.running[writer].write(&mut row, &self.end_tokens));
        }
        self.retire(&emissions);
        Ok(emissions)
    }

    fn check(&self, request: &Request) -> Result<(), EngineError> {
        request.sampling.check()?;
        let (prompt, new) = (request.prompt.len(), request.max_new_tokens);
        let limit = self.llama.config.max_position_embeddings.min(self.cache.rows());
        if new == 0 {
            let name = "max_new_tokens";
            return Err(EngineError::Sampling { name, value: 0.0, expected: "1 or more" });
        }
        if prompt == 0 {
            return Err(EngineError::EmptyPrompt);
        }
        if prompt.saturating_add(new) > limit {
            return Err(EngineError::TooLong { prompt, new, limit });
        }
        let vocab_size = self.llama.config.vocab_size;
        match request.prompt.iter().find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(EngineError::UnknownToken { id, vocab_size }),
            None => Ok(()),
        }
    }

    /// First come, first served, as long as the cache has a slot.
    fn admit(&mut self) {
        while let Some((_, request)) = self.waiting.front() {
            let rows = request.prompt.len() + request.max_new_tokens;
            let Some(slot) = self.slots.take(rows) else { return };
            if let Some((id, request)) = self.waiting.pop_front() {
                self.running.push(Sequence::new(id, request, slot, self.tokenizer));
            }
        }
    }

    /// What every sequence has not read yet, within the budget of a step; and who gets a token.
    fn gather(&mut self) -> (Batch, Vec<usize>) {
        let mut ids = Vec::new();
        let mut spans = Vec::new();
        let mut wanted = Vec::new();
        let mut writers = Vec::new();
        for (index, sequence) in self.running.iter_mut().enumerate() {
            let budget = TOKENS_OF_A_STEP.saturating_sub(ids.len());
            let unread = sequence.tokens.len() - sequence.read;
            let rows = unread.min(budget);
            if rows == 0 {
                continue;
            }
            let start = ids.len();
            ids.extend(&sequence.tokens[sequence.read..sequence.read + rows]);
            sequence.read += rows;
            let first = sequence.slot.start;
            spans.push(Span { queries: start..ids.len(), keys: first..first + sequence.read });
            if rows == unread {
                wanted.push(ids.len() as u32 - 1);
                writers.push(index);
            }
        }
        (Batch { ids, spans: Spans::new(spans), wanted }, writers)
    }

    fn make_room_for_logits(&mut self, rows: usize) -> Result<(), EngineError> {
        if rows > self.logits.capacity() {
            let columns = self.llama.config.vocab_size;
            self.logits = Matrix::zeros(&self.llama.device, rows, columns, DType::F32)?;
        }
        self.logits.set_rows(rows);
        Ok(())
    }

    fn retire(&mut self, emissions: &[Emission]) {
        for ended in emissions.iter().filter(|emission| emission.finish.is_some()) {
            if let Some(index) = self.running.iter().position(|s| s.id == ended.request) {
                let sequence = self.running.remove(index);
                self.slots.give_back(sequence.slot);
            }
        }
    }
}

impl<'t> Sequence<'t> {
    fn new(id: RequestId, request: Request, slot: Range<usize>, tokenizer: &'t Tokenizer) -> Self {
        let mut text = tokenizer.decode_stream();
        let given: usize = request.prompt.iter().map(|&token| text.push(token).len()).sum();
        let held_prompt = tokenizer.decode(&request.prompt).split_off(given);
        let stops = StopWatch::new(&request.stop);
        let tokens = request.prompt.clone();
        Sequence { id, request, tokens, read: 0, slot, text, held_prompt, stops }
    }

    /// Chooses the next token from its logits and says what became certain.
    fn write(&mut self, logits: &mut [f32], end_tokens: &[u32]) -> Emission {
        let written = self.tokens.len() - self.request.prompt.len();
        let chosen = sample(logits, &self.tokens, &self.request.sampling, written as u64);
        let Some(token) = chosen else { return self.end(0, Finish::Failed) };
        if end_tokens.contains(&token) {
            return self.end(token, Finish::EndToken);
        }
        self.tokens.push(token);
        let piece = self.text.push(token).to_owned();
        let watched = self.stops.push(without(&mut self.held_prompt, &piece));
        if watched.stopped {
            let finish = Some(Finish::Stop);
            return Emission { request: self.id, token, text: watched.text, finish };
        }
        if written + 1 == self.request.max_new_tokens {
            let mut last = self.end(token, Finish::Length);
            last.text.insert_str(0, &watched.text);
            return last;
        }
        Emission { request: self.id, token, text: watched.text, finish: None }
    }

    /// The last emission: what was held back becomes certain.
    fn end(&mut self, token: u32, finish: Finish) -> Emission {
        let rest = self.text.finish();
        let watched = self.stops.push(without(&mut self.held_prompt, &rest));
        let text = watched.text + &self.stops.finish();
        let finish = if watched.stopped { Finish::Stop } else { finish };
        Emission { request: self.id, token, text, finish: Some(finish) }
    }
}

/// Every token that ends an answer: `eos_token_id`, which a model's file may give as a list.
fn end_tokens(config: &LlamaConfig) -> Vec<u32> {
    let fields = config.to_json();
    let field = &fields["eos_token_id"];
    let ids = field.as_array().map_or(std::slice::from_ref(field), Vec::as_slice);
    ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

/// Takes the held end of the prompt off the first text that the stream gives.
fn without<'a>(held: &mut String, piece: &'a str) -> &'a str {
    if piece.is_empty() {
        return piece;
    }
    piece.strip_prefix(std::mem::take(held).as_str()).unwrap_or(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_tokens_are_one_or_several_or_none() {
        let mut config = LlamaConfig::preset("tiny").unwrap();
        assert_eq!(end_tokens(&config), [2]);
        config.other_fields.insert("eos_token_id".to_owned(), vec![7_u32, 9].into());
        config.eos_token_id = Some(7);
        assert_eq!(end_tokens(&config), [7, 9]);
        config.eos_token_id = None;
        assert!(end_tokens(&config).is_empty(), "what was changed since outweighs the file");
    }
}
