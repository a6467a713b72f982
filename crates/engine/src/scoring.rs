//! How likely continuations are: the log-likelihood requests of lm-evaluation-harness.
//!
//! Requests are laid end to end in one batch without padding; logits are computed only at the
//! positions that are scored. Knows token ids, not tasks.

use crate::error::EngineError;
use kollama_kernels::{DType, Span, Spans};
use kollama_llama::{Batch, KvCache, Llama};
use std::sync::Arc;

/// Rows of the cache until a longer request comes: positions that a model merely allows cost nothing.
const ROWS_AT_FIRST: usize = 2048;

/// A context and what might follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreRequest {
    /// Ids before the continuation; where empty, the scorer's prefix token stands in.
    pub context: Vec<u32>,
    /// Ids whose likelihood is asked for; at least one.
    pub continuation: Vec<u32>,
}

/// The answer to a [`ScoreRequest`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Σ ln p over the ids of the continuation.
    pub logprob: f64,
    /// Whether each of them was the likeliest (the first, among equals).
    pub is_greedy: bool,
    /// How many ids were scored.
    pub num_tokens: usize,
}

/// A model and the memory to score with.
pub struct Scorer {
    llama: Arc<Llama>,
    cache: KvCache,
    kept: DType,
    prefix: Option<u32>,
}

/// One request cut to the positions of the model: what is read, and from which row on it counts.
struct Window {
    ids: Vec<u32>,
    labels: Vec<i32>,
}

impl Scorer {
    /// `prefix` stands for an empty context (the end token, as in lm-evaluation-harness).
    pub fn new(
        llama: impl Into<Arc<Llama>>,
        prefix: Option<u32>,
    ) -> Result<Scorer, EngineError> {
        let llama = llama.into();
        let kept = llama.cache_dtype();
        Scorer::with_cache(llama, prefix, kept)
    }

    /// As [`Scorer::new`], with keys and values kept as `kept` (see [`KvCache::new_as`]).
    pub fn with_cache(
        llama: impl Into<Arc<Llama>>,
        prefix: Option<u32>,
        kept: DType,
    ) -> Result<Scorer, EngineError> {
        let llama = llama.into();
        let rows = llama.config.max_position_embeddings.min(ROWS_AT_FIRST);
        let cache = KvCache::new_as(&llama.config, &llama.device, rows, kept)?;
        Ok(Scorer { llama, cache, kept, prefix })
    }

    /// The model.
    pub fn llama(&self) -> &Llama {
        &self.llama
    }

    /// The model, for an engine beside this scorer.
    pub fn share_llama(&self) -> Arc<Llama> {
        Arc::clone(&self.llama)
    }

    /// What keys and values are kept as.
    pub fn kept(&self) -> DType {
        self.kept
    }

    /// Tokens the model reads at once: longer requests are cut from the left.
    pub fn window(&self) -> usize {
        self.llama.config.max_position_embeddings
    }

    /// Scores requests in order; `progress` is told how many are done. The memory grows to the
    /// longest of them, cut to the window, and stays that large.
    pub fn score(
        &mut self,
        requests: &[ScoreRequest],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Score>, EngineError> {
        self.make_room(requests)?;
        let mut scores = Vec::with_capacity(requests.len());
        let mut waiting = Vec::new();
        for request in requests {
            let window = self.cut(request)?;
            let rows: usize = waiting.iter().map(|window: &Window| window.ids.len()).sum();
            if rows + window.ids.len() > self.cache.rows() {
                scores.extend(self.run(&waiting)?);
                waiting.clear();
                progress(scores.len());
            }
            waiting.push(window);
        }
        scores.extend(self.run(&waiting)?);
        progress(scores.len());
        Ok(scores)
    }

    fn make_room(&mut self, requests: &[ScoreRequest]) -> Result<(), EngineError> {
        let longest = requests.iter().map(|request| self.rows_of(request)).max().unwrap_or(0);
        if longest > self.cache.rows() {
            let Scorer { llama, kept, .. } = &*self;
            self.cache = KvCache::new_as(&llama.config, &llama.device, longest, *kept)?;
        }
        Ok(())
    }

    /// Rows that [`Scorer::cut`] leaves of a request.
    fn rows_of(&self, request: &ScoreRequest) -> usize {
        let ids = request.context.len().max(1) + request.continuation.len();
        (ids - 1).min(self.window())
    }

    /// `(context + continuation)[-(window + 1):][:-1]` is read, the continuation is predicted.
    fn cut(&self, request: &ScoreRequest) -> Result<Window, EngineError> {
        if request.continuation.is_empty() {
            return Err(EngineError::EmptyContinuation);
        }
        let mut ids = request.context.clone();
        if ids.is_empty() {
            ids.push(self.prefix.ok_or(EngineError::NoPrefixToken)?);
        }
        ids.extend(&request.continuation);
        self.check_ids(&ids)?;
        ids.drain(..ids.len().saturating_sub(self.window() + 1));
        let scored = request.continuation.len().min(ids.len() - 1);
        let labels = ids[ids.len() - scored..].iter().map(|&id| id as i32).collect();
        ids.pop();
        Ok(Window { ids, labels })
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), EngineError> {
        let vocab_size = self.llama.config.vocab_size;
        match ids.iter().find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(EngineError::UnknownToken { id, vocab_size }),
            None => Ok(()),
        }
    }

