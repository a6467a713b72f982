//! A text to learn from, and how much it weighs.
//!
//! Counts are kept in parts of an occurrence, so that what stands in one text may count for more
//! than what stands in another.

/// Parts that an occurrence in an ordinary text has.
pub const PARTS: u64 = 32;
/// Texts do not weigh more than so many ordinary ones.
const HEAVIEST: f64 = 4.0;

/// A text and its weight; a `String` alone weighs 1.
pub struct WeightedText {
    pub(crate) text: String,
    /// In parts of an occurrence.
    pub(crate) parts: u64,
}

impl WeightedText {
    /// What stands in this text counts `weight` times, from 1 to 4.
    pub fn new(text: String, weight: f64) -> WeightedText {
        let parts = (weight.clamp(1.0, HEAVIEST) * PARTS as f64).round() as u64;
        // Not a number would become 0.
        WeightedText { text, parts: parts.max(PARTS) }
    }
}

impl From<String> for WeightedText {
    fn from(text: String) -> WeightedText {
        WeightedText { text, parts: PARTS }
    }
}
