//! A conversation to a prompt, by the chat template that stands in a model's folder, run as
//! transformers runs it. What a message says can never turn into a token that steers the model, and a
//! template that never ends is stopped.

use kollama_engine::Tokenizer;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Serde};
use minijinja::{Environment, Error, ErrorKind, Value as Jinja};
use serde::Serialize;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// Instructions of a template at most.
const FUEL: u64 = 2_000_000;
/// Put into what messages say, inside everything that looks like a special piece, and taken out when
/// the template has run. No text contains it: it is no character.
const APART: char = '\u{FDD0}';
const NAME: &str = "chat";

/// A chat template, ready to run.
pub struct ChatPrompt {
    environment: Environment<'static>,
    /// Pieces that steer the model, longest first.
    specials: Vec<(String, u32)>,
    begin: String,
    end: String,
}

impl ChatPrompt {
    /// `None` where the tokenizer has no template; an error where it is none.
    pub fn new(tokenizer: &Tokenizer) -> Option<Result<ChatPrompt, String>> {
        let template = tokenizer.chat_template()?.to_owned();
        let mut environment = environment();
        if let Err(error) = environment.add_template_owned(NAME, template) {
            return Some(Err(format!("the model's chat template cannot be used: {error}")));
        }
        let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or_default();
        Some(Ok(ChatPrompt {
            environment,
            specials: specials(tokenizer),
            begin: piece(tokenizer.bos_id()).to_owned(),
            end: piece(tokenizer.eos_id()).to_owned(),
        }))
    }

    /// The ids of a conversation, up to where the assistant begins.
    pub fn ids(&self, tokenizer: &Tokenizer, messages: &[Value]) -> Result<Vec<u32>, String> {
        let messages: Vec<Value> = messages.iter().map(|message| self.apart(message)).collect();
        let context = minijinja::context! {
            messages => Jinja::from(Serde(&messages)),
            bos_token => self.begin.as_str(),
            eos_token => self.end.as_str(),
            add_generation_prompt => true,
        };
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        let text = template.render(context).map_err(|error| problem(&error))?;
        Ok(self.encode(tokenizer, &text))
    }

    /// A message in whose texts no special piece stands.
    fn apart(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text_apart(text).into(),
            Value::Array(list) => list.iter().map(|value| self.apart(value)).collect(),
            Value::Object(map) => {
                map.iter().map(|(name, value)| (name.clone(), self.apart(value))).collect()
            }
            other => other.clone(),
        }
    }

    fn text_apart(&self, text: &str) -> String {
        let mut text = text.replace(APART, "\u{FFFD}");
        for (special, _) in &self.specials {
            let mut characters = special.chars();
            let apart: String = characters.by_ref().take(1).chain([APART]).collect();
            text = text.replace(special.as_str(), &(apart + characters.as_str()));
        }
        text
    }

    /// Special pieces become their ids, what stands between them is text.
    fn encode(&self, tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        let (mut ids, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let found = self.specials.iter().filter_map(|(special, id)| {
                Some((rest.find(special.as_str())?, special.len(), *id))
            });
            let next = found.min_by_key(|&(at, length, _)| (at, usize::MAX - length));
            let (at, length, id) =
                next.map_or((rest.len(), 0, None), |(a, l, id)| (a, l, Some(id)));
            if at > 0 {
                let between = rest[..at].replace(APART, "");
                match ids.is_empty() {
                    true => tokenizer.encode(&between, &mut ids),
                    false => tokenizer.encode_after_piece(&between, &mut ids),
                }
            }
            ids.extend(id);
            rest = &rest[at + length..];
        }
        ids
    }
}

fn specials(tokenizer: &Tokenizer) -> Vec<(String, u32)> {
    let all = 0..tokenizer.vocab_size() as u32;
    let special = all.filter(|&id| tokenizer.bytes_of(id).is_empty());
    let named = special.filter_map(|id| Some((tokenizer.piece(id)?.to_owned(), id)));
    let mut named: Vec<_> = named.filter(|(piece, _)| piece.chars().count() > 1).collect();
    named.sort_by_key(|(piece, _)| usize::MAX - piece.len());
    named
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // As transformers sets Jinja up; with the usual delimiters there is always a syntax.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Jinja, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: &str| strftime(format, SystemTime::now()));
    environment.add_filter("tojson", python_json);
    environment
}

/// The message of a template's own refusal, or where the template failed.
fn problem(error: &Error) -> String {
    error.detail().map_or_else(|| error.to_string(), str::to_owned)
}

/// As `json.dumps(…, ensure_ascii=False)`, which transformers puts in the place of Jinja's filter.
fn python_json(value: Jinja, _: Rest<Jinja>, options: Kwargs) -> Result<String, Error> {
    let wrong = |error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::InvalidOperation, format!("tojson: {error}"))
    };
    let mut bytes = Vec::new();
    let indent = options.get::<Option<usize>>("indent")?;
    options.assert_all_used()?;
    let spaces = " ".repeat(indent.unwrap_or(0));
    let written = match indent {
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Spaced)),
        Some(_) => {
            let pretty = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, pretty))
        }
    };
    written.map_err(|error| wrong(&error))?;
    String::from_utf8(bytes).map_err(|error| wrong(&error))
}

/// Python's blanks after `,` and `:`.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment in UTC, by the few letters of `strftime` that templates use.
fn strftime(format: &str, moment: SystemTime) -> Result<String, Error> {
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let name = MONTHS[month as usize - 1];
    let (mut text, mut letters) = (String::new(), format.chars());
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        text += &match letters.next() {
            Some('Y') => year.to_string(),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('B') => name.to_owned(),
            Some('b') => name[..3].to_owned(),
            Some('H') => format!("{hour:02}"),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('%') => "%".to_owned(),
            other => {
                let problem = format!("strftime_now: %{} is not known", other.unwrap_or(' '));
                return Err(Error::new(ErrorKind::InvalidOperation, problem));
            }
        };
    }
    Ok(text)
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar: counted in 400-year eras
/// of years that begin in March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let told = |seconds| strftime("%d %b %Y %H:%M:%S %B %m%%", at(seconds)).unwrap();
        assert_eq!(told(0), "01 Jan 1970 00:00:00 January 01%");
        assert_eq!(told(951_782_399), "28 Feb 2000 23:59:59 February 02%");
        assert_eq!(told(951_782_400), "29 Feb 2000 00:00:00 February 02%");
        assert_eq!(told(4_107_542_400), "01 Mar 2100 00:00:00 March 03%");
        assert!(strftime("%Q", at(0)).is_err());
    }
}
