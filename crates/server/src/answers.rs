//! What the engine emits, told in the client's terms: text, tokens with their log-probabilities and
//! places, and the end. The same for an answer in one piece and for a stream, which is why their texts
//! are the same. Knows no JSON.

use crate::worker::{Abort, Event};
use kollama_engine::{Emission, Finish, PromptRead, TextStream, TokenLogprobs, Tokenizer};

/// The prompt of one or more answers.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Its text, as an echo gives it.
    pub text: String,
}

/// What is told of a request's answers.
pub struct Teller {
    /// The tokenizer of the model.
    pub tokenizer: Tokenizer,
    /// The prompts, in order.
    pub prompts: Vec<Prompt>,
    /// Answers to each of them.
    pub choices: usize,
    /// Whether the prompt stands before the answer.
    pub echo: bool,
    /// Whether log-probabilities were asked for.
    pub logprobs: bool,
    /// Whether prompts are only read.
    pub only_reads: bool,
    /// Characters told of each answer.
    told: Vec<usize>,
    /// Answers that have not ended.
    pub open: usize,
    /// What was read and written.
    pub usage: Usage,
}

/// Tokens read and written for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of all prompts.
    pub prompt: usize,
    /// Of them, those that were known already.
    pub cached: usize,
    /// Of all answers.
    pub written: usize,
}

/// What became known of one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    /// Which answer.
    pub choice: usize,
    /// Whether nothing was told of this answer before.
    pub is_first: bool,
    /// Its text.
    pub text: String,
    /// Its tokens, where log-probabilities were asked for.
    pub tokens: Vec<Told>,
    /// Why it ended, if it did.
    pub finish: Option<&'static str>,
}

/// A token with its log-probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The token.
    pub id: u32,
    /// ln p; unknown for the first of a prompt.
    pub logprob: Option<f32>,
    /// The likeliest tokens in its place.
    pub likeliest: Vec<(u32, f32)>,
    /// Characters of the told text before it.
    pub offset: usize,
}

impl Teller {
    /// For answers to `prompts`, `choices` to each.
    pub fn new(
        tokenizer: &Tokenizer,
        prompts: Vec<Prompt>,
        choices: usize,
        (echo, logprobs, only_reads): (bool, bool, bool),
    ) -> Teller {
        let answers = prompts.len() * choices;
        let prompt = prompts.iter().map(|prompt| prompt.ids.len()).sum();
        Teller {
            tokenizer: tokenizer.clone(),
            prompts,
            choices,
            echo,
            logprobs,
            only_reads,
            told: vec![0; answers],
            open: answers,
            usage: Usage { prompt, ..Usage::default() },
        }
    }

    /// What an event tells; an error is the engine's.
    pub fn take(&mut self, event: Event) -> Result<Piece, Failure> {
        let piece = match event {
            Event::Failed(problem) => return Err(Failure::Engine(problem)),
            Event::Piece { emission, .. } if emission.finish == Some(Finish::Failed) => {
                let problem = "the model gave logits that are not finite";
                return Err(Failure::Engine(problem.to_owned()));
            }
            Event::Aborted { choice, reason } => {
                self.open -= 1;
                return Err(Failure::Aborted(choice, reason));
            }
            Event::Piece { choice, emission } => self.tell(choice, emission),
        };
        self.open -= usize::from(piece.finish.is_some());
        Ok(piece)
    }

    fn tell(&mut self, choice: usize, emission: Emission) -> Piece {
        let mut piece = Piece { choice, is_first: emission.prompt.is_some(), ..Piece::default() };
        if let Some(read) = emission.prompt {
            // Only the first answer to a prompt tells what was known before the request.
            self.usage.cached += if choice.is_multiple_of(self.choices) { read.cached } else { 0 };
            self.echo(choice, read, &mut piece);
        }
        self.usage.written += usize::from(!self.only_reads);
        if let Some(TokenLogprobs { token: id, logprob, likeliest }) = emission.logprobs {
            let offset = self.told[choice];
            piece.tokens.push(Told { id, logprob: Some(logprob), likeliest, offset });
        }
        self.told[choice] += emission.text.chars().count();
        piece.text.push_str(&emission.text);
        piece.finish = emission.finish.map(Finish::name);
        piece
    }

    fn echo(&mut self, choice: usize, read: PromptRead, piece: &mut Piece) {
        let prompt = &self.prompts[choice / self.choices];
        if !self.echo {
            return;
        }
        piece.text.push_str(&prompt.text);
        self.told[choice] = prompt.text.chars().count();
        if !self.logprobs {
            return;
        }
        let mut stream = TextStream::new(&self.tokenizer);
        let mut offset = 0;
        let mut offset_of = |id: u32| {
            let before = offset;
            offset += stream.push(id).chars().count();
            before
        };
        let first = prompt.ids.first().map(|&id| Told {
            id,
            logprob: None,
            likeliest: Vec::new(),
            offset: offset_of(id),
        });
        piece.tokens.extend(first);
        piece.tokens.extend(read.logprobs.into_iter().map(|told| Told {
            id: told.token,
            logprob: Some(told.logprob),
            likeliest: told.likeliest,
            offset: offset_of(told.token),
        }));
    }
}

/// Why an answer cannot be told to its end.
#[derive(Debug)]
pub enum Failure {
    /// The engine failed; every answer of the request ends.
    Engine(String),
    /// One answer ended before its time.
    Aborted(usize, Abort),
}
