//! Answers that are known already, in a file that only grows: an evaluation that was killed goes on
//! where it was, and one that asks what another has asked needs no model for it.
//!
//! A line is one answer: the first half of a SHA-256 over the model and the ids of context and
//! continuation, the likelihood with every digit, whether it is the likeliest, and how many ids were
//! scored. Which task asked, in which mode and with how many shots, makes no difference. The model is
//! its configuration, every bit of its weights as they are held, what keys and values are kept as, and
//! the version of this program; not the instructions of the processor, whose paths may differ in the
//! last bits of an answer. A last line that was torn by a kill is cut off; the file belongs to one process at a
//! time. Lines reach the system after a few thousand bytes or a second and the disk every half minute, so a
//! kill costs the work of a second at most.

use crate::error::HarnessError;
use kollama_engine::{Score, ScoreRequest, Scorer};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The first line of the file.
const TITLE: &str = "kollama request cache 1\n";
const WRITTEN_EVERY: Duration = Duration::from_secs(1);
/// Bytes that do not wait for that second.
const WRITTEN_AFTER: usize = 4096;
const SYNCED_EVERY: Duration = Duration::from_secs(30);

/// Half of a SHA-256.
type Key = [u8; 16];

/// The answers of one model, known and new.
pub struct RequestCache {
    path: PathBuf,
    file: File,
    /// See [`model_of`].
    model: String,
    known: HashMap<Key, Score>,
    /// Lines that the file does not have yet.
    unwritten: String,
    last_written: Instant,
    last_synced: Instant,
    answered: usize,
}

impl RequestCache {
    /// Opens or begins the file, for the model of `scorer`.
    ///
    /// # Errors
    /// If the file cannot be read or written, is something else, has a line that is no answer, or
    /// belongs to another process.
    pub fn open(path: &Path, scorer: &Scorer) -> Result<RequestCache, HarnessError> {
        let read = |source| HarnessError::Read { path: path.into(), source };
        let write = |source| HarnessError::Write { path: path.into(), source };
        let options = File::options().read(true).append(true).create(true).clone();
        let mut file = options.open(path).map_err(write)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(source) => write(source),
            TryLockError::WouldBlock => HarnessError::CacheInUse { path: path.into() },
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(read)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let known = parse(path, &bytes[..whole], &bytes[whole..])?;
        file.set_len(whole as u64).map_err(write)?;
        let now = Instant::now();
        let mut cache = RequestCache {
            path: path.into(),
            file,
            model: model_of(scorer),
            known,
            unwritten: String::new(),
            last_written: now,
            last_synced: now,
            answered: 0,
        };
        if whole == 0 {
            cache.unwritten.push_str(TITLE);
            cache.write()?;
        }
        Ok(cache)
    }

