//! One request that runs: its tokens, how far the cache holds them, and the text that has become
//! certain. Knows nothing of other sequences, of logits or of the model.

use crate::drafts::Drafts;
use crate::request::{Emission, Finish, Request, RequestId};
use crate::stops::StopWatch;
use kollama_tokenizer::{DecodeStream, Tokenizer};
use std::ops::Range;

/// A request and what has become of it so far.
pub struct Sequence<'t> {
    /// Whose answer it is.
    pub id: RequestId,
    /// What was asked for.
    pub request: Request,
    /// Prompt and answer.
    pub tokens: Vec<u32>,
    /// How many of them the cache holds.
    pub read: usize,
    /// Rows of the cache that it may use.
    pub slot: Range<usize>,
    /// Guesses at what comes next.
    pub drafts: Drafts,
    text: DecodeStream<'t>,
    /// End of the prompt's text that the stream still holds: a run of byte tokens is certain only
    /// when it has ended.
    held_prompt: String,
    stops: StopWatch,
}

impl<'t> Sequence<'t> {
    /// Nothing is read yet.
    pub fn new(
        id: RequestId,
        request: Request,
        slot: Range<usize>,
        tokenizer: &'t Tokenizer,
    ) -> Self {
        let mut text = tokenizer.decode_stream();
        let given: usize = request.prompt.iter().map(|&token| text.push(token).len()).sum();
        let held_prompt = tokenizer.decode(&request.prompt).split_off(given);
        let stops = StopWatch::new(&request.stop);
        let mut tokens = Vec::with_capacity(slot.len());
        tokens.extend(&request.prompt);
        let drafts = Drafts::new(slot.len());
        Sequence { id, request, tokens, read: 0, slot, drafts, text, held_prompt, stops }
    }

    /// Tokens of the answer so far.
    pub fn written(&self) -> usize {
        self.tokens.len() - self.request.prompt.len()
    }

    /// Takes the next token, or that there is none, and says what became certain.
    pub fn write(&mut self, chosen: Option<u32>, end_tokens: &[u32]) -> Emission {
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
        if self.written() == self.request.max_new_tokens {
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

/// Takes the held end of the prompt off the first text that the stream gives.
fn without<'a>(held: &mut String, piece: &'a str) -> &'a str {
    if piece.is_empty() {
        return piece;
    }
    piece.strip_prefix(std::mem::take(held).as_str()).unwrap_or(piece)
}
