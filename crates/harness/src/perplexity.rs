//! How well a model predicts running text, in numbers that compare across tokenizers.
//!
//! A perplexity per token says nothing about two models whose tokens differ in length; the same
//! likelihood spread over bytes does. Every token is predicted exactly once, in windows as
//! lm-evaluation-harness rolls them, which also makes the words and bytes counted here its own.

use crate::error::HarnessError;
use kollama_engine::{ScoreRequest, Scorer, Tokenizer};
use serde::Serialize;

/// The likelihood of texts, and how much text that was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Perplexity {
    /// Σ ln p over all tokens.
    pub logprob: f64,
    /// Tokens that were predicted: all of them.
    pub tokens: usize,
    /// Stretches between runs of white space; a text that ends with a blank has an empty last one.
    pub words: usize,
    /// UTF-8 bytes.
    pub bytes: usize,
}

impl Perplexity {
    /// exp(-Σ ln p / words).
    pub fn word_perplexity(&self) -> f64 {
        (-self.logprob / self.words as f64).exp()
    }

    /// exp(-Σ ln p / bytes).
    pub fn byte_perplexity(&self) -> f64 {
        (-self.logprob / self.bytes as f64).exp()
    }

    /// -Σ log₂ p / bytes: what an ideal compressor built on this model would need.
    pub fn bits_per_byte(&self) -> f64 {
        -self.logprob / self.bytes as f64 / std::f64::consts::LN_2
    }
}

/// Scores texts one by one, each from its own beginning; the scorer's prefix token (the end token)
/// stands before the first id. `progress` hears how many windows are done and how many there are.
pub fn perplexity<Text: AsRef<str>>(
    texts: &[Text],
    tokenizer: &Tokenizer,
    scorer: &mut Scorer,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Perplexity, HarnessError> {
    let texts = texts.iter().map(AsRef::as_ref).filter(|text| !text.is_empty());
    let mut requests = Vec::new();
    let (mut words, mut bytes) = (0, 0);
    for text in texts {
        requests.extend(rolling_requests(&tokenizer.encode_to_vec(text), scorer.window()));
        words += count_words(text);
        bytes += text.len();
    }
    if requests.is_empty() {
        return Err(HarnessError::NothingToScore { what: "the text".to_owned() });
    }
    let total = requests.len();
    let scores = scorer.score(&requests, &mut |done| progress(done, total))?;
    let logprob = scores.iter().map(|score| score.logprob).sum();
    let tokens = scores.iter().map(|score| score.num_tokens).sum();
    Ok(Perplexity { logprob, tokens, words, bytes })
}

/// Cuts `ids` into requests that fill a model of `window` positions: the first one predicts
/// `window` ids from the prefix token on; every later one ends at the last id it predicts and
/// carries as much of the left context as fits, at least one id.
pub fn rolling_requests(ids: &[u32], window: usize) -> Vec<ScoreRequest> {
    let mut requests = Vec::new();
    let mut predicted = 0;
    while predicted < ids.len() {
        let end = ids.len().min(predicted + window);
        let start = if predicted == 0 { 0 } else { end - (window + 1) };
        requests.push(ScoreRequest {
            context: ids[start..predicted].to_vec(),
            continuation: ids[predicted..end].to_vec(),
        });
        predicted = end;
    }
    requests
}

/// The length of Python's `re.split(r"\s+", text)`.
fn count_words(text: &str) -> usize {
    let is_space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    let mut after_space = false;
    let mut words = 1;
    for character in text.chars() {
        let space = is_space(character);
        words += usize::from(space && !after_space);
        after_space = space;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(length: u32, window: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
        let ids: Vec<u32> = (0..length).collect();
        let requests = rolling_requests(&ids, window);
        requests.into_iter().map(|request| (request.context, request.continuation)).collect()
    }

    #[test]
    fn later_windows_are_full_and_carry_left_context() {
        assert_eq!(
            windows(10, 4),
            [(vec![], vec![0, 1, 2, 3]), (vec![3], vec![4, 5, 6, 7]), (vec![5, 6, 7], vec![8, 9]),]
        );
    }

    #[test]
    fn a_text_of_exactly_one_window_needs_no_second() {
        assert_eq!(windows(4, 4), [(vec![], vec![0, 1, 2, 3])]);
        assert_eq!(windows(3, 4), [(vec![], vec![0, 1, 2])]);
        assert_eq!(windows(5, 4)[1], (vec![0, 1, 2, 3], vec![4]));
        assert!(windows(0, 4).is_empty());
    }

    #[test]
    fn every_id_is_predicted_once_and_no_window_is_exceeded() {
        for (length, window) in [(1, 1), (7, 1), (23, 5), (64, 16), (65, 16)] {
            let windows = windows(length, window);
            let predicted: Vec<u32> = windows.iter().flat_map(|(_, ids)| ids.clone()).collect();
            assert_eq!(predicted, (0..length).collect::<Vec<_>>());
            assert!(windows.iter().all(|(context, ids)| context.len() + ids.len() <= window + 1));
        }
    }

    #[test]
    fn words_are_counted_as_python_splits_them() {
        // [len(re.split(r"\s+", t)) for t in (...)]
        let counts = ["", "가 나\n\n다", " a ", "a\u{a0}b\u{1f}\u{2003}c"].map(count_words);
        assert_eq!(counts, [1, 3, 3, 3]);
    }

    #[test]
    fn one_bit_for_each_of_eight_bytes_is_one_bit_per_byte() {
        let logprob = -8.0 * std::f64::consts::LN_2;
        let measured = Perplexity { logprob, tokens: 4, words: 2, bytes: 8 };
        assert!((measured.bits_per_byte() - 1.0).abs() < 1e-15);
        assert!((measured.byte_perplexity() - 2.0).abs() < 1e-14);
        assert!((measured.word_perplexity() - 16.0).abs() < 1e-13);
    }
}
