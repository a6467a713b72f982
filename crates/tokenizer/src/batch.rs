//! Many texts to ids by several threads, long texts in parts.
//!
//! A long text is divided where no merge can cross, so the ids are those of the whole. (Texts are
//! not divided where user-defined pieces may stand in them.) Threads take pieces of work of about
//! equal size until none is left; each has a memory of its own. Results do not depend on the number
//! of threads.

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
) -> Vec<Vec<TokenId>> {
    let mut parts = Vec::with_capacity(texts.len());
    texts.iter().for_each(|text| divide(encoder, definition, text.as_ref(), &mut parts));
    let loads = loads(&parts);
    let next = AtomicUsize::new(0);
    let work = || work(encoder, definition, &loads, &next);
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
    put_together(&parts, done.into_iter().flat_map(|(_, ids)| ids))
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

/// Encodes loads until none is left; returns their numbers with the ids of their parts.
fn work(
    encoder: &Encoder,
    definition: &Definition,
    loads: &[&[Part<'_>]],
    next: &AtomicUsize,
) -> Vec<(usize, Vec<Vec<TokenId>>)> {
    let encode = |space: &mut Space, load: &[Part<'_>]| {
        if encoder.cuts_out() {
            return load
                .iter()
                .map(|part| encoder.encode_to_vec(space, definition, part.text))
                .collect();
        }
        encoder.encode_parts(space, definition, load.iter().map(|part| (part.text, part.prefix)))
    };
    encoder.with_space(|space| {
        let mut done = Vec::new();
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some(load) = loads.get(number)
        {
            done.push((number, encode(space, load)));
        }
        done
    })
}

fn put_together(
    parts: &[Part<'_>],
    encoded: impl Iterator<Item = Vec<TokenId>>,
) -> Vec<Vec<TokenId>> {
    let mut texts: Vec<Vec<TokenId>> = Vec::new();
    for (part, mut ids) in parts.iter().zip(encoded) {
        match texts.last_mut() {
            Some(text) if !part.begins_text => text.append(&mut ids),
            _ => texts.push(ids),
        }
    }
    texts
}
