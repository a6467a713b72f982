//! Texts to portions of about one size, for threads that count.
//!
//! Short texts are put together; a long one is cut after a line end, which no word goes on over, so
//! what is counted is the same. Only a line, not a document, makes a portion large.

use crate::weighted_text::WeightedText;

/// Bytes of text in a portion, or somewhat more.
pub const PORTION_BYTES: usize = 256 << 10;

/// Texts that are handed out in portions.
pub struct Portions<I> {
    texts: I,
    /// The text that has been begun, and how many of its bytes were handed out.
    begun: Option<(WeightedText, usize)>,
}

impl<T: Into<WeightedText>, E, I: Iterator<Item = Result<T, E>>> Portions<I> {
    /// Begins with the first text.
    pub fn new(texts: I) -> Portions<I> {
        Portions { texts, begun: None }
    }

    /// Text of one weight: some texts, each after the blank that the encoder puts before a text and
    /// with a line end behind it, or a part of one; `None` after the last.
    ///
    /// # Errors
    /// Those that reading the texts gives.
    pub fn next(&mut self) -> Result<Option<WeightedText>, E> {
        let room = String::with_capacity(PORTION_BYTES + PORTION_BYTES / 4);
        let mut portion = WeightedText::from(room);
        while portion.text.len() < PORTION_BYTES {
            let (text, done) = match self.begun.take() {
                Some(begun) => begun,
                None => match self.texts.next() {
                    Some(text) => (text?.into(), 0),
                    None => break,
                },
            };
            if portion.text.is_empty() {
                portion.parts = text.parts;
            } else if portion.parts != text.parts {
                self.begun = Some((text, done));
                break;
            }
            let end = append(&text.text, done, &mut portion.text);
            self.begun = (end < text.text.len()).then_some((text, end));
        }
        Ok((!portion.text.is_empty()).then_some(portion))
    }
}

/// Appends a text from `done` on, at most to the first line end that fills a portion; returns where
/// it stopped.
fn append(text: &str, done: usize, portion: &mut String) -> usize {
    if done == 0 {
        portion.push(' ');
    }
    let full = text.floor_char_boundary(done + PORTION_BYTES);
    let end = text[full..].find('\n').map_or(text.len(), |line_end| full + line_end + 1);
    portion.push_str(&text[done..end]);
    if end == text.len() {
        portion.push('\n');
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portions(texts: &[String]) -> Vec<String> {
        let texts = texts.iter().map(|text| Ok::<_, ()>(text.clone()));
        let mut portions = Portions::new(texts);
        std::iter::from_fn(|| portions.next().unwrap()).map(|portion| portion.text).collect()
    }

    #[test]
    fn short_texts_are_put_together() {
        assert_eq!(portions(&["가".into(), String::new(), "나\n".into()]), [" 가\n \n 나\n\n"]);
        assert!(portions(&[]).is_empty());
    }

    #[test]
    fn a_long_text_is_cut_after_line_ends_and_nothing_is_lost() {
        let line = format!("{}\n", "가나 ".repeat(1000));
        let texts = ["다".to_owned(), line.repeat(200), "라".to_owned()];
        let found = portions(&texts);
        assert!(found.len() > 4);
        assert_eq!(found.concat(), format!(" 다\n {}\n 라\n", texts[1]));
        let most = PORTION_BYTES + 2 * line.len();
        assert!(found.iter().all(|portion| portion.len() < most && portion.ends_with('\n')));
    }
}
