//! The comparison of two tokenizers as one page that needs nothing else: no server, no request.
//!
//! The page is `compare.html` with the numbers and tokens put in as JSON; how they look stands there.

use anyhow::{Result, ensure};
use kollama_tokenizer::{Comparison, ShownPart, Tokenizer, shown_parts};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

const TEMPLATE: &str = include_str!("compare.html");
const PLACE: &str = "{{comparison}}";

/// One text is too short for one measurement.
const REPEATS: u32 = 32;

/// What the page shows.
pub struct Page {
    tokenizers: [Value; 2],
    /// Name and numbers of each corpus.
    pub corpora: Vec<(String, Comparison)>,
    /// The texts with their tokens.
    pub texts: Vec<ShownText>,
}

/// One text as both tokenizers write it.
pub struct ShownText {
    source: String,
    text: String,
    sides: [(Vec<ShownPart>, f64); 2],
}

impl ShownText {
    /// Encodes a text with both; `source` is the corpus that it comes from, or empty.
    pub fn of(tokenizers: [&Tokenizer; 2], source: &str, text: &str) -> ShownText {
        let side = |tokenizer: &Tokenizer| {
            let parts = shown_parts(tokenizer, text);
            let began = Instant::now();
            (0..REPEATS).for_each(|_| drop(tokenizer.encode_to_vec(text)));
            (parts, began.elapsed().as_secs_f64() / f64::from(REPEATS))
        };
        ShownText { source: source.into(), text: text.into(), sides: tokenizers.map(side) }
    }

    fn json(&self) -> Value {
        let side = |(parts, seconds): &(Vec<ShownPart>, f64)| {
            let parts: Vec<Value> = parts.iter().map(part_json).collect();
            json!({"parts": parts, "microseconds": seconds * 1e6})
        };
        json!({"source": self.source, "text": self.text, "characters": self.text.chars().count(),
            "sides": self.sides.each_ref().map(side)})
    }
}

fn part_json(part: &ShownPart) -> Value {
    json!({"text": part.text, "ids": part.ids, "isBytes": part.is_bytes})
}

impl Page {
    /// An empty page for two tokenizers, named as they were given.
    pub fn new(names: [&Path; 2], tokenizers: [&Tokenizer; 2]) -> Page {
        let one = |side: usize| json!({"name": names[side].display().to_string(), "size": tokenizers[side].vocab_size()});
        Page { tokenizers: [one(0), one(1)], corpora: Vec::new(), texts: Vec::new() }
    }

    /// The whole page.
    pub fn html(&self) -> Result<String> {
        let corpora: Vec<Value> = self.corpora.iter().map(corpus_json).collect();
        let texts: Vec<Value> = self.texts.iter().map(ShownText::json).collect();
        let all = json!({"tokenizers": self.tokenizers, "corpora": corpora, "texts": texts});
        ensure!(TEMPLATE.contains(PLACE), "the page has no place for the comparison");
        Ok(TEMPLATE.replace(PLACE, &inside_script(&all)))
    }
}

fn corpus_json((name, counts): &(String, Comparison)) -> Value {
    json!({"name": name, "characters": counts.characters, "tokens": counts.tokens,
        "perCharacter": counts.tokens_per_character(),
        "seconds": counts.times.map(|time| time.as_secs_f64()),
        "megabytesPerSecond": counts.megabytes_per_second()})
}

/// JSON that nothing in it can end or begin an element.
fn inside_script(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
