//! Many texts to ids by several threads, long texts in parts.
//!
//! A long text is divided where no merge can cross, so the ids are those of the whole. (Texts are
//! not divided where user-defined pieces may stand in them.) Threads take loads of about equal size
//! until none is left; each has a memory of its own. Results do not depend on the number of threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::definition::Definition;
use crate::encoder::{Encoder, Space};
use crate::normalizer::Prefix;
use crate::vocabulary::TokenId;

/// Bytes that a thread takes at a time, at least.
const LOAD: usize = 1 << 16;
/// Longer texts are divided.
const LONG: usize = 1 << 18;

/// The ids of several texts, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedBatch {
    ids: Vec<TokenId>,
    /// Where the ids of each text end.
    ends: Vec<usize>,
}

impl EncodedBatch {
    pub(crate) fn new(ids: Vec<TokenId>, ends: Vec<usize>) -> EncodedBatch {
        EncodedBatch { ids, ends }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there was no text.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ids of all texts.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids
    }

    /// The ids of each text.
    pub fn iter(&self) -> impl Iterator<Item = &[TokenId]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, &end)| &self.ids[begin..end])
    }

    /// Appends what a load became; what goes on with the last text is added to it.
    fn append(&mut self, load: &[Part<'_>], encoded: &EncodedBatch) {
        let before = self.ids.len();
        self.ids.extend_from_slice(&encoded.ids);
        for (part, end) in load.iter().zip(&encoded.ends) {
            if !part.begins_text {
                self.ends.pop();
            }
            self.ends.push(before + end);
        }
    }
}

/// A text or a part of it.
struct Part<'a> {
    text: &'a str,
    /// Put before this part, unless pieces are cut out first.
    prefix: Prefix,
    begins_text: bool,
}

/// The ids of each text, as encoding one after the other gives them.
pub fn encode_batch(
    encoder: &Encoder,
    definition: &Definition,
    texts: &[impl AsRef<str>],
    threads: usize,
) -> EncodedBatch {
    let mut parts = Vec::with_capacity(texts.len());
    texts.iter().for_each(|text| divide(encoder, definition, text.as_ref(), &mut parts));
    let loads = loads(&parts);
    let next = AtomicUsize::new(0);
    let work = || encoder.with_space(|space| work(encoder, definition, space, &loads, &next));
    let helpers = threads.min(loads.len()).saturating_sub(1);
    let mut done = thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|&(load, _)| load);
    let ids = done.iter().map(|(_, encoded)| encoded.ids.len()).sum();
    let mut all = EncodedBatch::new(Vec::with_capacity(ids), Vec::with_capacity(texts.len()));
    done.iter().for_each(|(load, encoded)| all.append(loads[*load], encoded));
    all
}

fn divide<'a>(
    encoder: &Encoder,
    definition: &Definition,
    mut text: &'a str,
    parts: &mut Vec<Part<'a>>,
) {
    let (mut prefix, mut begins_text) = (definition.normalizer.prefix, true);
    while text.len() > LONG
        && let Some(place) = encoder.next_division(text, LONG / 2)
    {
        parts.push(Part { text: &text[..place], prefix, begins_text });
        text = &text[place..];
        (prefix, begins_text) = (Prefix::Never, false);
    }
    parts.push(Part { text, prefix, begins_text });
}

/// Neighbouring parts of together at least [`LOAD`] bytes.
fn loads<'a, 'b>(mut parts: &'b [Part<'a>]) -> Vec<&'b [Part<'a>]> {
    let mut loads = Vec::new();
    while !parts.is_empty() {
        let mut bytes = 0;
        let fits = parts.iter().take_while(|part| {
            let more = bytes < LOAD;
            bytes += part.text.len();
            more
        });
        let (load, rest) = parts.split_at(fits.count());
        loads.push(load);
        parts = rest;
    }
    loads
}

/// Encodes loads until none is left; returns their numbers with what they became.
fn work(
    encoder: &Encoder,
    definition: &Definition,
    space: &mut Space,
    loads: &[&[Part<'_>]],
    next: &AtomicUsize,
) -> Vec<(usize, EncodedBatch)> {
    let mut done = Vec::new();
    while let number = next.fetch_add(1, Ordering::Relaxed)
        && let Some(load) = loads.get(number)
    {
        let encoded = if encoder.cuts_out() {
            encoder.encode_whole(space, definition, load.iter().map(|part| part.text))
        } else {
            let parts = load.iter().map(|part| (part.text, part.prefix));
            encoder.encode_parts(space, definition, parts)
        };
        let (ids, ends) = encoded;
        done.push((number, EncodedBatch::new(ids, ends)));
    }
    done
}
