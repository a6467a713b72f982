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

/// What one thread has done.
#[derive(Default)]
struct Done {
    ids: Vec<TokenId>,
    /// Where the ids of each text or part end.
    ends: Vec<usize>,
    /// The number of each load, and how many ids and ends there were after it.
    loads: Vec<(usize, usize, usize)>,
}

/// What one load became. Its ends count from the first id of its thread, `before` ids earlier.
#[derive(Clone, Copy)]
struct Piecework<'a> {
    load: usize,
    ids: &'a [TokenId],
    ends: &'a [usize],
    before: usize,
}

impl Done {
    fn by_load(&self) -> impl Iterator<Item = Piecework<'_>> {
        let begins = std::iter::once((0, 0)).chain(self.loads.iter().map(|&(_, a, b)| (a, b)));
        begins.zip(&self.loads).map(|((id, end), &(load, ids, ends))| Piecework {
            load,
            ids: &self.ids[id..ids],
            ends: &self.ends[end..ends],
            before: id,
        })
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
    let next = AtomicUsize::new(0);
    let work = || encoder.with_space(|space| work(encoder, definition, space, &loads, &next));
    let helpers = threads.min(loads.len()).saturating_sub(1);
    let mut done = thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let mut done = vec![work()];
        for helper in helpers {
            done.push(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    let mut by_load: Vec<Piecework<'_>> = done.iter().flat_map(Done::by_load).collect();
    by_load.sort_unstable_by_key(|work| work.load);
    let ends = ends(&loads, &by_load);
    let ids = match helpers {
        0 => done.pop().map_or(Vec::new(), |done| done.ids),
        _ => put_together(&by_load, helpers + 1),
    };
    EncodedBatch { ids, ends }
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

/// Encodes loads until none is left.
fn work<T: AsRef<str>>(
    encoder: &Encoder,
    definition: &Definition,
    space: &mut Space,
    loads: &[Load<'_, T>],
    next: &AtomicUsize,
) -> Done {
    let prefix = definition.normalizer.prefix;
    let mut done = Done::default();
    while let number = next.fetch_add(1, Ordering::Relaxed)
        && let Some(load) = loads.get(number)
    {
        let out = (&mut done.ids, &mut done.ends);
        match load {
            Load::Texts(texts) if encoder.cuts_out() => {
                encoder.encode_whole(space, definition, texts.iter().map(AsRef::as_ref), out);
            }
            Load::Texts(texts) => {
                let texts = texts.iter().map(|text| (text.as_ref(), prefix));
                encoder.encode_parts(space, definition, texts, out);
            }
            &Load::Part(text, prefix, _) => {
                encoder.encode_parts(space, definition, std::iter::once((text, prefix)), out);
            }
        }
        done.loads.push((number, done.ids.len(), done.ends.len()));
    }
    done
}

/// All ids in one row; as many threads copy, and touch the new memory, as have encoded.
fn put_together(done: &[Piecework<'_>], threads: usize) -> Vec<TokenId> {
    let mut ids = vec![0; done.iter().map(|work| work.ids.len()).sum()];
    thread::scope(|scope| {
        let mut rest = ids.as_mut_slice();
        for some in done.chunks(done.len().div_ceil(threads).max(1)) {
            let (mut place, after) =
                rest.split_at_mut(some.iter().map(|work| work.ids.len()).sum());
            rest = after;
            scope.spawn(move || {
                for work in some {
                    let (here, after) = std::mem::take(&mut place).split_at_mut(work.ids.len());
                    here.copy_from_slice(work.ids);
                    place = after;
                }
            });
        }
    });
    ids
}

/// Where the ids of each text end, among those of all.
fn ends<T>(loads: &[Load<'_, T>], done: &[Piecework<'_>]) -> Vec<usize> {
    let mut all = Vec::with_capacity(done.iter().map(|work| work.ends.len()).sum());
    let mut before = 0;
    for (load, work) in loads.iter().zip(done) {
        if !matches!(load, Load::Part(_, _, true)) {
            all.extend(work.ends.iter().map(|end| before + end - work.before));
        }
        before += work.ids.len();
    }
    all
}
