//! One text and where it came from.
//!
//! A document is the unit that packing ends with `</s>`. It knows nothing of ids.

use std::path::Path;
use std::sync::Arc;

/// One text with its origin, so that every later word about it can name file and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The text as it stands in the source; may be empty.
    pub text: String,
    /// The `id` that the source gives it, if any.
    pub id: Option<String>,
    /// The file that holds it; shared by all documents of that file.
    pub file: Arc<Path>,
    /// The line on which it begins, counted from 1.
    pub line: u64,
}
