//! Many texts to ids by several threads, long texts in parts.
//!
//! A long text is divided where no merge can cross, so the ids are those of the whole. (Texts are
//! not divided where user-defined pieces may stand in them.) Threads take loads of about equal size
//! until none is left; each has a memory of its own. Whoever has done a load puts it where it
//! belongs, while its ids are still in the processor's cache, and uses the room again: only the
//! result takes fresh memory, which costs about as much as the ids in it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
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
}

/// What a thread takes at a time.
enum Load<'a, T> {
    /// Whole texts.
    Texts(&'a [T]),
    /// A part of a long text, what is put before it, and whether the next load goes on with it.
    Part(&'a str, Prefix, bool),
}

/// What was done, put together in the order of the loads.
#[derive(Default)]
struct Gathered {
    batch: EncodedBatch,
    /// How many loads it holds.
    loads: usize,
    /// Loads that were done before one that comes first.
    early: BTreeMap<usize, EncodedBatch>,
    /// Room to use again.
    spare: Vec<EncodedBatch>,
}

impl Gathered {
    /// Takes a load that was done, and all that waited for it; returns room for another.
    fn take(&mut self, number: usize, done: EncodedBatch) -> EncodedBatch {
        self.early.insert(number, done);
        while let Some(mut done) = self.early.remove(&self.loads) {
            let before = self.batch.ids.len();
            self.batch.ids.extend_from_slice(&done.ids);
            self.batch.ends.extend(done.ends.iter().map(|end| before + end));
            self.loads += 1;
            done.ids.clear();
            done.ends.clear();
            self.spare.push(done);
        }
        self.spare.pop().unwrap_or_default()
    }
}

/// The ids of each text, as encoding one after the other gives them.
pub fn encode_batch(
    encoder: &Encoder,
    definition: &Definition,
    texts: &[impl AsRef<str> + Sync],
    threads: usize,
) -> EncodedBatch {
    let loads = loads(encoder, definition, texts);
    let threads = threads.min(loads.len());
    if threads < 2 {
        let mut batch = EncodedBatch::default();
        encoder.with_space(|space| {
            loads.iter().for_each(|load| encode(encoder, definition, space, load, &mut batch));
        });
        return batch;
    }
    let (next, gathered) = (AtomicUsize::new(0), Mutex::new(Gathered::default()));
    let work = || {
        encoder.with_space(|space| {
            let mut room = EncodedBatch::default();
            while let number = next.fetch_add(1, Ordering::Relaxed)
                && let Some(load) = loads.get(number)
            {
                encode(encoder, definition, space, load, &mut room);
                let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                room = gathered.take(number, room);
            }
        });
    };
    thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    gathered.into_inner().unwrap_or_else(PoisonError::into_inner).batch
}

/// Appends the ids of a load. A part whose text goes on has no end.
fn encode<T: AsRef<str>>(
    encoder: &Encoder,
    definition: &Definition,
    space: &mut Space,
    load: &Load<'_, T>,
    EncodedBatch { ids, ends }: &mut EncodedBatch,
) {
    let prefix = definition.normalizer.prefix;
    match load {
        Load::Texts(texts) if encoder.cuts_out() => {
            let texts = texts.iter().map(AsRef::as_ref);
            encoder.encode_whole(space, definition, texts, (ids, ends));
        }
        Load::Texts(texts) => {
            let texts = texts.iter().map(|text| (text.as_ref(), prefix));
            encoder.encode_parts(space, definition, texts, (ids, ends));
        }
        &Load::Part(text, prefix, goes_on) => {
            encoder.encode_parts(space, definition, std::iter::once((text, prefix)), (ids, ends));
            if goes_on {
                ends.pop();
            }
        }
    }
}

/// Neighbouring texts of together at least [`LOAD`] bytes, and parts of long texts.
fn loads<'a, T: AsRef<str>>(
    encoder: &Encoder,
    definition: &Definition,
    texts: &'a [T],
) -> Vec<Load<'a, T>> {
    let mut loads = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (number, text) in texts.iter().enumerate() {
        let parts = divide(encoder, definition, text.as_ref());
        bytes += text.as_ref().len();
        if !parts.is_empty() {
            loads.push(Load::Texts(&texts[first..number]));
            loads.extend(
                parts.into_iter().map(|(text, prefix, goes_on)| Load::Part(text, prefix, goes_on)),
            );
            (first, bytes) = (number + 1, 0);
        } else if bytes >= LOAD {
            loads.push(Load::Texts(&texts[first..=number]));
            (first, bytes) = (number + 1, 0);
        }
    }
    loads.push(Load::Texts(&texts[first..]));
    loads
}

/// The parts of a long text, each with what is put before it and whether the text goes on after it;
/// none if it is encoded as a whole.
fn divide<'a>(
    encoder: &Encoder,
    definition: &Definition,
    mut text: &'a str,
) -> Vec<(&'a str, Prefix, bool)> {
    let mut parts = Vec::new();
    let mut prefix = definition.normalizer.prefix;
    while text.len() > LONG
        && let Some(place) = encoder.next_division(text, LONG / 2)
    {
        parts.push((&text[..place], prefix, true));
        (text, prefix) = (&text[place..], Prefix::Never);
    }
    if !parts.is_empty() {
        parts.push((text, prefix, false));
    }
    parts
}
