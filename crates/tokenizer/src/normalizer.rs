//! What happens to a text before anything is merged: the space mark of Llama 2.
//!
//! A blank is written `▁` (U+2581), and one `▁` is put before a text that is not empty. Nothing
//! else is touched: no Unicode normalisation, no trimming. Because a literal `▁` and a blank lead
//! to the same pieces, the encoder works on the *blank form*, where both are a blank: that is one
//! byte instead of three and needs no copy of an ordinary text.

use std::borrow::Cow;

/// The mark that stands for a blank inside pieces.
pub const SPACE_MARK: char = '▁';

/// The facts that tokenizer files may differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalizer {
    /// Whether a `▁` is put before each text, and taken away again when decoding.
    pub add_prefix: bool,
}

/// A text with every `▁` turned into a blank.
pub fn blank_form(text: &str) -> Cow<'_, str> {
    if text.contains(SPACE_MARK) {
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
