//! What happens to a text before anything is merged: the space mark of Llama 2.
//!
//! A blank is written `▁` (U+2581), and one `▁` is put before a text that is not empty (files differ
//! in when, see [`Prefix`] and [`PrefixPlace`]). Nothing else is touched: no Unicode normalisation,
//! no trimming. Because a literal `▁` and a blank lead
//! to the same pieces, the encoder works on the *blank form*, where both are a blank: that is one
//! byte instead of three and needs no copy of an ordinary text.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;

/// The mark that stands for a blank inside pieces.
pub const SPACE_MARK: char = '▁';
/// Its bytes.
pub const MARK: [u8; 3] = [0xe2, 0x96, 0x81];
/// Korean is full of the last byte of the mark; this looks for several at a time.
static MARK_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&MARK));

/// The facts that tokenizer files may differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalizer {
    /// Whether a `▁` is put before.
    pub prefix: Prefix,
    /// Before what, when added pieces are cut out of a text.
    pub place: PrefixPlace,
}

/// When a `▁` is put before a text that is not empty. Unless never, decoding takes one away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// The text is taken as it stands.
    Never,
    /// Whatever the text begins with (SentencePiece, and the normalizer `Prepend`).
    Always,
    /// Not when the text begins with a blank or a `▁` (the pre-tokenizer `Metaspace`).
    UnlessBlank,
}

impl Prefix {
    /// Whether a `▁` is put before this text.
    pub fn applies(self, text: &str) -> bool {
        match self {
            Prefix::Never => false,
            Prefix::Always => !text.is_empty(),
            Prefix::UnlessBlank => !text.is_empty() && !text.starts_with([' ', SPACE_MARK]),
        }
    }
}

/// What a `▁` is put before, when added pieces are cut out of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixPlace {
    /// The text, before anything is cut out of it (SentencePiece).
    Text,
    /// What begins the text, unless that is an added piece (`Metaspace` with scheme `first`).
    FirstStretch,
    /// Each stretch between added pieces (`Prepend`, and `Metaspace` with scheme `always`).
    EachStretch,
}

/// Whether a `▁` stands somewhere in the bytes of a text.
pub fn holds_mark(text: &[u8]) -> bool {
    MARK_FINDER.find(text).is_some()
}

/// A text with every `▁` turned into a blank.
pub fn blank_form(text: &str) -> Cow<'_, str> {
    if holds_mark(text.as_bytes()) {
        Cow::Owned(text.replace(SPACE_MARK, " "))
    } else {
        Cow::Borrowed(text)
    }
}

/// The character that pieces hold for a character of the blank form.
pub fn marked(character: char) -> char {
    if character == ' ' { SPACE_MARK } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_text_is_not_copied() {
        assert!(matches!(blank_form("안녕 하세요"), Cow::Borrowed(_)));
        assert_eq!(blank_form("▁a▁ b"), " a  b");
    }

    #[test]
    fn only_the_blank_is_marked() {
        assert_eq!([' ', '\t', '\u{a0}', 'a'].map(marked), ['▁', '\t', '\u{a0}', 'a']);
    }
}
