//! One request that runs: its tokens, how far the cache holds them, and the text that has become
//! certain. Knows nothing of other sequences, of logits or of the model.

use crate::drafts::Drafts;
use crate::request::{Details, Emission, Finish, PromptRead, Request, RequestId, TokenLogprobs};
use crate::stops::StopWatch;
use crate::text::TextStream;
use kollama_tokenizer::Tokenizer;
use std::ops::Range;

/// A request and what has become of it so far.
pub struct Sequence<'t> {
    /// Whose answer it is.
    pub id: RequestId,
    /// What was asked for.
    pub request: Request,
    /// What was asked for besides.
    pub details: Details,
    /// Prompt and answer.
    pub tokens: Vec<u32>,
    /// How many of them the cache holds.
    pub read: usize,
    /// Rows of the cache that it may use.
    pub slot: Range<usize>,
    /// Another sequence that reads, or will read, so many of the same first tokens.
    pub follows: Option<(RequestId, usize)>,
    /// Guesses at what comes next.
    pub drafts: Drafts,
    /// What the first emission tells of the prompt.
    pub prompt: Option<PromptRead>,
    text: TextStream<'t>,
    stops: StopWatch,
}

impl<'t> Sequence<'t> {
    /// Nothing is read yet.
    pub fn new(
        id: RequestId,
        (request, details): (Request, Details),
        slot: Range<usize>,
        tokenizer: &'t Tokenizer,
    ) -> Self {
        let mut text = TextStream::new(tokenizer);
        request.prompt.iter().for_each(|&token| drop(text.push(token)));
        let mut tokens = Vec::with_capacity(slot.len());
        tokens.extend(&request.prompt);
        Sequence {
            id,
            stops: StopWatch::new(&request.stop),
            request,
            details,
            tokens,
            read: 0,
            drafts: Drafts::new(slot.len()),
            slot,
            follows: None,
            prompt: Some(PromptRead::default()),
            text,
        }
    }

    /// Whether log-probabilities of its prompt are still to be told.
    pub fn tells_prompt(&self) -> bool {
        self.details.of_prompt && self.prompt.is_some()
    }

    /// Takes over `rows` that hold its first tokens.
    pub fn found(&mut self, rows: usize) {
        self.read = rows;
        self.follows = None;
        self.prompt = Some(PromptRead { cached: rows, ..PromptRead::default() });
    }

    /// Tokens of the answer so far.
    pub fn written(&self) -> usize {
        self.tokens.len() - self.request.prompt.len()
    }

    /// Takes the next token, or that there is none, and says what became certain.
    pub fn write(
        &mut self,
        chosen: Option<u32>,
        logprobs: Option<TokenLogprobs>,
        end_tokens: &[u32],
    ) -> Emission {
        let prompt = self.prompt.take();
        Emission { logprobs, prompt, ..self.take(chosen, end_tokens) }
    }

    /// The only emission of a sequence that was only to be read.
    pub fn end_unwritten(&mut self) -> Emission {
        let prompt = self.prompt.take();
        Emission { prompt, ..self.emission(0, String::new(), Some(Finish::Length)) }
    }

    fn take(&mut self, chosen: Option<u32>, end_tokens: &[u32]) -> Emission {
        let Some(token) = chosen else { return self.end(0, Finish::Failed) };
        if end_tokens.contains(&token) {
            return self.end(token, Finish::EndToken);
        }
        self.tokens.push(token);
        let piece = self.text.push(token);
        let watched = self.stops.push(&piece);
        if watched.stopped {
            return self.emission(token, watched.text, Some(Finish::Stop));
        }
        if self.written() == self.request.max_new_tokens {
            let mut last = self.end(token, Finish::Length);
            last.text.insert_str(0, &watched.text);
            return last;
        }
        self.emission(token, watched.text, None)
    }

    /// The last emission: what was held back becomes certain.
    fn end(&mut self, token: u32, finish: Finish) -> Emission {
        let rest = self.text.finish();
        let watched = self.stops.push(&rest);
        let text = watched.text + &self.stops.finish();
        let finish = if watched.stopped { Finish::Stop } else { finish };
        self.emission(token, text, Some(finish))
    }

    fn emission(&self, token: u32, text: String, finish: Option<Finish>) -> Emission {
        Emission { request: self.id, token, text, logprobs: None, prompt: None, finish }
    }
}
