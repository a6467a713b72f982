//! Submit, step, drain: several sequences share one batch, and one batch is one call of the model.
//! A sequence gets the same tokens alone and in a crowd.

use crate::drafts::Pass;
use crate::error::EngineError;
use crate::request::{Emission, Request, RequestId};
use crate::sampler::Sampler;
use crate::sequence::Sequence;
use crate::slots::Slots;
use kollama_kernels::{DType, Matrix, Span, Spans};
use kollama_llama::{Batch, KvCache, Llama, LlamaConfig};
use kollama_tokenizer::Tokenizer;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows of one step, over all sequences: a long prompt does not hold up the others for longer than
/// this.
const ROWS_OF_A_STEP: usize = 512;

/// A model, its tokenizer, its cache, and the sequences that are being written.
pub struct Engine<'t> {
    llama: Arc<Llama>,
    tokenizer: &'t Tokenizer,
    cache: KvCache,
    slots: Slots,
    waiting: VecDeque<(RequestId, Request)>,
    running: Vec<Sequence<'t>>,
    logits: Matrix,
    /// One row of the logits.
    row: Vec<f32>,
    sampler: Sampler,
    end_tokens: Vec<u32>,
    next_id: u64,
    speculates: bool,
}

/// What one sequence has in a step.
struct Part {
    /// Which of the running ones it is.
    sequence: usize,
    /// Tokens of it that are read.
    rows: usize,
    /// Whether they are all it has, so that it gets its next token.
    writes: bool,
}

impl<'t> Engine<'t> {
    /// `cache_rows` bounds the tokens of all running sequences together; a request that would
    /// never fit is turned away by [`Engine::submit`].
    pub fn new(
        llama: impl Into<Arc<Llama>>,
        tokenizer: &'t Tokenizer,
        cache_rows: usize,
    ) -> Result<Engine<'t>, EngineError> {
        let llama = llama.into();
        let kept = llama.cache_dtype();
        Engine::with_cache(llama, tokenizer, cache_rows, kept)
    }

    /// As [`Engine::new`], with keys and values kept as `kept` (see [`KvCache::new_as`]).
    pub fn with_cache(
        llama: impl Into<Arc<Llama>>,
        tokenizer: &'t Tokenizer,
        cache_rows: usize,
        kept: DType,
    ) -> Result<Engine<'t>, EngineError> {
        let llama = llama.into();
        let cache = KvCache::new_as(&llama.config, &llama.device, cache_rows, kept)?;
        let logits = Matrix::zeros(&llama.device, 1, llama.config.vocab_size, DType::F32)?;
        Ok(Engine {
            end_tokens: end_tokens(&llama.config),
            row: vec![0.0; llama.config.vocab_size],
            llama,
            tokenizer,
            cache,
            slots: Slots::new(cache_rows),
            waiting: VecDeque::new(),
            running: Vec::new(),
            logits,
            sampler: Sampler::default(),
            next_id: 0,
            speculates: true,
        })
    }

    /// The model.
    pub fn llama(&self) -> &Llama {
        &self.llama
    }

    /// Whether tokens are guessed from what stands in a sequence already and read together with
    /// the one before them, where that pays; it does from the start. The answers are the same.
    pub fn set_speculation(&mut self, on: bool) {
        self.speculates = on;
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

    /// One call of the model; for each running sequence no token while it reads its prompt, then
    /// one, or several where it guessed well.
    pub fn step(&mut self) -> Result<Vec<Emission>, EngineError> {
        self.admit();
        let parts = self.share_out();
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        self.guess(&parts);
        let batch = self.gather(&parts);
        self.make_room_for_logits(batch.wanted.len())?;
        self.llama.forward(&batch, &mut self.cache, &mut self.logits);
        let (mut emissions, mut row) = (Vec::new(), 0);
        for part in parts.iter().filter(|part| part.writes) {
            let guesses = self.running[part.sequence].drafts.guesses().len();
            self.write(part.sequence, row, &mut emissions);
            row += 1 + guesses;
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

    /// What every sequence has not read yet, within the budget of a step.
    fn share_out(&self) -> Vec<Part> {
        let mut budget = ROWS_OF_A_STEP;
        let part = |(sequence, running): (usize, &Sequence)| {
            let unread = running.tokens.len() - running.read;
            let rows = unread.min(budget);
            budget -= rows;
            Part { sequence, rows, writes: rows == unread }
        };
        self.running.iter().enumerate().map(part).filter(|part| part.rows > 0).collect()
    }

    /// Guesses what the sequences write next, as far as the rows of this step have room for it.
    fn guess(&mut self, parts: &[Part]) {
        let mut pass = Pass {
            rows: parts.iter().map(|part| part.rows).sum(),
            tokens: parts.iter().filter(|part| part.writes).count() as f64,
        };
        for part in parts.iter().filter(|part| part.writes) {
            let sequence = &mut self.running[part.sequence];
            // The last token of an answer is never read, so no guess may stand for it.
            let left = sequence.request.max_new_tokens - sequence.written() - 1;
            let room = if self.speculates { ROWS_OF_A_STEP - pass.rows } else { 0 };
            let most = left.min(room);
            sequence.drafts.guess(&sequence.tokens, most, &mut pass);
        }
    }

    /// The rows of a step: unread tokens, then guesses; logits after the last token and after each
    /// guess.
    fn gather(&mut self, parts: &[Part]) -> Batch {
        let (mut ids, mut spans, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            let sequence = &mut self.running[part.sequence];
            let start = ids.len();
            ids.extend(&sequence.tokens[sequence.read..sequence.read + part.rows]);
            sequence.read += part.rows;
            if part.writes {
                ids.extend(sequence.drafts.guesses());
                wanted.extend((start + part.rows - 1) as u32..ids.len() as u32);
            }
            let seen = sequence.read + ids.len() - start - part.rows;
            let first = sequence.slot.start;
            spans.push(Span { queries: start..ids.len(), keys: first..first + seen });
        }
        Batch { ids, spans: Spans::new(spans), wanted }
    }

    /// Chooses the next token of a sequence from its first row of logits, then goes on for as long
    /// as what it guessed is what it chose. Cache rows of wrong guesses are written again later.
    fn write(&mut self, sequence: usize, first_row: usize, emissions: &mut Vec<Emission>) {
        let sequence = &mut self.running[sequence];
        for guess in 0.. {
            self.logits.read_rows(first_row + guess, &mut self.row);
            let (seen, sampling) = (&sequence.tokens, &sequence.request.sampling);
            let chosen =
                self.sampler.sample(&mut self.row, seen, sampling, sequence.written() as u64);
            let guessed = chosen.is_some_and(|token| sequence.drafts.came_true(guess, token, seen));
            let emission = sequence.write(chosen, &self.end_tokens);
            let goes_on = guessed && emission.finish.is_none();
            emissions.push(emission);
            if !goes_on {
                return;
            }
            sequence.read += 1;
        }
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

/// Every token that ends an answer: `eos_token_id`, which a model's file may give as a list.
fn end_tokens(config: &LlamaConfig) -> Vec<u32> {
    let fields = config.to_json();
    let field = &fields["eos_token_id"];
    let ids = field.as_array().map_or(std::slice::from_ref(field), Vec::as_slice);
    ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
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
