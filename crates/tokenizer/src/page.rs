//! A page: texts laid out one after the other, ready to be cut and encoded.
//!
//! Texts stand in blank form, each with its prefix; nothing is joined across the place where one
//! begins. Short texts on one page are looked up together like the words of one long text.

use std::borrow::Cow;

use crate::junctions::{BLOCK, Junctions, WINDOW};
use crate::normalizer::{Prefix, blank_form, holds_mark};
use crate::wide_pairs::WIDE;

/// Zeros before the texts, so that there is a character before each.
const BEFORE: usize = WIDE;
/// Zeros after them, so that a whole window may be read from any place.
const AFTER: usize = WINDOW;
/// The room for more is given back.
const LARGEST_KEPT: usize = 1 << 20;

/// The texts. Places count from the first byte of the first text.
#[derive(Default)]
pub struct Page {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Page {
    /// Lays out texts, each with the prefix to put before it.
    pub fn lay_out<'a>(&mut self, texts: impl Iterator<Item = (&'a str, Prefix)> + Clone) {
        self.copy(texts.clone(), Cow::Borrowed);
        // Rare, and looked for in all texts at once.
        if holds_mark(&self.bytes) {
            self.copy(texts, blank_form);
        }
    }

    fn copy<'a>(
        &mut self,
        texts: impl Iterator<Item = (&'a str, Prefix)>,
        form: impl Fn(&'a str) -> Cow<'a, str>,
    ) {
        self.bytes.clear();
        self.starts.clear();
        self.bytes.resize(BEFORE, 0);
        for (text, prefix) in texts {
            self.starts.push(self.bytes.len() - BEFORE);
            if prefix.applies(text) {
                self.bytes.push(b' ');
            }
            self.bytes.extend_from_slice(form(text).as_bytes());
        }
        self.bytes.resize(self.bytes.len() + AFTER, 0);
    }

    /// Gives back the room of a large page.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to(LARGEST_KEPT);
    }

    /// Bytes of all texts.
    pub fn len(&self) -> usize {
        self.bytes.len() - BEFORE - AFTER
    }

    /// Where each text begins.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The bytes from a place on, zeros after the last text.
    #[inline]
    pub fn from(&self, place: usize) -> &[u8] {
        &self.bytes[place + BEFORE..]
    }

    /// Hands over the places where the texts are cut, all but the first and the last, in order.
    #[inline]
    pub fn for_each_cut(&self, junctions: &Junctions, mut cut: impl FnMut(usize)) {
        let len = self.len();
        let mut starts = self.starts.iter().copied().peekable();
        for block in (0..len).step_by(BLOCK) {
            let window = self.bytes[block..].first_chunk().expect("zeros follow the texts");
            let mut cuts = junctions.cuts(window);
            while let Some(start) = starts.next_if(|&start| start < block + BLOCK) {
                cuts |= 1 << (start - block);
            }
            if block == 0 {
                cuts &= !1;
            }
            if len - block < BLOCK {
                cuts &= (1 << (len - block)) - 1;
            }
            while cuts != 0 {
                cut(block + cuts.trailing_zeros() as usize);
                cuts &= cuts - 1;
            }
        }
    }
}
