//! `POST /v1/completions`: continue a text.

use crate::answers::{Prompt, Teller};
use crate::api_error::ApiError;
use crate::delivery::{Envelope, streamed, whole};
use crate::fields::{Fields, expected};
use crate::house::House;
use crate::model::Model;
use crate::parameters::Parameters;
use crate::settings::{MOST_LOGPROBS, MOST_PROMPTS};
use crate::tokens::token_ids;
use crate::worker::{Asked, Client};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use kollama_engine::{Details, Request, Tokenizer, certain_text, prompt_ids};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Tokens of an answer where the client does not say, as in OpenAI's API.
const MAX_TOKENS: usize = 16;

/// What was asked for, of whichever route.
pub struct Asking {
    /// One or more.
    pub prompts: Vec<Prompt>,
    /// How to go on from them.
    pub parameters: Parameters,
    /// Whether the prompt is told again.
    pub echo: bool,
    /// Likeliest tokens to tell of each place, if log-probabilities are asked for.
    pub logprobs: Option<usize>,
    /// Tokens of an answer where the client does not say.
    pub default_tokens: usize,
    /// Whether it is a chat.
    pub is_chat: bool,
    /// Who asks.
    pub client: Client,
}

/// The route.
pub async fn completions(
    State(house): State<Arc<House>>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let mut fields = Fields::of_body(&body)?;
    let model = house.model(fields.text("model")?.as_deref())?.clone();
    let prompts = prompts(&mut fields, &model.tokenizer)?;
    let parameters = Parameters::take(&mut fields)?;
    let echo = fields.flag("echo")?;
    let logprobs = fields.integer("logprobs", 0..=MOST_LOGPROBS)?.map(|count| count as usize);
    fields.finish()?;
    if parameters.max_tokens == Some(0) && !echo {
        return Err(ApiError::field("max_tokens", "0 only together with `echo`"));
    }
    let default_tokens = MAX_TOKENS;
    let is_chat = false;
    let asking = Asking { prompts, parameters, echo, logprobs, default_tokens, is_chat, client };
    answer(&house, &model, asking).await
}

/// Lets the model write, and delivers what it writes.
pub async fn answer(
    house: &House,
    model: &Arc<Model>,
    asking: Asking,
) -> Result<Response, ApiError> {
    let context = model.loaded.get().map(|loaded| loaded.context);
    let context = context.ok_or_else(|| ApiError::unavailable("the model is being loaded"))?;
    let requests = requests(&asking, context);
    let Asking { prompts, parameters, echo, logprobs, is_chat, client, .. } = asking;
    let limit = house.settings.queue;
    if requests.len() > limit {
        let problem = format!("{} answers, and this server writes {limit} at most", requests.len());
        return Err(ApiError::field("n", problem));
    }
    let places = house.places.clone().try_acquire_many_owned(requests.len() as u32);
    let places = places.map_err(|_| {
        model.metrics.refused.fetch_add(1, Ordering::Relaxed);
        ApiError::queue_is_full(limit)
    })?;
    let deadline = Instant::now() + house.settings.request_timeout;
    let events = model.worker.write(Asked { requests, deadline, places, client }).await?;
    let told = (echo, logprobs.is_some(), parameters.max_tokens == Some(0));
    let teller = Teller::new(&model.tokenizer, prompts, parameters.choices, told);
    let envelope = Envelope::new(&model.name, is_chat, parameters.include_usage);
    match parameters.stream {
        true => Ok(streamed(envelope, teller, events)),
        false => whole(envelope, teller, events).await,
    }
}

/// What the engine is asked for, answer by answer.
fn requests(asking: &Asking, context: usize) -> Vec<(Request, Details)> {
    let parameters = &asking.parameters;
    let max_tokens = parameters.max_tokens.unwrap_or(asking.default_tokens);
    let request = |prompt: &Prompt, choice| {
        let room = context.saturating_sub(prompt.ids.len());
        let request = Request {
            prompt: prompt.ids.clone(),
            // A prompt that leaves no room is refused by the engine, with its figures.
            max_new_tokens: max_tokens.min(room.max(1)),
            sampling: parameters.sampling_of(choice),
            stop: parameters.stop.clone(),
        };
        let details = Details {
            logit_bias: parameters.logit_bias.clone(),
            logprobs: asking.logprobs,
            of_prompt: asking.echo && (asking.logprobs.is_some() || max_tokens == 0),
            turn: 0,
        };
        (request, details)
    };
    let choices = 0..parameters.choices;
    let of_prompt = |prompt| choices.clone().map(move |choice| request(prompt, choice));
    asking.prompts.iter().flat_map(of_prompt).collect()
}

/// A text, a list of ids, or a list of either.
fn prompts(fields: &mut Fields, tokenizer: &Tokenizer) -> Result<Vec<Prompt>, ApiError> {
    let wrong = |problem: String| ApiError::field("prompt", problem);
    let what = "a text, a list of ids, or a list of either";
    let value = fields.take("prompt").ok_or_else(|| wrong(format!("must be given: {what}")))?;
    let list = match value {
        Value::Array(list) if list.iter().all(Value::is_number) => vec![Value::Array(list)],
        Value::Array(list) => list,
        one => vec![one],
    };
    if list.len() > MOST_PROMPTS {
        return Err(wrong(format!("at most {MOST_PROMPTS} prompts, found {}", list.len())));
    }
    let prompt = |value: Value| match value {
        Value::String(text) => Ok(Prompt { ids: prompt_ids(tokenizer, &text), text }),
        Value::Array(list) => {
            let ids = token_ids(&list, tokenizer, usize::MAX).map_err(wrong)?;
            Ok(Prompt { text: certain_text(tokenizer, &ids), ids })
        }
        other => Err(wrong(expected(what, &other))),
    };
    list.into_iter().map(prompt).collect()
}
