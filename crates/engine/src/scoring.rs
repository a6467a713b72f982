//! How likely continuations are: the log-likelihood requests of lm-evaluation-harness.
//!
//! All requests of a call are one tree of token ids (`prefix_tree.rs`), which is walked depth first
//! in full batches (`prefix_walk.rs`). Logits are computed only at positions that are scored, each
//! once for all labels that may follow there. A row of a batch does not depend on the rows beside it,
//! so neither sharing nor the order of requests changes a bit of an answer. Knows token ids, not tasks.

use crate::error::EngineError;
use crate::likelihood::{Score, ScoreRequest};
use crate::prefix_tree::{PrefixTree, Tokens};
use crate::prefix_walk::PrefixWalk;
use kollama_kernels::DType;
use kollama_llama::{KvCache, Llama};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Rows of the cache until a longer request comes: positions that a model merely allows cost nothing.
const ROWS_AT_FIRST: usize = 2048;
/// Rows of a batch: as many as the model takes through its layers at once.
const ROWS_OF_A_BATCH: usize = 512;
/// So many rows wait before they are projected to logits together.
const ROWS_PROJECTED: usize = 128;

/// A model and the memory to score with.
pub struct Scorer {
    llama: Arc<Llama>,
    cache: KvCache,
    kept: DType,
    prefix: Option<u32>,
    shares: bool,
    tokens: Tokens,
}

/// What a [`Scorer`] holds besides the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScorerMemory {
    /// Tokens whose keys and values fit: the longest request and one batch.
    pub rows: usize,
    /// Bytes of these and of the room to work in.
    pub bytes: usize,
}

impl Scorer {
    /// `prefix` stands for an empty context (the end token, as in lm-evaluation-harness).
    pub fn new(llama: impl Into<Arc<Llama>>, prefix: Option<u32>) -> Result<Scorer, EngineError> {
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
        let tokens = Tokens::default();
        Ok(Scorer { llama, cache, kept, prefix, shares: true, tokens })
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

    /// What stands for an empty context.
    pub fn prefix(&self) -> Option<u32> {
        self.prefix
    }

    /// Whether what requests begin with alike is read once; it is from the start. The answers are the
    /// same bits either way.
    pub fn set_sharing(&mut self, on: bool) {
        self.shares = on;
    }

    /// Tokens of all calls so far: with every request read for itself, and those that were read.
    pub fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// What it holds now; a call with a longer request than any before makes it grow.
    pub fn memory(&self) -> ScorerMemory {
        ScorerMemory { rows: self.cache.rows(), bytes: self.cache.bytes() }
    }

    /// Scores requests, in order; `progress` is told how many are done.
    pub fn score(
        &mut self,
        requests: &[ScoreRequest],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Score>, EngineError> {
        let mut scores = vec![None; requests.len()];
        let mut done = 0;
        self.score_each(&requests.iter().collect::<Vec<_>>(), &mut |request, score| {
            scores[request] = Some(score);
            done += 1;
            progress(done);
            ControlFlow::Continue(())
        })?;
        Ok(scores.into_iter().flatten().collect())
    }

    /// Scores requests and hands each answer over, with the number of its request, as soon as it is
    /// known; ends early where that is asked for.
    pub fn score_each(
        &mut self,
        requests: &[&ScoreRequest],
        answered: &mut dyn FnMut(usize, Score) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.check_ids(requests)?;
        let prefix = self.prefix;
        let tree = PrefixTree::new(requests.iter().copied(), self.window(), &prefix, self.shares)?;
        let mut walk = PrefixWalk::new(&tree, ROWS_OF_A_BATCH);
        self.make_room(walk.cache_rows())?;
        self.tokens.plain += tree.tokens.plain;
        let mut answers = Answers { tree: &tree, losses: Vec::new(), handed_out: 0 };
        loop {
            let read = walk.read;
            let Some((moves, batch)) = walk.next_batch() else { break };
            let waiting = self.cache.waiting_rows();
            if waiting >= ROWS_PROJECTED || waiting + batch.wanted.len() > self.cache.rows() {
                answers.take_in(self.project(&tree, answers.losses.len(), read))?;
                if answers.hand_out(answered).is_break() {
                    return Ok(());
                }
            }
            for step in moves {
                self.cache.copy_rows(step.rows, step.to);
            }
            self.llama.read(&batch, &mut self.cache);
            self.tokens.read += batch.ids.len() as u64;
        }
        answers.take_in(self.project(&tree, answers.losses.len(), walk.read))?;
        let _ended = answers.hand_out(answered);
        Ok(())
    }

    /// Losses of the rows that wait: all rows before `read` that somebody asks about, but those whose
    /// losses are `known`.
    fn project(&mut self, tree: &PrefixTree, known: usize, read: u64) -> Vec<(f32, bool)> {
        let asked = &tree.asked[known..tree.asked_before(read)];
        let mut waiting = 0;
        let follows = asked.iter().zip(asked.iter().skip(1)).map(|(one, next)| one.0 != next.0);
        let rows = std::iter::once(false).chain(follows).map(|is_next| {
            waiting += u32::from(is_next);
            waiting
        });
        let asked: Vec<(u32, u32)> = rows.zip(asked.iter().map(|&(_, label)| label)).collect();
        self.llama.losses(&asked, &mut self.cache)
    }

    fn make_room(&mut self, rows: usize) -> Result<(), EngineError> {
        if rows > self.cache.rows() {
            let Scorer { llama, kept, .. } = &*self;
            self.cache = KvCache::new_as(&llama.config, &llama.device, rows, *kept)?;
        }
        Ok(())
    }

    fn check_ids(&self, requests: &[&ScoreRequest]) -> Result<(), EngineError> {
        let vocab_size = self.llama.config.vocab_size;
        let stands_in = requests.iter().any(|request| request.context.is_empty());
        let prefix = self.prefix.filter(|_| stands_in);
        let ids = requests.iter().flat_map(|r| r.context.iter().chain(&r.continuation));
        match ids.chain(&prefix).find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(EngineError::UnknownToken { id, vocab_size }),
            None => Ok(()),
        }
    }
}

/// What is known so far about the labels of a tree.
struct Answers<'a> {
    tree: &'a PrefixTree<'a>,
    /// Of the first of [`PrefixTree::asked`].
    losses: Vec<(f32, bool)>,
    /// Branches whose scores were handed out.
    handed_out: usize,
}