    /// Answers that came from the file so far, and not from the model.
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// As [`Scorer::score`], with a model that is asked only what is not known; `progress` counts
    /// both.
    ///
    /// # Errors
    /// As [`Scorer::score`], and if the file cannot be written.
    pub fn score(
        &mut self,
        scorer: &mut Scorer,
        requests: &[ScoreRequest],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Score>, HarnessError> {
        let keys: Vec<Key> = requests.iter().map(|request| self.key(scorer, request)).collect();
        let mut scores: Vec<Option<Score>> =
            keys.iter().map(|key| self.known.get(key).copied()).collect();
        let asked: Vec<usize> = (0..keys.len()).filter(|&i| scores[i].is_none()).collect();
        let mut done = requests.len() - asked.len();
        self.answered += done;
        progress(done);
        let missing: Vec<&ScoreRequest> = asked.iter().map(|&i| &requests[i]).collect();
        let mut written = Ok(());
        scorer.score_each(&missing, &mut |place, score| {
            let request = asked[place];
            scores[request] = Some(score);
            done += 1;
            progress(done);
            written = self.add(keys[request], score);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written?;
        self.write()?;
        Ok(scores.into_iter().flatten().collect())
    }

    /// Context and continuation each with their length, so that it matters where one ends.
    fn key(&self, scorer: &Scorer, request: &ScoreRequest) -> Key {
        let mut hash = Sha256::new();
        hash.update(&self.model);
        let prefix = scorer.prefix();
        let context = match request.context.as_slice() {
            [] => prefix.as_slice(),
            context => context,
        };
        for ids in [context, &request.continuation] {
            hash.update((ids.len() as u64).to_le_bytes());
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            hash.update(bytes);
        }
        let mut key = Key::default();
        key.copy_from_slice(&hash.finalize()[..16]);
        key
    }

    fn add(&mut self, key: Key, score: Score) -> Result<(), HarnessError> {
        let Score { logprob, is_greedy, num_tokens } = score;
        if self.known.insert(key, score).is_none() {
            let key = u128::from_be_bytes(key);
            let greedy = u8::from(is_greedy);
            let line = writeln!(self.unwritten, "{key:032x} {logprob:?} {greedy} {num_tokens}");
            line.map_err(|error| self.failed(io::Error::other(error)))?;
        }
        let is_due = self.last_written.elapsed() >= WRITTEN_EVERY;
        if is_due || self.unwritten.len() >= WRITTEN_AFTER { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), HarnessError> {
        let written = self.file.write_all(self.unwritten.as_bytes());
        written.map_err(|source| self.failed(source))?;
        self.unwritten.clear();
        self.last_written = Instant::now();
        if self.last_synced.elapsed() >= SYNCED_EVERY {
            self.file.sync_data().map_err(|source| self.failed(source))?;
            self.last_synced = Instant::now();
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> HarnessError {
        HarnessError::Write { path: self.path.clone(), source }
    }
}

impl Drop for RequestCache {
    /// What an evaluation that failed had found out is kept. Nobody hears of an error here.
    fn drop(&mut self) {
        let _lost = self.write().and_then(|()| self.file.sync_data().map_err(|e| self.failed(e)));
        // Not left to the end of the file: a process that was just begun from here may still hold it.
        let _closed = self.file.unlock();
    }
}

/// Everything that answers depend on but the request.
fn model_of(scorer: &Scorer) -> String {
    let (version, model, kept) =
        (env!("CARGO_PKG_VERSION"), scorer.llama().fingerprint(), scorer.kept());
    format!("kollama {version} {model} {kept:?}")
}

/// The answers in the whole lines of a file; `torn` is what follows them.
fn parse(path: &Path, lines: &[u8], torn: &[u8]) -> Result<HashMap<Key, Score>, HarnessError> {
    let bad = |line| HarnessError::BadCache { path: path.into(), line };
    if lines.is_empty() {
        // The title itself may be torn.
        return if TITLE.as_bytes().starts_with(torn) { Ok(HashMap::new()) } else { Err(bad(1)) };
    }
    let Some(answers) = lines.strip_prefix(TITLE.as_bytes()) else { return Err(bad(1)) };
    let lines = answers.split_inclusive(|&byte| byte == b'\n').enumerate();
    lines.map(|(number, line)| answer(line).ok_or_else(|| bad(number + 2))).collect()
}

fn answer(line: &[u8]) -> Option<(Key, Score)> {
    let fields: Vec<&str> = std::str::from_utf8(line).ok()?.trim_end().split(' ').collect();
    let [key, logprob, greedy, num_tokens] = fields[..] else { return None };
    let key = u128::from_str_radix(key, 16).ok().filter(|_| key.len() == 32)?.to_be_bytes();
    let logprob: f64 = logprob.parse().ok().filter(|x: &f64| x.is_finite())?;
    let is_greedy = matches!(greedy, "0" | "1").then_some(greedy == "1")?;
    Some((key, Score { logprob, is_greedy, num_tokens: num_tokens.parse().ok()? }))
}
