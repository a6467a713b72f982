//! `POST /v1/chat/completions`: answer a conversation.

use crate::answers::Prompt;
use crate::api_error::ApiError;
use crate::completions::{Asking, answer};
use crate::fields::Fields;
use crate::house::House;
use crate::model::Model;
use crate::parameters::Parameters;
use crate::worker::Client;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Messages of a conversation.
const MOST_MESSAGES: usize = 1024;
/// Likeliest tokens of a place, as OpenAI's API has it.
const MOST_TOP_LOGPROBS: u64 = 20;
/// Tokens of an answer where the client does not say.
const MAX_TOKENS: usize = 512;

/// The route.
pub async fn chat(
    State(house): State<Arc<House>>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let mut fields = Fields::of_body(&body)?;
    let model = house.model(fields.text("model")?.as_deref())?.clone();
    let messages = messages(&mut fields)?;
    let newer_name = fields.take("max_completion_tokens");
    let mut parameters = Parameters::take(&mut fields)?;
    if let Some(value) = newer_name {
        parameters.max_tokens = Some(max_tokens(&value)?);
    }
    if parameters.max_tokens == Some(0) {
        return Err(ApiError::field("max_tokens", "1 or more"));
    }
    let logprobs = logprobs(&mut fields)?;
    not_supported(&mut fields)?;
    fields.finish()?;
    let ids = prompt(&model, messages).await?;
    let prompts = vec![Prompt { ids, text: String::new() }];
    let (echo, default_tokens, is_chat) = (false, MAX_TOKENS, true);
    let asking = Asking { prompts, parameters, echo, logprobs, default_tokens, is_chat, client };
    answer(&house, &model, asking).await
}

/// Templates run where they may take their time.
async fn prompt(model: &Arc<Model>, messages: Vec<Value>) -> Result<Vec<u32>, ApiError> {
    let refused = |problem: String| ApiError::field("messages", problem);
    let Some(chat) = &model.chat else {
        let problem = format!(
            "{} is a base model: its folder has no chat template; use /v1/completions",
            model.name
        );
        return Err(ApiError::new(StatusCode::BAD_REQUEST, problem).with_code("no_chat_template"));
    };
    let chat = chat.as_ref().map_err(|problem| refused(problem.clone()))?.clone();
    let tokenizer = model.tokenizer.clone();
    let run = tokio::task::spawn_blocking(move || chat.ids(&tokenizer, &messages));
    let ids = run.await.map_err(|_| refused("the chat template could not be run".to_owned()))?;
    ids.map_err(refused)
}

fn messages(fields: &mut Fields) -> Result<Vec<Value>, ApiError> {
    let list =
        fields.list("messages")?.ok_or_else(|| fields.refuse("messages", "must be given"))?;
    if list.is_empty() || list.len() > MOST_MESSAGES {
        return Err(fields.refuse("messages", format!("1 to {MOST_MESSAGES} messages")));
    }
    list.into_iter().enumerate().map(|(index, value)| message(index, value)).collect()
}

fn message(index: usize, value: Value) -> Result<Value, ApiError> {
    let mut fields = Fields::of_element(value, format!("messages[{index}]"))?;
    let role = fields.text("role")?.ok_or_else(|| fields.refuse("role", "must be given"))?;
    let content = match fields.take("content") {
        Some(Value::Array(parts)) => joined(index, parts)?,
        Some(Value::String(text)) => text,
        _ => return Err(fields.refuse("content", "must be a text, or a list of texts")),
    };
    let mut message =
        Map::from_iter([("role".into(), role.into()), ("content".into(), content.into())]);
    if let Some(name) = fields.text("name")? {
        message.insert("name".into(), name.into());
    }
    fields.finish()?;
    Ok(message.into())
}

/// The texts of `[{"type": "text", "text": …}, …]`, one after the other.
fn joined(index: usize, parts: Vec<Value>) -> Result<String, ApiError> {
    let text = |(part, value)| {
        let mut fields = Fields::of_element(value, format!("messages[{index}].content[{part}]"))?;
        if fields.text("type")?.as_deref() != Some("text") {
            return Err(fields.refuse("type", "only `text` is supported"));
        }
        let text = fields.text("text")?.ok_or_else(|| fields.refuse("text", "must be given"))?;
        fields.finish()?;
        Ok(text)
    };
    parts.into_iter().enumerate().map(text).collect()
}

fn max_tokens(value: &Value) -> Result<usize, ApiError> {
    let number = value.as_u64().filter(|&number| number > 0 && number <= u64::from(u32::MAX));
    let problem = "expected a whole number, 1 or more";
    number.map(|n| n as usize).ok_or_else(|| ApiError::field("max_completion_tokens", problem))
}

fn logprobs(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let asked = fields.flag("logprobs")?;
    let top = fields.integer("top_logprobs", 0..=MOST_TOP_LOGPROBS)?;
    match (asked, top) {
        (false, Some(_)) => Err(fields.refuse("top_logprobs", "needs `logprobs`: true")),
        (asked, top) => Ok(asked.then_some(top.unwrap_or(0) as usize)),
    }
}

fn not_supported(fields: &mut Fields) -> Result<(), ApiError> {
    fields.only_neutral(&[
        ("tools", json!([])),
        ("tool_choice", json!("none")),
        ("response_format", json!({ "type": "text" })),
        ("store", json!(false)),
        ("modalities", json!(["text"])),
    ])
}
