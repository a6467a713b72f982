//! The fields that completions and chats share: how tokens are chosen, how many, where they end, and
//! how the answer travels.

use crate::api_error::ApiError;
use crate::fields::{Fields, expected};
use crate::settings::{MOST_BIASES, MOST_CHOICES, MOST_STOPS, STOP_BYTES};
use kollama_engine::Sampling;
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};

/// OpenAI's fields that would need what is not here.
const NOT_SUPPORTED: [&str; 2] = ["best_of", "suffix"];

/// What was asked for, but for the prompt.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Of the first answer; the others go on from its seed.
    pub sampling: Sampling,
    /// Added to logits.
    pub logit_bias: Vec<(u32, f32)>,
    /// Tokens of an answer at most, if that was said.
    pub max_tokens: Option<usize>,
    /// Where answers end.
    pub stop: Vec<String>,
    /// Answers to each prompt.
    pub choices: usize,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Whether the stream's last event tells the usage.
    pub include_usage: bool,
}

impl Parameters {
    /// Takes the fields out of a body.
    pub fn take(fields: &mut Fields) -> Result<Parameters, ApiError> {
        let neutral = [json!(1), json!("")];
        let not_supported: Vec<_> = NOT_SUPPORTED.into_iter().zip(neutral).collect();
        fields.only_neutral(&not_supported)?;
        // Names a person to whoever runs a server; no answer depends on it.
        fields.text("user")?;
        let stream = fields.flag("stream")?;
        let mut options = fields.object("stream_options")?;
        let include_usage = options.flag("include_usage")?;
        if include_usage && !stream {
            return Err(options.refuse("include_usage", "only a stream has options"));
        }
        options.finish()?;
        Ok(Parameters {
            sampling: sampling(fields)?,
            logit_bias: logit_bias(fields)?,
            max_tokens: fields.integer("max_tokens", 0..=u64::from(u32::MAX))?.map(|n| n as usize),
            stop: stop(fields)?,
            choices: fields.integer("n", 1..=MOST_CHOICES)?.unwrap_or(1) as usize,
            stream,
            include_usage,
        })
    }

    /// How answer number `choice` is sampled.
    pub fn sampling_of(&self, choice: usize) -> Sampling {
        let seed = self.sampling.seed.wrapping_add(choice as u64);
        Sampling { seed, ..self.sampling }
    }
}

fn sampling(fields: &mut Fields) -> Result<Sampling, ApiError> {
    let any_seed = || RandomState::new().hash_one(0);
    let top_p = fields.number("top_p", 0.0..=1.0)?.unwrap_or(1.0);
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0..=2.0)?.unwrap_or(1.0),
        // 0 keeps the likeliest, as OpenAI's servers do.
        top_p: if top_p == 0.0 { f32::MIN_POSITIVE } else { top_p },
        top_k: fields.integer("top_k", 0..=u64::from(u32::MAX))?.unwrap_or(0) as usize,
        min_p: fields.number("min_p", 0.0..=1.0)?.unwrap_or(0.0),
        repetition_penalty: fields.number("repetition_penalty", 0.01..=100.0)?.unwrap_or(1.0),
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?.unwrap_or(0.0),
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?.unwrap_or(0.0),
        seed: fields.integer("seed", 0..=u64::MAX)?.unwrap_or_else(any_seed),
    })
}

fn logit_bias(fields: &mut Fields) -> Result<Vec<(u32, f32)>, ApiError> {
    let Some(value) = fields.take("logit_bias") else { return Ok(Vec::new()) };
    let wrong = |what: &str, value: &Value| fields.refuse("logit_bias", expected(what, value));
    let map = value.as_object().ok_or_else(|| wrong("an object from ids to numbers", &value))?;
    if map.len() > MOST_BIASES {
        return Err(fields.refuse("logit_bias", format!("at most {MOST_BIASES} ids")));
    }
    let pair = |(id, bias): (&String, &Value)| {
        let id = id.parse().map_err(|_| wrong("ids as keys", &json!(id)))?;
        let number = bias.as_f64().filter(|number| (-100.0..=100.0).contains(number));
        Ok((id, number.ok_or_else(|| wrong("numbers from -100 to 100", bias))? as f32))
    };
    map.iter().map(pair).collect()
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let texts = match fields.take("stop") {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    if texts.len() > MOST_STOPS {
        let problem = format!("at most {MOST_STOPS} texts, found {}", texts.len());
        return Err(fields.refuse("stop", problem));
    }
    let text = |value: Value| match value {
        Value::String(text) if (1..=STOP_BYTES).contains(&text.len()) => Ok(text),
        Value::String(text) => {
            let problem = format!("texts of 1 to {STOP_BYTES} bytes, found {}", text.len());
            Err(fields.refuse("stop", problem))
        }
        other => Err(fields.refuse("stop", expected("a text or a list of texts", &other))),
    };
    texts.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &str) -> String {
        let mut fields = Fields::of_body(body.as_bytes()).unwrap();
        let error = Parameters::take(&mut fields).unwrap_err();
        error.to_json()["error"]["param"].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_out_of_range_or_not_supported_is_named() {
        for (body, field) in [
            (r#"{"temperature": -1}"#, "temperature"),
            (r#"{"temperature": "NaN"}"#, "temperature"),
            (r#"{"top_p": 1.5}"#, "top_p"),
            (r#"{"n": 9}"#, "n"),
            (r#"{"max_tokens": -1}"#, "max_tokens"),
            (r#"{"max_tokens": 1.5}"#, "max_tokens"),
            (r#"{"best_of": 3}"#, "best_of"),
            (r#"{"suffix": "end"}"#, "suffix"),
            (r#"{"logit_bias": {"5": 101}}"#, "logit_bias"),
            (r#"{"logit_bias": {"five": 1}}"#, "logit_bias"),
            (r#"{"stop": [""]}"#, "stop"),
            (r#"{"stop": ["a", 5]}"#, "stop"),
            (r#"{"seed": -1}"#, "seed"),
            (r#"{"stream_options": {"include_usage": true}}"#, "stream_options.include_usage"),
            (r#"{"stream": true, "stream_options": {"more": 1}}"#, "stream_options.more"),
        ] {
            assert_eq!(problem(body), field, "{body}");
        }
        let stops = vec!["x"; 17];
        assert_eq!(problem(&json!({ "stop": stops }).to_string()), "stop");
    }
}
