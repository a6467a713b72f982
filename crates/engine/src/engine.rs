//! Submit, step, drain: several sequences share one batch, and one batch is one call of the model.
//! A sequence gets the same tokens alone and in a crowd.

mod admission;

use crate::drafts::Pass;
use crate::error::EngineError;
use crate::logprobs::logprobs_of;
use crate::prefix::Prefixes;
use crate::request::{Details, Emission, Request, RequestId};
use crate::sampler::Sampler;
use crate::schedule::{Part, ROWS_OF_A_STEP, share_out};
use crate::sequence::Sequence;
use crate::slots::Slots;
use kollama_kernels::{DType, Matrix, Span, Spans};
use kollama_llama::{Batch, KvCache, Llama, LlamaConfig};
use kollama_tokenizer::Tokenizer;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tokens that a cache must hold to be worth having.
const FEWEST_ROWS: usize = 16;
/// More sequences of the model's full length are not reserved memory for.
const MOST_WHOLE_SEQUENCES: usize = 256;

/// A model, its tokenizer, its cache, and the sequences that are being written.
pub struct Engine<'t> {
    llama: Arc<Llama>,
    tokenizer: &'t Tokenizer,
    cache: KvCache,
    kept: DType,
    slots: Slots,
    prefixes: Prefixes,
    waiting: BTreeMap<(u64, RequestId), (Request, Details)>,
    turn: u64,
    running: Vec<Sequence<'t>>,
    logits: Matrix,
    /// One row of the logits.
    row: Vec<f32>,
    sampler: Sampler,
    end_tokens: Vec<u32>,
    next_id: u64,
    speculates: bool,
    shares: bool,
    status: Status,
}

