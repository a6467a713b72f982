//! Exact match and F1 of answers made of spans of words, as DROP has them (Dua et al. 2019,
//! <https://arxiv.org/abs/1903.00161>): a span is a bag of normalised words, and spans are aligned one
//! to one. Here one span was written, so the best of the right ones is its partner.
//!
//! Numbers are what Python's `float` reads, and are written as Python writes them; digits of other
//! scripts, which it reads too, stay words here.

use std::collections::BTreeSet;

type Bag<'a> = BTreeSet<&'a str>;

/// The best exact match and the best F1 of what was `written` over the right `answers`; an answer
/// whose first span is blank counts for nothing.
pub fn best_match(written: &str, answers: &[Vec<String>]) -> (f64, f64) {
    let written = normalised(written);
    let counted = answers.iter().filter(|spans| spans.first().is_some_and(|it| !is_blank(it)));
    counted
        .map(|spans| exact_match_and_f1(&written, spans))
        .fold((0.0, 0.0), |best, next| (f64::max(best.0, next.0), f64::max(best.1, next.1)))
}

/// Both of one normalised span against the spans of one answer.
fn exact_match_and_f1(written: &str, spans: &[String]) -> (f64, f64) {
    let spans: Vec<String> = spans.iter().map(|span| normalised(span)).collect();
    let is_equal = spans.len() == 1 && spans[0] == written;
    let bag: Bag<'_> = written.split(is_python_blank).filter(|word| !word.is_empty()).collect();
    let best =
        spans.iter().map(|span| f1(&bag, &span.split(' ').filter(|it| !it.is_empty()).collect()));
    let mean = best.fold(0.0, f64::max) / spans.len() as f64;
    (f64::from(u8::from(is_equal)), (mean * 100.0).round_ties_even() / 100.0)
}

/// F1 of two bags; none where the right one holds numbers and the other holds none of them.
fn f1(written: &Bag<'_>, right: &Bag<'_>) -> f64 {
    let mut numbers = right.iter().filter(|word| python_float(word).is_some()).peekable();
    if numbers.peek().is_some() && !numbers.any(|number| written.contains(number)) {
        return 0.0;
    }
    let shared = written.intersection(right).count() as f64;
    let share_of = |bag: &Bag<'_>| if bag.is_empty() { 1.0 } else { shared / bag.len() as f64 };
    let (precision, recall) = (share_of(written), share_of(right));
    if precision == 0.0 && recall == 0.0 {
        return 0.0;
    }
    2.0 * precision * recall / (precision + recall)
}

/// Lower-case words without punctuation and articles, numbers in one form, one blank between them.
fn normalised(span: &str) -> String {
    let tokens = span.split([' ', '-']).map(|token| {
        let bare = without_punctuation(&token.to_lowercase());
        let number = python_float(&bare).map(written_by_python);
        squeezed(&without_articles(&number.unwrap_or(bare)))
    });
    tokens.filter(|token| !token.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Signs and points of numbers stay.
fn without_punctuation(token: &str) -> String {
    match python_float(token) {
        Some(_) => token.to_owned(),
        None => token.chars().filter(|c| !c.is_ascii_punctuation()).collect(),
    }
}

/// A blank in place of each article that stands between other characters than those of words.
fn without_articles(token: &str) -> String {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut kept = String::with_capacity(token.len());
    let mut rest = token;
    while let Some(first) = rest.chars().next() {
        let other =
            if is_of_word(first) { rest.find(|c| !is_of_word(c)) } else { rest.find(is_of_word) };
        let (run, after) = rest.split_at(other.unwrap_or(rest.len()));
        kept += if ["a", "an", "the"].contains(&run) { " " } else { run };
        rest = after;
    }
    kept
}

fn squeezed(text: &str) -> String {
    text.split(is_python_blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn is_blank(text: &str) -> bool {
    text.chars().all(is_python_blank)
}

/// White space to Python.
fn is_python_blank(character: char) -> bool {
    character.is_whitespace() || ('\x1C'..='\x1F').contains(&character)
}

/// The number that Python's `float` reads in a text: as Rust, but with white space around it and
/// single underscores between its digits.
fn python_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_python_blank);
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let is_separator = |at: usize| at > 0 && is_digit(at - 1) && is_digit(at + 1);
    let mut underscores = text.match_indices('_').map(|(at, _)| at);
    if !underscores.all(is_separator) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// As Python writes a float: the shortest digits that read back equal, with an exponent below
/// 0.0001 and from 1e16 on.
fn written_by_python(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific.to_lowercase();
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{number:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_written_as_python_does() {
        // repr(float(text)) in CPython.
        let cases = [
            ("1200", "1200.0"),
            (".5", "0.5"),
            ("1e3", "1000.0"),
            ("1_000", "1000.0"),
            ("\t7\n", "7.0"),
            ("1e16", "1e+16"),
            ("123456789012345678", "1.2345678901234568e+17"),
            ("0.00001234", "1.234e-05"),
            ("0.0001", "0.0001"),
            ("1e400", "inf"),
            ("NaN", "nan"),
            ("Infinity", "inf"),
        ];
        for (text, expected) in cases {
            assert_eq!(python_float(text).map(written_by_python).as_deref(), Some(expected));
        }
        for text in ["", "_1", "1__0", "1_", "1,200", "0x10", "one"] {
            assert_eq!(python_float(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_span_matches_the_best_answer_and_shares_its_words() {
        let answers = |spans: &[&str]| vec![spans.iter().map(|&it| it.to_owned()).collect()];
        assert_eq!(best_match("The 1,200 yards!", &answers(&["1200 yards"])), (1.0, 1.0));
        assert_eq!(best_match("yards", &answers(&["1200 yards"])), (0.0, 0.0), "no number shared");
        assert_eq!(best_match("Smith", &answers(&["Smith-Jones", "Paris"])), (0.0, 0.33));
        assert_eq!(best_match("", &answers(&[" "])), (0.0, 0.0), "a blank answer counts nothing");
    }
}
