//! Who comes in and who goes: slots of the cache for requests that wait, what a beginning has been read
//! for already, and what is kept when a sequence ends. Runs no model.

use super::Engine;
use crate::prefix::{SHORTEST, shared};
use crate::request::RequestId;
use crate::sequence::Sequence;
use kollama_llama::KvCache;
use std::ops::Range;

impl Engine<'_> {
    /// In turn, as long as the cache has a slot; nobody goes past one that waits for a large one.
    pub(super) fn admit(&mut self) {
        while let Some((_, (request, _))) = self.waiting.first_key_value() {
            let rows = request.prompt.len() + request.max_new_tokens;
            if !self.slots.would_fit(rows, self.prefixes.slots()) {
                return;
            }
            let Some(((turn, id), asked)) = self.waiting.pop_first() else { return };
            self.turn = self.turn.max(turn);
            // Log-probabilities need every row of the prompt.
            let shares = self.shares && !asked.1.of_prompt;
            let prompt = if shares { &asked.0.prompt } else { &[][..] };
            let follows = self.find_reader(prompt);
            let kept =
                self.prefixes.find(prompt).filter(|kept| follows.is_none_or(|f| f.1 <= kept.1));
            let source = kept.map(|(index, _)| self.prefixes.touch(index));
            let Some(slot) = self.take_slot(rows) else { return };
            let mut sequence = Sequence::new(id, asked, slot, self.tokenizer);
            match source {
                Some(source) => take_over(&mut self.cache, &mut sequence, source, kept),
                None => sequence.follows = follows,
            }
            self.running.push(sequence);
        }
    }

    /// A slot; what is kept is given up as long as there is none. What was used last goes last, and if
    /// it must go as well, the slot begins where it lay or before.
    fn take_slot(&mut self, rows: usize) -> Option<Range<usize>> {
        loop {
            if let Some(slot) = self.slots.take(rows) {
                return Some(slot);
            }
            let given_up = self.prefixes.give_up()?;
            self.slots.give_back(given_up);
        }
    }

    /// The running sequence that shares most tokens with the beginning of `prompt`, and how many.
    fn find_reader(&self, prompt: &[u32]) -> Option<(RequestId, usize)> {
        let longest = prompt.len().saturating_sub(1);
        let share = |s: &Sequence<'_>| (s.id, shared(&s.request.prompt, prompt).min(longest));
        let readers = self.running.iter().map(share);
        readers.max_by_key(|&(_, shared)| shared).filter(|&(_, shared)| shared >= SHORTEST)
    }

    /// Lets sequences go on whose beginning another one has read by now, or that wait for one that
    /// has gone.
    pub(super) fn follow(&mut self) {
        for index in 0..self.running.len() {
            let Some((id, rows)) = self.running[index].follows else { continue };
            let reader = self.running.iter().find(|sequence| sequence.id == id);
            let source = match reader {
                Some(reader) if reader.read < rows => continue,
                Some(reader) => Some((reader.slot.clone(), rows)),
                None => {
                    let kept = self.prefixes.find(&self.running[index].request.prompt);
                    kept.map(|(index, rows)| (self.prefixes.touch(index), rows))
                }
            };
            let sequence = &mut self.running[index];
            sequence.follows = None;
            if let Some((slot, rows)) = source {
                take_over(&mut self.cache, sequence, slot, Some((0, rows)));
            }
        }
    }

    /// Keeps what a sequence has read, and frees the rest of its slot.
    pub(super) fn release(&mut self, id: RequestId) {
        let Some(index) = self.running.iter().position(|s| s.id == id) else { return };
        let Sequence { mut tokens, read, slot, .. } = self.running.remove(index);
        tokens.truncate(read);
        if tokens.len() < SHORTEST || !self.shares {
            return self.slots.give_back(slot);
        }
        let end = slot.start + tokens.len();
        let needless = self.prefixes.keep(tokens, slot.start..end);
        let unused = std::iter::once(end..slot.end).chain(needless);
        unused.filter(|slot| !slot.is_empty()).for_each(|slot| self.slots.give_back(slot));
    }
}

/// Copies the rows of `kept`'s number of tokens, which lie from the start of `source` on, and marks
/// them as read; the last token of a prompt is always read, since its logits are wanted.
fn take_over(
    cache: &mut KvCache,
    sequence: &mut Sequence<'_>,
    source: Range<usize>,
    kept: Option<(usize, usize)>,
) {
    let rows = kept.map_or(0, |(_, rows)| rows.min(sequence.request.prompt.len() - 1));
    if source.start != sequence.slot.start {
        cache.copy_rows(source.start..source.start + rows, sequence.slot.start);
    }
    sequence.found(rows);
}
