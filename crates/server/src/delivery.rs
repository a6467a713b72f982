//! Answers on their way to the client: in one piece, or as server-sent events. What they look like as
//! JSON is said here too, for completions and for chats.

use crate::answers::{Failure, Piece, Teller, Told, Usage};
use crate::api_error::ApiError;
use crate::tokens::token_text;
use crate::worker::{Abort, Event, engine_failed};
use axum::Json;
use axum::http::StatusCode;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kollama_engine::Tokenizer;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedReceiver;

/// What stands around every answer to a request.
pub struct Envelope {
    /// The answer's name.
    pub id: String,
    /// Seconds of the epoch.
    pub created: u64,
    /// The model's name.
    pub model: String,
    /// Whether it is a chat.
    pub is_chat: bool,
    /// Whether a stream's last event tells the usage.
    pub include_usage: bool,
}

impl Envelope {
    /// With a name of its own.
    pub fn new(model: &str, is_chat: bool, include_usage: bool) -> Envelope {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kind = if is_chat { "chatcmpl" } else { "cmpl" };
        let id = format!("{kind}-{:x}", since.as_nanos());
        Envelope { id, created: since.as_secs(), model: model.to_owned(), is_chat, include_usage }
    }

    fn around(&self, object: &str, choices: Vec<Value>, usage: Option<Usage>) -> Value {
        let mut answer = json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model,
            "choices": choices,
        });
        if let Some(usage) = usage {
            answer["usage"] = usage_json(usage);
        }
        answer
    }
}

/// The answer in one piece.
pub async fn whole(
    envelope: Envelope,
    mut teller: Teller,
    mut events: UnboundedReceiver<Event>,
) -> Result<Response, ApiError> {
    let mut answers: Vec<Piece> = (0..teller.open).map(empty_answer).collect();
    while teller.open > 0 {
        let event = events.recv().await.ok_or_else(|| engine_failed("the engine has stopped"))?;
        let piece = teller.take(event).map_err(|failure| match failure {
            Failure::Engine(problem) => engine_failed(&problem),
            Failure::Aborted(_, Abort::TimeUp) => {
                ApiError::new(StatusCode::GATEWAY_TIMEOUT, "the answer took too long")
            }
            Failure::Aborted(_, Abort::ServerEnds) => ApiError::unavailable("the server is ending"),
        })?;
        let answer = &mut answers[piece.choice];
        answer.text.push_str(&piece.text);
        answer.tokens.extend(piece.tokens);
        answer.finish = piece.finish;
    }
    let (object, shape): (_, Shape) = match envelope.is_chat {
        true => ("chat.completion", chat_message),
        false => ("text_completion", completion),
    };
    let choices = answers.iter().map(|answer| shape(answer, &teller)).collect();
    Ok(Json(envelope.around(object, choices, Some(teller.usage))).into_response())
}

type Shape = fn(&Piece, &Teller) -> Value;

fn empty_answer(choice: usize) -> Piece {
    Piece { choice, ..Piece::default() }
}

/// The answer as a stream of events.
pub fn streamed(envelope: Envelope, teller: Teller, events: UnboundedReceiver<Event>) -> Response {
    let sender = Streamed { envelope, teller, events, ready: VecDeque::new(), is_over: false };
    let sent = stream::unfold(sender, async |mut sender| {
        let data = sender.next().await?;
        Some((Ok::<_, Infallible>(Sent::default().data(data)), sender))
    });
    Sse::new(sent).keep_alive(KeepAlive::default()).into_response()
}

struct Streamed {
    envelope: Envelope,
    teller: Teller,
    events: UnboundedReceiver<Event>,
    ready: VecDeque<String>,
    is_over: bool,
}

