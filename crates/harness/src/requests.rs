//! Prompts to ids: one request per choice, how much of it a model can read, and a fingerprint over
//! all of them.
//!
//! The mode `polyglot` encodes context and continuation **separately**. With a tokenizer that puts
//! a blank before every text, the continuation of a Llama then begins with two; the published
//! numbers contain that. The other two encode them **together**: white space at the end of the
//! context goes over to the continuation, and the continuation's ids are those of the whole after
//! as many as the context has. Only `lm-eval` begins with `<s>`, where the tokenizer does.

use crate::digest::hexadecimal;
use crate::error::HarnessError;
use crate::mode::Mode;
use crate::shots::Prompt;
use crate::task::{Asked, Task};
use kollama_engine::{EngineError, ScoreRequest, Tokenizer};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Document after document, within a document choice after choice.
pub fn requests(
    task: &Task,
    prompts: &[Prompt],
    tokenizer: &Tokenizer,
) -> Result<Vec<ScoreRequest>, HarnessError> {
    let mut requests = Vec::new();
    for prompt in prompts {
        requests.extend(of_prompt(task, prompt, tokenizer)?);
    }
    Ok(requests)
}

/// The requests of one document.
pub fn of_prompt(
    task: &Task,
    prompt: &Prompt,
    tokenizer: &Tokenizer,
) -> Result<Vec<ScoreRequest>, HarnessError> {
    let mut known: Option<(Cow<'_, str>, Vec<u32>)> = None;
    let mut request = |choice| {
        let context = prompt.context(choice);
        let ids = match known.take().filter(|(text, _)| *text == context) {
            Some((_, ids)) => ids,
            None => context_ids(task.mode, &context, tokenizer),
        };
        let request = encode(task.mode, &context, &ids, &choice.continuation, tokenizer);
        known = Some((context, ids));
        request
    };
    task.documents[prompt.document].choices().iter().map(&mut request).collect()
}

/// The ids of a pair of texts, of which those of the context are known. No context stays empty: a
/// prefix token stands in.
fn encode(
    mode: Mode,
    context: &str,
    context_ids: &[u32],
    continuation: &str,
    tokenizer: &Tokenizer,
) -> Result<ScoreRequest, HarnessError> {
    let is_apart = context.is_empty() || mode == Mode::Polyglot;
    let continuation = if is_apart {
        tokenizer.encode_to_vec(continuation)
    } else {
        let whole = ids(mode, &format!("{context}{continuation}"), tokenizer);
        whole.get(context_ids.len()..).unwrap_or_default().to_vec()
    };
    if context.is_empty() || context_ids.is_empty() {
        return after_nothing(mode, continuation, tokenizer);
    }
    Ok(ScoreRequest { context: context_ids.to_vec(), continuation })
}

fn context_ids(mode: Mode, context: &str, tokenizer: &Tokenizer) -> Vec<u32> {
    match mode {
        Mode::Polyglot => tokenizer.encode_to_vec(context),
        Mode::LeaderboardV1 | Mode::LmEval => ids(mode, readable(mode, context), tokenizer),
    }
}

/// The part of a context whose ids stand in the context of a request.
fn readable(mode: Mode, context: &str) -> &str {
    match mode {
        Mode::Polyglot => context,
        Mode::LeaderboardV1 | Mode::LmEval => context.trim_end_matches(is_python_blank),
    }
}

/// A text as ids, after `<s>` where the mode begins so.
pub fn ids(mode: Mode, text: &str, tokenizer: &Tokenizer) -> Vec<u32> {
    let begin = tokenizer.bos_id().filter(|_| mode == Mode::LmEval && tokenizer.add_bos());
    let mut ids: Vec<u32> = begin.into_iter().collect();
    tokenizer.encode(text, &mut ids);
    ids
}

/// The prefix token is the end token, but in `lm-eval` the one that begins a text, where there is
/// one; a continuation that starts with it needs no other.
fn after_nothing(
    mode: Mode,
    mut continuation: Vec<u32>,
    tokenizer: &Tokenizer,
) -> Result<ScoreRequest, HarnessError> {
    let begin = tokenizer.bos_id().filter(|_| mode == Mode::LmEval);
    let prefix = begin.or(tokenizer.eos_id()).ok_or(EngineError::NoPrefixToken)?;
    if mode == Mode::LmEval && continuation.first() == Some(&prefix) {
        continuation.remove(0);
    }
    Ok(ScoreRequest { context: vec![prefix], continuation })
}

/// What Python's `str.isspace` knows beyond Unicode's White_Space: four separators of ASCII.
fn is_python_blank(character: char) -> bool {
    character.is_whitespace() || ('\x1C'..='\x1F').contains(&character)
}

/// Whether a model of `window` positions sees only the end of the request. The last id is only
/// predicted, never read, so one more than the window fits.
pub fn is_cut(request: &ScoreRequest, window: usize) -> bool {
    excess(request, window) > 0
}

/// Ids that the request loses at its beginning.
fn excess(request: &ScoreRequest, window: usize) -> usize {
    (request.context.len().max(1) + request.continuation.len()).saturating_sub(window + 1)
}

/// How many of the shots that begin at the bytes `shots` of a context a model of `window` positions
/// still sees whole.
pub fn whole_shots(
    mode: Mode,
    context: &str,
    shots: &[usize],
    request: &ScoreRequest,
    tokenizer: &Tokenizer,
    window: usize,
) -> usize {
    let (text, lost) = (readable(mode, context), excess(request, window));
    shots_seen(text, shots, request.context.len(), lost, tokenizer)
}

/// How many of the shots that begin at the bytes `shots` of a text are whole after the first `lost`
/// of its `ids` are gone, a beginning of the text counted.
pub fn shots_seen(
    text: &str,
    shots: &[usize],
    ids: usize,
    lost: usize,
    tokenizer: &Tokenizer,
) -> usize {
    if lost == 0 || shots.is_empty() {
        return shots.len();
    }
    let offsets = tokenizer.encode_with_offsets(text);
    let begin = ids.saturating_sub(offsets.len());
    match offsets.get(lost.saturating_sub(begin)) {
        None => 0,
        Some((_, seen)) => shots.iter().filter(|&&shot| shot >= seen.start).count(),
    }
}

/// SHA-256 over the requests in their order, each written as the number of context ids, these,
/// the number of continuation ids, these; all as 32-bit little-endian words. In hexadecimal.
pub fn fingerprint(requests: &[ScoreRequest]) -> String {
    let mut fingerprint = Fingerprint::default();
    requests.iter().for_each(|request| fingerprint.add(request));
    fingerprint.finish()
}

/// What [`fingerprint`] gives, of requests that come one after the other.
#[derive(Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Takes the next request in.
    pub fn add(&mut self, request: &ScoreRequest) {
        for ids in [&request.context, &request.continuation] {
            self.0.update((ids.len() as u32).to_le_bytes());
            ids.iter().for_each(|id| self.0.update(id.to_le_bytes()));
        }
    }

    /// SHA-256 in hexadecimal.
    pub fn finish(self) -> String {
        hexadecimal(self.0)
    }
}

