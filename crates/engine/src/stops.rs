//! Finds stop strings in text that arrives in pieces, and holds back what might become one.

/// Watches one answer.
#[derive(Debug)]
pub struct StopWatch {
    stops: Vec<String>,
    held: String,
}

/// What a new piece of text meant.
#[derive(Debug, PartialEq, Eq)]
pub struct Watched {
    /// Text that is certainly not part of a stop string.
    pub text: String,
    /// Whether a stop string has appeared; the text before it is in `text`.
    pub stopped: bool,
}

impl StopWatch {
    /// Empty strings are ignored: they would stop everything.
    pub fn new(stops: &[String]) -> StopWatch {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        StopWatch { stops, held: String::new() }
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, text: &str) -> Watched {
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            return Watched { text: std::mem::take(&mut self.held), stopped: true };
        }
        let certain = self.held.len() - self.open_stop();
        let rest = self.held.split_off(certain);
        Watched { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// What was held back, once no more text can come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end of the held text that begin a stop string.
    fn open_stop(&self) -> usize {
        self.stops.iter().map(|stop| open_suffix(&self.held, stop)).max().unwrap_or(0)
    }
}

fn open_suffix(text: &str, stop: &str) -> usize {
    let lengths = stop.char_indices().map(|(at, _)| at).rev();
    lengths.into_iter().find(|&length| text.ends_with(&stop[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped_text(pieces: &[&str], stops: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|s| s.to_string()).collect();
        let mut watch = StopWatch::new(&stops);
        let mut text = String::new();
        for piece in pieces {
            let watched = watch.push(piece);
            text += &watched.text;
            if watched.stopped {
                return (text, true);
            }
        }
        (text + &watch.finish(), false)
    }

    #[test]
    fn a_stop_string_is_found_across_pieces() {
        assert_eq!(stopped_text(&["질", "문: 답", "변: 예"], &["답변:"]), ("질문: ".into(), true));
    }

    #[test]
    fn the_earliest_of_several_stops_wins() {
        assert_eq!(stopped_text(&["a b c"], &["c", "b"]), ("a ".into(), true));
    }

    #[test]
    fn what_only_began_like_a_stop_is_given_at_the_end() {
        assert_eq!(stopped_text(&["끝 답", "변"], &["답변:"]), ("끝 답변".into(), false));
    }

    #[test]
    fn held_text_never_splits_a_character() {
        let mut watch = StopWatch::new(&["가나".to_owned()]);
        assert_eq!(watch.push("x가"), Watched { text: "x".into(), stopped: false });
        assert_eq!(watch.push("다"), Watched { text: "가다".into(), stopped: false });
    }
}
