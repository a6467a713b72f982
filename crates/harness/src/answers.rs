//! What a written answer is worth: which part of it counts, and whether that is right. Numbers of
//! word problems are looked for here, spans of words in [`crate::spans`]. Knows texts, not models.

use crate::metrics::Outcome;
use crate::spans;
use crate::task::Judge;

/// The number behind `####` is the right one, as today's lm-eval writes it down.
pub const STRICT: &str = "exact_match,strict-match";
/// The last number of all is the right one.
pub const FLEXIBLE: &str = "exact_match,flexible-extract";
/// The number behind `####` is the right one, as the first leaderboard wrote it down.
pub const ACCURACY: &str = "acc";
/// The spans are the right ones.
pub const EM: &str = "em";
/// How many words are right.
pub const F1: &str = "f1";

/// Stands for a number that was not found.
const INVALID: &str = "[invalid]";
/// Stands before the number that ends a solution.
const MARK: &str = "#### ";

/// What became of a written answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What each filter found in it; a filter is called `none` where the whole answer counts.
    pub found: Vec<(&'static str, String)>,
    /// What it is worth.
    pub outcome: Outcome,
}

/// Compares what was `written` with the right `answers`.
pub fn judge(judge: Judge, written: &str, answers: &[Vec<String>]) -> Judged {
    let right = answers.first().and_then(|answer| answer.first()).map_or("", String::as_str);
    match judge {
        Judge::FinalNumber => {
            let found = [written, right].map(|it| final_number(it).map(|it| it.replace(',', "")));
            let is_right = found[0].is_some() && found[0] == found[1];
            let [found, _] = found.map(|it| it.unwrap_or_else(|| INVALID.to_owned()));
            Judged { found: vec![("none", found)], outcome: worth(&[(ACCURACY, is_right)]) }
        }
        Judge::StrictAndFlexibleNumber => {
            let [strict, flexible] = [final_number(written), last_number(written)]
                .map(|number| number.unwrap_or(INVALID).to_owned());
            let right = compared(right);
            let hits =
                [(STRICT, compared(&strict) == right), (FLEXIBLE, compared(&flexible) == right)];
            let found = vec![("strict-match", strict), ("flexible-extract", flexible)];
            Judged { found, outcome: worth(&hits) }
        }
        Judge::Spans => {
            let (em, f1) = spans::best_match(written, answers);
            let values = vec![(EM, em), (F1, f1)];
            let found = vec![("none", written.to_owned())];
            Judged { found, outcome: Outcome::Written { values } }
        }
    }
}

fn worth(hits: &[(&'static str, bool)]) -> Outcome {
    let values = hits.iter().map(|&(name, hit)| (name, f64::from(u8::from(hit))));
    Outcome::Written { values: values.collect() }
}

/// The first number behind `#### `: an optional minus, then digits, points and commas.
pub fn final_number(text: &str) -> Option<&str> {
    text.match_indices(MARK).find_map(|(at, mark)| {
        let number = &text[at + mark.len()..];
        let sign = usize::from(number.starts_with('-'));
        let length = run(&number[sign..], |c| c.is_ascii_digit() || c == '.' || c == ',');
        (length > 0).then(|| &number[..sign + length])
    })
}

/// The last of all that looks like a number: with or without a minus, either at least two of
/// digits, `$`, points and commas, or one digit.
fn last_number(text: &str) -> Option<&str> {
    let mut last = None;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = number_at_start(rest);
        if length > 0 {
            last = Some(&rest[..length]);
        }
        rest = &rest[length.max(first.len_utf8())..];
    }
    last
}

/// Bytes of the number that `text` begins with; 0 if it begins with none.
fn number_at_start(text: &str) -> usize {
    let sign = usize::from(text.starts_with('-'));
    let number = &text[sign..];
    match run(number, |c| c.is_ascii_digit() || matches!(c, '$' | '.' | ',')) {
        0 => 0,
        1 if !number.starts_with(|c: char| c.is_ascii_digit()) => 0,
        length => sign + length,
    }
}

fn run(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

/// A text as the exact match of today's lm-eval compares it on GSM8K: no commas, no `$`, nothing up
/// to the last `#### `, no point at its end (or before a line feed there), all lower case.
fn compared(text: &str) -> String {
    let text = text.replace([',', '$'], "");
    let text = text.rsplit(MARK).next().unwrap_or_default();
    let (line, feed) = text.strip_suffix('\n').map_or((text, ""), |line| (line, "\n"));
    let without_point = line.strip_suffix('.').map(|line| format!("{line}{feed}"));
    without_point.unwrap_or_else(|| text.to_owned()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(judged: &Judged) -> Vec<f64> {
        let Outcome::Written { values } = &judged.outcome else { panic!("something was written") };
        values.iter().map(|(_, value)| *value).collect()
    }

    #[test]
    fn the_first_leaderboard_takes_the_first_number_behind_the_mark() {
        let answers = [vec!["so.\n#### 1,234".to_owned()]];
        let worth = |written: &str| {
            let judged = judge(Judge::FinalNumber, written, &answers);
            (judged.found[0].1.clone(), values(&judged)[0])
        };
        assert_eq!(worth("#### 1234 #### 7"), ("1234".to_owned(), 1.0));
        assert_eq!(worth("#### x #### -1,234."), ("-1234.".to_owned(), 0.0));
        assert_eq!(worth("1234"), (INVALID.to_owned(), 0.0));
    }

    #[test]
    fn nothing_found_is_never_right() {
        let answers = [vec![String::new()]];
        assert_eq!(values(&judge(Judge::FinalNumber, "no number", &answers)), [0.0]);
    }
}