    fn run(&mut self, windows: &[Window]) -> Result<Vec<Score>, EngineError> {
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let batch = lay_out(windows);
        let labels: Vec<i32> = windows.iter().flat_map(|w| w.labels.iter().copied()).collect();
        let rows = self.llama.score(&batch, &labels, &mut self.cache);
        let mut rows = rows.into_iter();
        let scores: Vec<Score> =
            windows.iter().map(|window| sum_up(rows.by_ref().take(window.labels.len()))).collect();
        let finite = scores.iter().all(|score| score.logprob.is_finite());
        if finite { Ok(scores) } else { Err(EngineError::NotFinite) }
    }
}

/// All windows in one batch, each in cache rows of its own.
fn lay_out(windows: &[Window]) -> Batch {
    let mut ids = Vec::new();
    let mut spans = Vec::new();
    let mut wanted = Vec::new();
    for window in windows {
        let start = ids.len();
        ids.extend(&window.ids);
        spans.push(Span { queries: start..ids.len(), keys: start..ids.len() });
        wanted.extend((ids.len() - window.labels.len()..ids.len()).map(|row| row as u32));
    }
    Batch { ids, spans: Spans::new(spans), wanted }
}

fn sum_up(rows: impl Iterator<Item = (f32, bool)>) -> Score {
    let none = Score { logprob: 0.0, is_greedy: true, num_tokens: 0 };
    rows.fold(none, |sum, (loss, greedy)| Score {
        logprob: sum.logprob - f64::from(loss),
        is_greedy: sum.is_greedy && greedy,
        num_tokens: sum.num_tokens + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kollama_kernels::Device;
    use kollama_llama::{LlamaConfig, StoredType, init_checkpoint};

    fn scorer(positions: usize) -> Scorer {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let tiny = LlamaConfig::preset("tiny").unwrap();
        let config = LlamaConfig {
            vocab_size: 300,
            max_position_embeddings: positions,
            initializer_range: 0.3,
            ..tiny
        };
        init_checkpoint(&config, 5, StoredType::F32, &path, &mut |_, _| ()).unwrap();
        Scorer::new(Llama::open(&path, &Device::cpu(2).unwrap()).unwrap(), Some(2)).unwrap()
    }

    fn request(length: u32) -> ScoreRequest {
        let context = (0..length).map(|place| place * 7 % 300).collect();
        ScoreRequest { context, continuation: vec![5, 6, 7] }
    }

    #[test]
    fn memory_follows_the_longest_request_and_not_the_positions() {
        let mut scorer = scorer(131_072);
        assert_eq!(scorer.cache.rows(), ROWS_AT_FIRST);
        let requests = [request(20), request(2500), request(0), request(30)];
        let together = scorer.score(&requests, &mut |_| ()).unwrap();
        assert_eq!(scorer.cache.rows(), 2500 + 2, "the last id is predicted, not read");
        for (request, together) in requests.iter().zip(together) {
            let window = scorer.cut(request).unwrap();
            assert_eq!(window.ids.len(), scorer.rows_of(request));
            let mut roomy = KvCache::new(&scorer.llama.config, &scorer.llama.device, 4096).unwrap();
            let labels = window.labels.clone();
            let rows = scorer.llama.score(&lay_out(&[window]), &labels, &mut roomy);
            assert_eq!(together, sum_up(rows.into_iter()));
        }
    }

    #[test]
    fn memory_never_exceeds_the_window() {
        let mut scorer = scorer(64);
        assert_eq!(scorer.cache.rows(), 64);
        let scores = scorer.score(&[request(200), request(10)], &mut |_| ()).unwrap();
        assert_eq!(scores.len(), 2);
        assert_eq!(scorer.cache.rows(), 64);
    }
}