impl Answers<'_> {
    fn take_in(&mut self, losses: Vec<(f32, bool)>) -> Result<(), EngineError> {
        if losses.iter().any(|(loss, _)| !loss.is_finite()) {
            return Err(EngineError::NotFinite);
        }
        self.losses.extend(losses);
        Ok(())
    }

    /// Every branch from the last one on whose labels are all known.
    fn hand_out(
        &mut self,
        answered: &mut dyn FnMut(usize, Score) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for branch in &self.tree.branches[self.handed_out..] {
            let first = branch.first_answer;
            let places = &self.tree.answers[first..first + branch.window.labels.len()];
            if places.iter().any(|&place| place >= self.losses.len()) {
                break;
            }
            answered(branch.request, Score::of(places.iter().map(|&place| self.losses[place])))?;
            self.handed_out += 1;
        }
        ControlFlow::Continue(())
    }
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
        assert_eq!(scorer.memory().rows, ROWS_AT_FIRST);
        let requests = [request(20), request(2500), request(0), request(30)];
        let together = scorer.score(&requests, &mut |_| ()).unwrap();
        // The last id of the longest is predicted, not read; then come 5 and 6 after 20 and after 30,
        // and the one that begins with the prefix.
        assert_eq!(scorer.memory().rows, 2500 + 2 + 2 + 2 + 3);
        for (request, together) in requests.iter().zip(together) {
            let alone = scorer.score(std::slice::from_ref(request), &mut |_| ()).unwrap();
            assert_eq!(alone, [together]);
        }
        let crowd: Vec<_> =
            (0..300).map(|i| ScoreRequest { context: vec![i; 9], ..request(0) }).collect();
        scorer.score(&crowd, &mut |_| ()).unwrap();
        assert_eq!(scorer.memory().rows, 2509, "many short ones need no more than one batch");
    }

    #[test]
    fn memory_never_exceeds_the_window_and_a_batch() {
        let mut scorer = scorer(64);
        assert_eq!(scorer.memory().rows, 64);
        let requests: Vec<_> = (0..100).map(|i| request(100 + i)).collect();
        assert_eq!(scorer.score(&requests, &mut |_| ()).unwrap().len(), 100);
        assert_eq!(scorer.memory().rows, 64 + ROWS_OF_A_BATCH);
    }

    #[test]
    fn an_answer_comes_as_soon_as_it_is_known_and_the_walk_ends_where_it_is_told_to() {
        let mut scorer = scorer(512);
        let request = |i: u32| ScoreRequest { context: vec![i; 100], continuation: vec![1, 2, 3] };
        let requests: Vec<_> = (0..200).map(request).collect();
        let asked: Vec<_> = requests.iter().collect();
        let mut told = Vec::new();
        let mut first_seventy = |request, score| {
            told.push((request, score));
            if told.len() == 70 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        scorer.score_each(&asked, &mut first_seventy).unwrap();
        assert_eq!(told.len(), 70);
        assert!(scorer.tokens().read < 200 * 102 / 2, "{:?}", scorer.tokens());
        let all = scorer.score(&requests, &mut |_| ()).unwrap();
        assert!(told.iter().all(|&(request, score)| all[request] == score));
    }
}
