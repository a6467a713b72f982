//! Answers that the model writes, token by token, always the likeliest: many at once in one engine.
//! What they are worth is a matter of [`crate::answers`].
//!
//! A prompt that leaves no room for the answer loses its beginning, as in both harnesses. The first
//! leaderboard then also lost the beginning of the answer: it took what comes after as many tokens
//! as the whole prompt has, though the model had read fewer. That is done here too, for one prompt at
//! a time; with padded batches it lost as many as the longest prompt of the batch was too long.

use crate::answers::{self, Judged};
use crate::error::HarnessError;
use crate::mode::Mode;
use crate::requests;
use crate::task::{Asked, Document, Judge};
use kollama_engine::{
    Emission, Engine, Finish, Request, RequestId, Sampling, ScoreRequest, Scorer, Tokenizer,
};
use std::collections::HashMap;

/// Rows of the cache that answers share, unless one of them needs more.
const ROWS: usize = 8192;

/// What a model wrote for one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The ids it read; nothing is scored after them.
    pub request: ScoreRequest,
    /// Ids of the prompt that it did not read.
    pub lost: usize,
    /// What it wrote, up to the first stop.
    pub text: String,
    /// What that is worth.
    pub judged: Judged,
}

/// One answer on its way.
struct Writing<'a> {
    stop: Vec<String>,
    max_new_tokens: usize,
    answers: &'a [Vec<String>],
    judge: Judge,
    prompt: Vec<u32>,
    lost: usize,
    written: Vec<u32>,
}

/// The answers to `documents`, each after its prompt; documents that do not ask for one get none.
/// The model is the scorer's; `progress` hears how many are done.
pub fn answers(
    mode: Mode,
    asked: &[(&Document, &str)],
    tokenizer: &Tokenizer,
    scorer: &Scorer,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Answer>, HarnessError> {
    let window = scorer.window();
    let mut all = Vec::new();
    for &(document, text) in asked {
        all.extend(begin(mode, document, text, tokenizer, window)?);
    }
    let longest = all.iter().map(|it| it.prompt.len() + it.max_new_tokens).max().unwrap_or(0);
    let rows = ROWS.max(longest);
    let mut engine = Engine::with_cache(scorer.share_llama(), tokenizer, rows, scorer.kept())?;
    write(&mut engine, &mut all, progress)?;
    Ok(all.into_iter().map(|writing| writing.finished(mode, tokenizer)).collect())
}

/// The prompt of a document as ids, cut from the left until the answer fits behind it.
fn begin<'a>(
    mode: Mode,
    document: &'a Document,
    text: &str,
    tokenizer: &Tokenizer,
    window: usize,
) -> Result<Option<Writing<'a>>, HarnessError> {
    let Asked::Written { stop, max_new_tokens, answers, judge } = &document.asked else {
        return Ok(None);
    };
    let (new, judge) = (*max_new_tokens, *judge);
    let room = window.checked_sub(new).filter(|&room| room > 0);
    let room = room.ok_or(HarnessError::NoRoomForAnswer { window, new })?;
    let mut prompt = requests::ids(mode, text, tokenizer);
    let lost = prompt.len().saturating_sub(room);
    prompt.drain(..lost);
    let end = tokenizer.eos_id().and_then(|id| tokenizer.piece(id)).map(str::to_owned);
    let end = end.filter(|end| !stop.contains(end));
    let stop = stop.iter().cloned().chain(end).collect();
    let written = Vec::new();
    Ok(Some(Writing { stop, max_new_tokens: new, answers, judge, prompt, lost, written }))
}

/// Lets the engine run until all answers have ended.
fn write(
    engine: &mut Engine<'_>,
    all: &mut [Writing<'_>],
    progress: &mut dyn FnMut(usize),
) -> Result<(), HarnessError> {
    let mut places: HashMap<RequestId, usize> = HashMap::new();
    for (place, writing) in all.iter().enumerate() {
        places.insert(engine.submit(writing.request())?, place);
    }
    let mut done = 0;
    while !engine.is_idle() {
        for emission in engine.step()? {
            all[places[&emission.request]].take(&emission)?;
            done += usize::from(emission.finish.is_some());
        }
        progress(done);
    }
    Ok(())
}

impl Writing<'_> {
    fn request(&self) -> Request {
        Request {
            prompt: self.prompt.clone(),
            max_new_tokens: self.max_new_tokens,
            sampling: Sampling::GREEDY,
            stop: self.stop.clone(),
        }
    }

    fn take(&mut self, emission: &Emission) -> Result<(), HarnessError> {
        match emission.finish {
            Some(Finish::Failed) => return Err(kollama_engine::EngineError::NotFinite.into()),
            Some(Finish::EndToken) => {}
            _ => self.written.push(emission.token),
        }
        Ok(())
    }

    /// The ids as one text, cut at each stop in turn, and its worth.
    fn finished(self, mode: Mode, tokenizer: &Tokenizer) -> Answer {
        let unseen = if mode == Mode::LmEval { 0 } else { self.lost.min(self.written.len()) };
        let mut text = tokenizer.decode(&self.written[unseen..]);
        for stop in &self.stop {
            text.truncate(text.find(stop).unwrap_or(text.len()));
        }
        let judged = answers::judge(self.judge, &text, self.answers);
        let request = ScoreRequest { context: self.prompt, continuation: Vec::new() };
        Answer { request, lost: self.lost, text, judged }
    }
}
