//! What a caller asks for, and what he gets back.

use crate::error::EngineError;
use kollama_tokenizer::Tokenizer;

/// Names a request from [`crate::Engine::submit`] to its last [`Emission`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A text as a prompt: its ids, after `<s>` where the tokenizer begins texts with it.
pub fn prompt_ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids: Vec<u32> =
        tokenizer.bos_id().filter(|_| tokenizer.add_bos()).into_iter().collect();
    tokenizer.encode(text, &mut ids);
    ids
}

/// A text to continue.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt, `<s>` included where the model wants one.
    pub prompt: Vec<u32>,
    /// The answer ends after this many tokens at the latest.
    pub max_new_tokens: usize,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// The answer ends before any of these.
    pub stop: Vec<String>,
}

/// What a request may ask for besides a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Added to the logits of these ids before one is chosen.
    pub logit_bias: Vec<(u32, f32)>,
    /// Where set, log-probabilities are told: of each token, and of this many likeliest in its place.
    pub logprobs: Option<usize>,
    /// Whether the tokens of the prompt get theirs as well; then nothing need be written, and
    /// `max_new_tokens` may be 0.
    pub of_prompt: bool,
    /// When it is its turn among those that wait: the least first, equal ones in order of arrival. Counted
    /// on from [`crate::Engine::turn`].
    pub turn: u64,
}

/// How the next token is chosen; the steps apply in the order of the fields, as in `transformers`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Positive logits of tokens seen in prompt or answer are divided by it, negative ones
    /// multiplied (Keskar et al. 2019); 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted from the logits of tokens of the answer; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted from the logits of tokens of the answer as often as they occur; 0 is off.
    pub frequency_penalty: f32,
    /// Logits are divided by it; 0 takes the likeliest token.
    pub temperature: f32,
    /// Only the `top_k` likeliest stay; 0 is off.
    pub top_k: usize,
    /// Only the likeliest that together reach `top_p` stay (Holtzman et al. 2020); 1 is off.
    pub top_p: f32,
    /// Only what is at least `min_p` times as likely as the likeliest stays; 0 is off.
    pub min_p: f32,
    /// Same seed, same draws.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token each time.
    pub const GREEDY: Sampling = Sampling {
        repetition_penalty: 1.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed: 0,
    };

    /// Names the first parameter that is out of its range.
    pub fn check(&self) -> Result<(), EngineError> {
        let within = |name, value: f32, good: bool, expected| {
            if good { Ok(()) } else { Err(EngineError::Sampling { name, value, expected }) }
        };
        let (temperature, penalty) = (self.temperature, self.repetition_penalty);
        let finite = |x: f32| x.is_finite();
        within("temperature", temperature, finite(temperature) && temperature >= 0.0, "0 or more")?;
        within("repetition_penalty", penalty, finite(penalty) && penalty > 0.0, "more than 0")?;
        let (presence, frequency) = (self.presence_penalty, self.frequency_penalty);
        within("presence_penalty", presence, finite(presence), "a finite number")?;
        within("frequency_penalty", frequency, finite(frequency), "a finite number")?;
        within("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0, at most 1")?;
        within("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "0 to 1")
    }
}

/// One piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Emission {
    /// Whose answer it is.
    pub request: RequestId,
    /// The token that was chosen; 0 where none was: nothing was to be written, or the model failed.
    pub token: u32,
    /// Text that is certain by now; may be empty while a character or a stop string is open.
    pub text: String,
    /// Of this token, where they were asked for.
    pub logprobs: Option<TokenLogprobs>,
    /// On the first emission: how the prompt was read.
    pub prompt: Option<PromptRead>,
    /// Set on the last emission.
    pub finish: Option<Finish>,
}

/// How likely a token was in its place, as the model has it: before penalties, bias and temperature.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// The token.
    pub token: u32,
    /// ln p of it.
    pub logprob: f32,
    /// The likeliest tokens of the place with their ln p, likeliest first.
    pub likeliest: Vec<(u32, f32)>,
}

/// How a prompt was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptRead {
    /// Tokens whose keys and values were there already.
    pub cached: usize,
    /// From the second token on, where they were asked for.
    pub logprobs: Vec<TokenLogprobs>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model wrote its end token.
    EndToken,
    /// A stop string appeared.
    Stop,
    /// `max_new_tokens` were written.
    Length,
    /// The model gave logits that are not finite.
    Failed,
}

impl Finish {
    /// The word used in JSON, as in the OpenAI API.
    pub fn name(self) -> &'static str {
        match self {
            Finish::EndToken | Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::Failed => "error",
        }
    }
}