/// What an engine is busy with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Sequences that read or write.
    pub running: usize,
    /// Requests that wait for room.
    pub waiting: usize,
    /// Rows of the cache.
    pub rows: usize,
    /// Rows lent to running sequences.
    pub rows_lent: usize,
    /// Rows kept for whoever begins like an earlier sequence.
    pub rows_kept: usize,
    /// Tokens of prompts that were read since the beginning.
    pub prompt_tokens: u64,
    /// Tokens of prompts that did not have to be read.
    pub cached_tokens: u64,
    /// Tokens written since the beginning.
    pub written_tokens: u64,
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
            kept,
            slots: Slots::new(cache_rows),
            prefixes: Prefixes::default(),
            status: Status { rows: cache_rows, ..Status::default() },
            waiting: BTreeMap::new(),
            turn: 0,
            running: Vec::new(),
            logits,
            sampler: Sampler::default(),
            next_id: 0,
            speculates: true,
            shares: true,
        })
    }

    /// As [`Engine::with_cache`], for as many tokens as `bytes` hold the keys and values of.
    pub fn within(
        llama: Llama,
        tokenizer: &'t Tokenizer,
        bytes: u64,
        kept: DType,
    ) -> Result<Engine<'t>, EngineError> {
        let columns = llama.config.heads().key_columns();
        let row = 2 * llama.config.num_hidden_layers * kept.matrix_bytes(1, columns);
        let rows = usize::try_from(bytes / row as u64).unwrap_or(usize::MAX);
        if rows < FEWEST_ROWS {
            return Err(EngineError::TooLittleMemory { bytes, needed: (FEWEST_ROWS * row) as u64 });
        }
        let most = llama.config.max_position_embeddings.saturating_mul(MOST_WHOLE_SEQUENCES);
        Engine::with_cache(llama, tokenizer, rows.min(most), kept)
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

    /// Whether what one sequence has read serves others that begin alike; it does from the start. The
    /// answers are the same.
    pub fn set_sharing(&mut self, on: bool) {
        self.shares = on;
    }

    /// Tokens of prompt and answer together at most.
    pub fn longest(&self) -> usize {
        self.llama.config.max_position_embeddings.min(self.cache.rows())
    }

    /// How weights are held, in a word.
    pub fn weights(&self) -> &'static str {
        word(self.llama.parameters.head().dtype())
    }

    /// Bytes of the weights.
    pub fn weight_bytes(&self) -> usize {
        self.llama.parameters.bytes()
    }

    /// How keys and values are kept, in a word.
    pub fn kept_as(&self) -> &'static str {
        word(self.kept)
    }

    /// The cache.
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// What it is busy with.
    pub fn status(&self) -> Status {
        let rows_kept = self.prefixes.rows();
        Status {
            running: self.running.len(),
            waiting: self.waiting.len(),
            rows_kept,
            rows_lent: self.status.rows - self.slots.rows() - rows_kept,
            ..self.status
        }
    }

    /// Puts a request in the queue.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, EngineError> {
        self.submit_with(request, Details::default())
    }

    /// Puts a request that asks for more than text in the queue.
    pub fn submit_with(
        &mut self,
        request: Request,
        details: Details,
    ) -> Result<RequestId, EngineError> {
        self.check(&request, &details)?;
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.waiting.insert((details.turn, id), (request, details));
        Ok(id)
    }

    /// Ends a request without a further emission; its slot is free at once. Nothing happens if it has
    /// ended already.
    pub fn cancel(&mut self, id: RequestId) {
        self.waiting.retain(|(_, waiting), _| *waiting != id);
        self.release(id);
    }

    /// The turn of the last request that got room, if it was later than those before it.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// Whether nothing runs and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// One call of the model; for each running sequence no token while it reads its prompt, then
    /// one, or several where it guessed well.
    pub fn step(&mut self) -> Result<Vec<Emission>, EngineError> {
        self.admit();
        self.follow();
        let parts = share_out(&self.running);
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        self.guess(&parts);
        let batch = self.gather(&parts);
        if let Err(error) = self.make_room_for_logits(batch.wanted.len()) {
            // What was not read must not serve others.
            parts.iter().for_each(|part| self.running[part.sequence].read -= part.rows);
            return Err(error);
        }
        self.llama.forward(&batch, &mut self.cache, &mut self.logits);
        let (mut emissions, mut row) = (Vec::new(), 0);
        for part in &parts {
            row = self.tell_prompt(part, row);
            if part.writes {
                let guesses = self.running[part.sequence].drafts.guesses().len();
                self.write(part.sequence, row, &mut emissions);
                row += 1 + guesses;
            }
        }
        self.retire(&emissions);
        Ok(emissions)
    }

    fn check(&self, request: &Request, details: &Details) -> Result<(), EngineError> {
        request.sampling.check()?;
        let (prompt, new) = (request.prompt.len(), request.max_new_tokens);
        let limit = self.longest();
        let wrong = |name, value, expected| Err(EngineError::Sampling { name, value, expected });
        if new == 0 && !details.of_prompt {
            return wrong("max_new_tokens", 0.0, "1 or more");
        }
        if prompt == 0 {
            return Err(EngineError::EmptyPrompt);
        }
        if prompt.saturating_add(new) > limit {
            return Err(EngineError::TooLong { prompt, new, limit });
        }
        if let Some(&(_, bias)) = details.logit_bias.iter().find(|(_, bias)| !bias.is_finite()) {
            return wrong("logit_bias", bias, "finite numbers");
        }
        let vocab_size = self.llama.config.vocab_size;
        let biased = details.logit_bias.iter().map(|(id, _)| id);
        match request.prompt.iter().chain(biased).find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(EngineError::UnknownToken { id, vocab_size }),
            None => Ok(()),
        }
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
            let left = sequence.request.max_new_tokens.saturating_sub(sequence.written() + 1);
            let room = if self.speculates { ROWS_OF_A_STEP - pass.rows } else { 0 };
            let most = left.min(room);
            sequence.drafts.guess(&sequence.tokens, most, &mut pass);
        }
    }

    /// The rows of a step: unread tokens, then guesses; logits after the last token and after each
    /// guess, and after each token of a prompt that is told how likely it is.
    fn gather(&mut self, parts: &[Part]) -> Batch {
        let (mut ids, mut spans, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            let sequence = &mut self.running[part.sequence];
            let start = ids.len();
            ids.extend(&sequence.tokens[sequence.read..sequence.read + part.rows]);
            sequence.read += part.rows;
            if part.writes {
                ids.extend(sequence.drafts.guesses());
            }
            let before_last = if sequence.tells_prompt() { 0 } else { part.rows - 1 };
            if part.writes || sequence.tells_prompt() {
                wanted.extend((start + before_last) as u32..ids.len() as u32);
            }
            let seen = sequence.read + ids.len() - start - part.rows;
            let first = sequence.slot.start;
            spans.push(Span { queries: start..ids.len(), keys: first..first + seen });
        }
        Batch { ids, spans: Spans::new(spans), wanted }
    }

    /// Tells how likely the tokens of a prompt are that its rows before the last predict; returns the
    /// first row of logits after those.
    fn tell_prompt(&mut self, part: &Part, first_row: usize) -> usize {
        let sequence = &mut self.running[part.sequence];
        self.status.prompt_tokens += if sequence.written() == 0 { part.rows as u64 } else { 0 };
        if !sequence.tells_prompt() {
            return first_row;
        }
        let rows = part.rows - usize::from(part.writes);
        let count = sequence.details.logprobs.unwrap_or(0);
        let Some(told) = &mut sequence.prompt else { return first_row };
        let next = sequence.read - part.rows + 1;
        for (row, &token) in sequence.tokens[next..next + rows].iter().enumerate() {
            self.logits.read_rows(first_row + row, &mut self.row);
            told.logprobs.extend(logprobs_of(&self.row, token, count));
        }
        first_row + rows
    }

    /// Chooses the next token of a sequence from its first row of logits, then goes on for as long
    /// as what it guessed is what it chose. Cache rows of wrong guesses are written again later.
    fn write(&mut self, sequence: usize, first_row: usize, emissions: &mut Vec<Emission>) {
        let sequence = &mut self.running[sequence];
        let cached = sequence.prompt.as_ref().map_or(0, |prompt| prompt.cached);
        self.status.cached_tokens += cached as u64;
        if sequence.request.max_new_tokens == 0 {
            return emissions.push(sequence.end_unwritten());
        }
        for guess in 0.. {
            self.logits.read_rows(first_row + guess, &mut self.row);
            let (emission, guessed) =
                choose(sequence, &mut self.row, &mut self.sampler, guess, &self.end_tokens);
            let goes_on = guessed && emission.finish.is_none();
            emissions.push(emission);
            self.status.written_tokens += 1;
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
            self.release(ended.request);
        }
    }
}