/// SHA-256 over what the requests say, for comparing runs of different tokenizers: of each context
/// and continuation the number of its bytes as a 64-bit little-endian word, then these.
pub fn texts_fingerprint(task: &Task, prompts: &[Prompt]) -> String {
    let mut hash = Sha256::new();
    let mut take = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for prompt in prompts {
        let document = &task.documents[prompt.document];
        if let Asked::Written { .. } = document.asked {
            take(&prompt.text);
        }
        for choice in document.choices() {
            take(&prompt.context(choice));
            take(&choice.continuation);
        }
    }
    hexadecimal(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::small_kobest::{ids as bytes, tokenizer, tokenizer_that_begins};

    /// The ids of a pair in one mode, by a tokenizer that wants `<s>` or one that does not.
    fn encoded(mode: Mode, begins: bool, context: &str, continuation: &str) -> ScoreRequest {
        let folder = tempfile::tempdir().unwrap();
        let make = if begins { tokenizer_that_begins } else { tokenizer };
        let tokenizer = make(folder.path());
        let ids = context_ids(mode, context, &tokenizer);
        encode(mode, context, &ids, continuation, &tokenizer).unwrap()
    }

    #[test]
    fn polyglot_encodes_both_sides_apart_and_without_a_beginning() {
        for begins in [false, true] {
            let found = encoded(Mode::Polyglot, begins, "ab \n", " c");
            assert_eq!(found, request(&bytes("ab \n"), &bytes(" c")));
        }
    }

    #[test]
    fn the_others_encode_them_as_one_text_and_hand_blanks_over() {
        let (context, whole) = (bytes("ab"), bytes("ab \u{3000}\n\u{1f} c"));
        let expected = request(&context, &whole[context.len()..]);
        for begins in [false, true] {
            let found = encoded(Mode::LeaderboardV1, begins, "ab \u{3000}\n\u{1f}", " c");
            assert_eq!(found, expected);
        }
        assert_eq!(encoded(Mode::LmEval, false, "ab \u{3000}\n\u{1f}", " c"), expected);
        let found = encoded(Mode::LmEval, true, "ab \u{3000}\n\u{1f}", " c");
        assert_eq!(found, request(&[&[1], &*context].concat(), &expected.continuation));
    }

    #[test]
    fn a_prefix_stands_for_an_empty_context() {
        let (c, end, begin) = (bytes("c"), 2, 1);
        assert_eq!(encoded(Mode::Polyglot, true, "", "c"), request(&[end], &c));
        assert_eq!(encoded(Mode::LeaderboardV1, true, "", "c"), request(&[end], &c));
        assert_eq!(encoded(Mode::LmEval, true, "", "c"), request(&[begin], &c));
        assert_eq!(encoded(Mode::LmEval, false, "", "c"), request(&[begin], &c));
    }

    #[test]
    fn a_shot_is_whole_as_long_as_its_first_byte_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer_that_begins(folder.path());
        let text = "aa\n\nbb\n\nq";
        // `<s>`, the mark before the text, then bytes; the second shot begins at the seventh id.
        let expected = [2, 2, 2, 1, 1, 1, 1, 0, 0];
        for (lost, expected) in expected.into_iter().enumerate() {
            let found = shots_seen(text, &[0, 4], 2 + text.len(), lost, &tokenizer);
            assert_eq!(found, expected, "{lost} ids lost");
        }
        let all = 2 + text.len();
        assert_eq!(shots_seen(text, &[0, 4], all, all, &tokenizer), 0);
    }

    fn request(context: &[u32], continuation: &[u32]) -> ScoreRequest {
        ScoreRequest { context: context.to_vec(), continuation: continuation.to_vec() }
    }

    #[test]
    fn a_request_fits_as_long_as_all_but_its_last_id_do() {
        assert!(!is_cut(&request(&[1, 2, 3], &[4, 5]), 4));
        assert!(is_cut(&request(&[1, 2, 3, 4], &[5, 6]), 4));
        assert!(!is_cut(&request(&[], &[1, 2, 3, 4]), 4), "the prefix token takes one place");
        assert!(is_cut(&request(&[], &[1, 2, 3, 4, 5]), 4));
    }

    #[test]
    fn the_fingerprint_is_sha256_over_counts_and_ids() {
        // hashlib.sha256(struct.pack("<5I", 2, 1, 32000, 1, 7)).hexdigest() in Python.
        let expected = "7b7a0ac1d522d26050ff150f18d5964f6c19c200c98ee845eac51693f6c6d137";
        assert_eq!(fingerprint(&[request(&[1, 32000], &[7])]), expected);
    }

    #[test]
    fn the_fingerprint_tells_where_a_context_ends() {
        let split = [request(&[1, 2], &[3])];
        assert_ne!(fingerprint(&split), fingerprint(&[request(&[1], &[2, 3])]));
        assert_ne!(fingerprint(&split), fingerprint(&[split[0].clone(), split[0].clone()]));
    }
}
