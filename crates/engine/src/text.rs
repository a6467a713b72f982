//! Tokens to text as it becomes certain. A character that is not whole is held back; bytes that are
//! no character become one U+FFFD for each part that could have begun one ("maximal subpart", Unicode
//! 3.9), as soon as that is certain. So all pieces joined are the text of all bytes at once. Knows no
//! requests.

use kollama_tokenizer::Tokenizer;

const BROKEN: char = char::REPLACEMENT_CHARACTER;

/// Text that arrives token by token.
pub struct TextStream<'t> {
    tokenizer: &'t Tokenizer,
    /// The beginning of a character; at most three bytes between two calls.
    open: Vec<u8>,
    strips_blank: bool,
}

impl<'t> TextStream<'t> {
    /// At the very start of a text.
    pub fn new(tokenizer: &'t Tokenizer) -> TextStream<'t> {
        let strips_blank = tokenizer.strips_first_blank();
        TextStream { tokenizer, open: Vec::new(), strips_blank }
    }

    /// Takes the next token; returns the text that is certain by now, which may be empty.
    pub fn push(&mut self, token: u32) -> String {
        self.open.extend_from_slice(self.tokenizer.bytes_of(token));
        let certain = self.certain();
        self.after_blank(certain)
    }

    /// What was held back, once no more tokens can come.
    pub fn finish(&mut self) -> String {
        let rest = if self.open.is_empty() { String::new() } else { BROKEN.to_string() };
        self.open.clear();
        self.after_blank(rest)
    }

    fn certain(&mut self) -> String {
        let mut text = String::new();
        let mut chunks = self.open.utf8_chunks().peekable();
        let mut held = 0;
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            let may_go_on = chunks.peek().is_none() && is_begun(invalid);
            match may_go_on {
                true => held = invalid.len(),
                false if !invalid.is_empty() => text.push(BROKEN),
                false => {}
            }
        }
        self.open.drain(..self.open.len() - held);
        text
    }

    /// Takes the mark before the text off its first piece.
    fn after_blank(&mut self, mut text: String) -> String {
        if !text.is_empty() && std::mem::take(&mut self.strips_blank) && text.starts_with(' ') {
            text.remove(0);
        }
        text
    }
}

/// Whether bytes are the beginning of a character and not yet known to be none.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// The text of a prompt as far as it is certain: without a character that only an answer can finish.
pub fn certain_text(tokenizer: &Tokenizer, prompt: &[u32]) -> String {
    let mut stream = TextStream::new(tokenizer);
    prompt.iter().map(|&token| stream.push(token)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kollama_tokenizer::{TokenizerError, train};

    fn tokenizer() -> Tokenizer {
        let texts = [Ok::<_, TokenizerError>("the cat ".repeat(20))];
        train(texts.into_iter(), 268, 1.0).unwrap()
    }

    fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
        let mut stream = TextStream::new(tokenizer);
        let mut pieces: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
        pieces.push(stream.finish());
        pieces
    }

    #[test]
    fn pieces_joined_are_the_text_of_all_bytes() {
        let tokenizer = tokenizer();
        let byte = |byte: u8| tokenizer.id_of(&format!("<0x{byte:02X}>")).unwrap();
        let bytes = [0xEC, 0x95, 0x88, 0xEC, 0xEC, 0x95, 0x61, 0xFF, 0xF0, 0x9F, 0x98, 0x80, 0xF0];
        let ids: Vec<u32> = bytes.iter().map(|&b| byte(b)).collect();
        let lossy = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(lossy, "안\u{FFFD}\u{FFFD}a\u{FFFD}😀\u{FFFD}");
        for end in 0..=ids.len() {
            let whole = String::from_utf8_lossy(&bytes[..end]).into_owned();
            assert_eq!(streamed(&tokenizer, &ids[..end]).concat(), whole);
        }
        assert_eq!(streamed(&tokenizer, &ids[..3]), ["", "", "안", ""], "shown when it is whole");
    }

    #[test]
    fn only_the_mark_before_a_text_is_taken_away() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode_to_vec("  the cat");
        assert_eq!(streamed(&tokenizer, &ids).concat(), "  the cat");
        assert_eq!(certain_text(&tokenizer, &ids), "  the cat");
    }
}