/// The next token of a sequence from a row of logits, and whether it is guess number `guess`.
fn choose(
    sequence: &mut Sequence<'_>,
    row: &mut [f32],
    sampler: &mut Sampler,
    guess: usize,
    end_tokens: &[u32],
) -> (Emission, bool) {
    let (seen, sampling) = (&sequence.tokens, &sequence.request.sampling);
    let (index, asked) = (sequence.written() as u64, sequence.details.logprobs);
    // The sampler works in the row; what the model said must be told of what it said.
    let said = asked.map(|_| row.to_vec());
    for &(id, bias) in &sequence.details.logit_bias {
        row[id as usize] += bias;
    }
    let chosen = sampler.sample(row, seen, sampling, index);
    let guessed = chosen.is_some_and(|token| sequence.drafts.came_true(guess, token, seen));
    let told = said.zip(chosen).zip(asked);
    let logprobs = told.and_then(|((said, token), count)| logprobs_of(&said, token, count));
    (sequence.write(chosen, logprobs, end_tokens), guessed)
}

/// The word for a type on the command line.
fn word(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::Bf16 | DType::PackedBf16 => "bf16",
        DType::Q8 | DType::Q8Rows => "q8",
        DType::Q4 => "q4",
        DType::Remainder => "remainder",
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
