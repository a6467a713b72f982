//! What a packed row holds, and how its words lie in a shard.
//!
//! A row of N ids is stored as 32-bit words: the N ids, then the labels that cannot be derived
//! from them (the last one, or all N), then, where documents are confined, N document numbers.
//! How a stream of documents is cut into rows is said in `packing`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The label of a position whose prediction is not counted.
pub const NOT_COUNTED: i32 = -100;

/// How documents that share a row see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentMode {
    /// One stream of documents joined by `</s>`; attention runs across them.
    Join,
    /// The same rows with a document number for each position: attention stays inside equal
    /// numbers, positions restart, and the last token of a document predicts nothing.
    Confine,
}

/// Which labels of a row are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoredLabels {
    /// The last one; the others are the ids moved by one place.
    Last,
    /// All of them.
    All,
}

/// One row, ready to train on. N is the sequence length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The N input ids.
    pub ids: &'a [u32],
    /// N labels, already moved by one: `labels[t]` is what position `t` is to predict, or
    /// [`NOT_COUNTED`].
    pub labels: Cow<'a, [i32]>,
    /// N document numbers, equal ones side by side; only where documents are confined.
    pub documents: Option<&'a [u32]>,
}

/// Where ids, labels and document numbers lie in the words of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowLayout {
    pub(crate) sequence_length: usize,
    pub(crate) labels: StoredLabels,
    pub(crate) documents: DocumentMode,
}

impl RowLayout {
    /// How many labels are stored.
    pub(crate) fn label_words(&self) -> usize {
        match self.labels {
            StoredLabels::Last => 1,
            StoredLabels::All => self.sequence_length,
        }
    }

    /// How many document numbers are stored.
    pub(crate) fn document_words(&self) -> usize {
        match self.documents {
            DocumentMode::Join => 0,
            DocumentMode::Confine => self.sequence_length,
        }
    }

    /// The words of a whole row.
    pub(crate) fn words(&self) -> usize {
        self.sequence_length + self.label_words() + self.document_words()
    }

    /// The row that `words` hold; there have to be exactly [`RowLayout::words`] of them.
    pub(crate) fn row<'a>(&self, words: &'a [u32]) -> Row<'a> {
        let (ids, rest) = words.split_at(self.sequence_length);
        let (labels, documents) = rest.split_at(self.label_words());
        let labels: &[i32] = bytemuck::cast_slice(labels);
        let documents = (self.documents == DocumentMode::Confine).then_some(documents);
        let labels = match self.labels {
            StoredLabels::All => Cow::Borrowed(labels),
            StoredLabels::Last => Cow::Owned(next_labels(ids, documents, labels[0])),
        };
        Row { ids, labels, documents }
    }
}

/// The labels of `ids`: each position predicts the next one if it is of the same document, and
/// the last position predicts `last`.
pub(crate) fn next_labels(ids: &[u32], documents: Option<&[u32]>, last: i32) -> Vec<i32> {
    let mut labels: Vec<i32> = ids.iter().skip(1).map(|&id| id.cast_signed()).collect();
    if let Some(documents) = documents {
        for (label, pair) in labels.iter_mut().zip(documents.windows(2)) {
            if pair[0] != pair[1] {
                *label = NOT_COUNTED;
            }
        }
    }
    labels.push(last);
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: u32 = NOT_COUNTED.cast_unsigned();

    #[test]
    fn a_joined_row_predicts_its_own_next_ids() {
        let layout = RowLayout {
            sequence_length: 3,
            labels: StoredLabels::Last,
            documents: DocumentMode::Join,
        };
        assert_eq!(layout.words(), 4);
        let row = layout.row(&[5, 6, 7, 8]);
        assert_eq!(row.ids, [5, 6, 7]);
        assert_eq!(*row.labels, [6, 7, 8]);
        assert_eq!(row.documents, None);
    }

    #[test]
    fn a_confined_row_predicts_nothing_across_documents() {
        let layout = RowLayout {
            sequence_length: 4,
            labels: StoredLabels::Last,
            documents: DocumentMode::Confine,
        };
        let row = layout.row(&[5, 2, 7, 8, NONE, 0, 0, 1, 1]);
        assert_eq!(*row.labels, [2, -100, 8, -100]);
        assert_eq!(row.documents, Some(&[0, 0, 1, 1][..]));
    }

    #[test]
    fn stored_labels_are_given_as_they_are() {
        let layout = RowLayout {
            sequence_length: 2,
            labels: StoredLabels::All,
            documents: DocumentMode::Join,
        };
        let row = layout.row(&[5, 6, NONE, 9]);
        assert_eq!(*row.labels, [-100, 9]);
        assert!(matches!(row.labels, Cow::Borrowed(_)));
    }
}