impl Streamed {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(data);
            }
            if self.is_over {
                return None;
            }
            let event = self.events.recv().await;
            let event = event.unwrap_or_else(|| Event::Failed("the engine has stopped".into()));
            let told = self.teller.take(event);
            self.tell(told);
        }
    }

    fn tell(&mut self, told: Result<Piece, Failure>) {
        match told {
            Ok(piece) => self.push_piece(&piece),
            Err(Failure::Aborted(choice, _)) => {
                self.push_piece(&Piece { choice, finish: Some("abort"), ..Piece::default() });
            }
            Err(Failure::Engine(problem)) => {
                self.ready.push_back(engine_failed(&problem).to_json().to_string());
                self.teller.open = 0;
            }
        }
        if self.teller.open == 0 {
            if self.envelope.include_usage {
                let usage = Some(self.teller.usage);
                let event = self.envelope.around(self.object(), Vec::new(), usage);
                self.ready.push_back(event.to_string());
            }
            self.ready.push_back("[DONE]".to_owned());
            self.is_over = true;
        }
    }

    fn object(&self) -> &'static str {
        if self.envelope.is_chat { "chat.completion.chunk" } else { "text_completion" }
    }

    fn push_piece(&mut self, piece: &Piece) {
        let shape = if self.envelope.is_chat { chat_delta } else { completion };
        let mut event = self.envelope.around(self.object(), vec![shape(piece, &self.teller)], None);
        if self.envelope.include_usage {
            event["usage"] = Value::Null;
        }
        self.ready.push_back(event.to_string());
    }
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.written,
        "total_tokens": usage.prompt + usage.written,
        "prompt_tokens_details": { "cached_tokens": usage.cached },
    })
}

fn completion(piece: &Piece, teller: &Teller) -> Value {
    let logprobs = teller.logprobs.then(|| completion_logprobs(&piece.tokens, &teller.tokenizer));
    json!({
        "index": piece.choice,
        "text": piece.text,
        "logprobs": logprobs,
        "finish_reason": piece.finish,
    })
}

fn completion_logprobs(tokens: &[Told], tokenizer: &Tokenizer) -> Value {
    let likeliest = |told: &Told| -> Option<Map<String, Value>> {
        let pair = |&(id, logprob): &(u32, f32)| (token_text(tokenizer, id), logprob.into());
        told.logprob.map(|_| told.likeliest.iter().map(pair).collect())
    };
    let ids = |told: &Told| -> Vec<u32> { told.likeliest.iter().map(|&(id, _)| id).collect() };
    json!({
        "tokens": tokens.iter().map(|told| token_text(tokenizer, told.id)).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|told| told.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(likeliest).collect::<Vec<_>>(),
        "text_offset": tokens.iter().map(|told| told.offset).collect::<Vec<_>>(),
        "token_ids": tokens.iter().map(|told| told.id).collect::<Vec<_>>(),
        "top_token_ids": tokens.iter().map(ids).collect::<Vec<_>>(),
    })
}

fn chat_message(piece: &Piece, teller: &Teller) -> Value {
    json!({
        "index": piece.choice,
        "message": { "role": "assistant", "content": piece.text },
        "logprobs": chat_logprobs(piece, teller),
        "finish_reason": piece.finish,
    })
}

fn chat_delta(piece: &Piece, teller: &Teller) -> Value {
    let mut delta = json!({ "content": piece.text });
    if piece.is_first {
        delta["role"] = "assistant".into();
    }
    json!({
        "index": piece.choice,
        "delta": delta,
        "logprobs": chat_logprobs(piece, teller),
        "finish_reason": piece.finish,
    })
}

fn chat_logprobs(piece: &Piece, teller: &Teller) -> Option<Value> {
    let one = |id: u32, logprob: Option<f32>| {
        let bytes = teller.tokenizer.bytes_of(id);
        json!({ "token": token_text(&teller.tokenizer, id), "logprob": logprob, "bytes": bytes })
    };
    let token = |told: &Told| {
        let mut token = one(told.id, told.logprob);
        let top = told.likeliest.iter().map(|&(id, logprob)| one(id, Some(logprob)));
        token["top_logprobs"] = top.collect();
        token
    };
    teller
        .logprobs
        .then(|| json!({ "content": piece.tokens.iter().map(token).collect::<Vec<_>>() }))
}
