//! Documents to rows of exactly N ids.
//!
//! The documents' ids, each document ended by `</s>` and none begun by `<s>`, form one stream.
//! Rows are windows of N + 1 stream tokens that overlap by one, so each row has N inputs and N
//! labels, and every token but the first is a label exactly once:
//!
//! ```text
//! stream     a b </s> c d </s> e      N = 3
//! row 0      a b </s>                 labels  b </s> c    joined
//!                                             b </s> -    confined (- is not counted)
//! row 1               c d </s>        labels  d </s> e    joined; the next row begins at e
//! ```
//!
//! What does not fill a window at the end of the stream is dropped and counted. Confined rows
//! number their documents from 0 in each row, and `</s>` belongs to the document it ends.

use crate::row::{DocumentMode, NOT_COUNTED, RowLayout, StoredLabels};

/// Cuts a stream of documents into rows; holds one window, whatever a document's length.
pub(crate) struct Packer {
    layout: RowLayout,
    /// Up to N + 1 tokens of the stream.
    ids: Vec<u32>,
    /// The document of each of them, counted from 0 in this window; empty where joined.
    documents: Vec<u32>,
    document: u32,
    row: Vec<u32>,
    tokens: u64,
    rows: u64,
}

impl Packer {
    /// A packer at the beginning of a stream; `sequence_length` is at least 1.
    pub(crate) fn new(sequence_length: usize, documents: DocumentMode) -> Self {
        Self {
            layout: RowLayout { sequence_length, labels: StoredLabels::Last, documents },
            ids: Vec::new(),
            documents: Vec::new(),
            document: 0,
            row: Vec::new(),
            tokens: 0,
            rows: 0,
        }
    }

    /// How the words of the rows lie.
    pub(crate) fn layout(&self) -> RowLayout {
        self.layout
    }

    /// Tokens of the stream so far.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Tokens at the end of the stream that are neither input nor label of any row so far.
    pub(crate) fn dropped_tokens(&self) -> u64 {
        match self.rows {
            0 => self.tokens,
            rows => self.tokens - rows * self.layout.sequence_length as u64 - 1,
        }
    }

    /// Appends one document, its `</s>` included, and gives each row that it completes to
    /// `emit` as words in the order of [`RowLayout`].
    pub(crate) fn push<E>(
        &mut self,
        mut document: &[u32],
        emit: &mut impl FnMut(&[u32]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.tokens += document.len() as u64;
        while !document.is_empty() {
            let room = self.layout.sequence_length + 1 - self.ids.len();
            let (now, later) = document.split_at(room.min(document.len()));
            self.fill(now);
            document = later;
            if now.len() == room {
                emit(self.cut())?;
            }
        }
        self.document += 1;
        Ok(())
    }

    /// Takes tokens of the current document into the window, which has room for them.
    fn fill(&mut self, ids: &[u32]) {
        self.ids.extend_from_slice(ids);
        if self.layout.documents == DocumentMode::Confine {
            self.documents.resize(self.ids.len(), self.document);
        }
    }

    /// The full window as a row; its last token stays and begins the next window.
    fn cut(&mut self) -> &[u32] {
        let last = self.last_label();
        let inputs = self.layout.sequence_length;
        self.row.clear();
        self.row.extend_from_slice(&self.ids[..inputs]);
        self.row.push(last.cast_unsigned());
        self.row.extend_from_slice(&self.documents[..self.layout.document_words()]);
        self.ids.drain(..inputs);
        // The token that stays is of the current document, which is number 0 from now on.
        self.document = 0;
        self.documents.clear();
        if self.layout.documents == DocumentMode::Confine {
            self.documents.push(0);
        }
        self.rows += 1;
        &self.row
    }

    /// What the last input of a full window predicts.
    fn last_label(&self) -> i32 {
        let last = self.layout.sequence_length;
        let crosses = self.layout.documents == DocumentMode::Confine
            && self.documents[last - 1] != self.documents[last];
        if crosses { NOT_COUNTED } else { self.ids[last].cast_signed() }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const EOS: u32 = 2;

    type PlainRow = (Vec<u32>, Vec<i32>, Option<Vec<u32>>);

    fn pack(documents: &[&[u32]], n: usize, mode: DocumentMode) -> (Vec<PlainRow>, u64) {
        let mut packer = Packer::new(n, mode);
        let layout = packer.layout();
        let mut rows = Vec::new();
        for document in documents {
            let mut emit = |words: &[u32]| {
                let row = layout.row(words);
                rows.push((
                    row.ids.to_vec(),
                    row.labels.to_vec(),
                    row.documents.map(<[u32]>::to_vec),
                ));
                Ok::<(), Infallible>(())
            };
            let Ok(()) = packer.push(document, &mut emit);
        }
        (rows, packer.dropped_tokens())
    }

    #[test]
    fn joined_rows_overlap_by_one_and_predict_across_documents() {
        let documents: [&[u32]; 3] = [&[10, 11, EOS], &[20, EOS], &[30, 31, 32, EOS]];
        let (rows, dropped) = pack(&documents, 3, DocumentMode::Join);
        let expected = [
            (vec![10, 11, EOS], vec![11, 2, 20], None),
            (vec![20, EOS, 30], vec![2, 30, 31], None),
        ];
        assert_eq!(rows, expected);
        assert_eq!(dropped, 2, "32 and the last </s>");
    }

    #[test]
    fn confined_rows_have_the_same_ids_but_predict_inside_documents_only() {
        let documents: [&[u32]; 3] = [&[10, 11, EOS], &[20, EOS], &[30, 31, 32, EOS]];
        let (rows, dropped) = pack(&documents, 3, DocumentMode::Confine);
        let expected = [
            (vec![10, 11, EOS], vec![11, 2, -100], Some(vec![0, 0, 0])),
            (vec![20, EOS, 30], vec![2, -100, 31], Some(vec![0, 0, 1])),
        ];
        assert_eq!(rows, expected);
        assert_eq!(dropped, 2);
    }

    #[test]
    fn a_document_that_goes_on_in_the_next_row_is_number_zero_there() {
        let documents: [&[u32]; 3] = [&[10, EOS], &[20, 21, 22, EOS], &[30, EOS]];
        let (rows, dropped) = pack(&documents, 3, DocumentMode::Confine);
        let expected = [
            (vec![10, EOS, 20], vec![2, -100, 21], Some(vec![0, 0, 1])),
            (vec![21, 22, EOS], vec![22, 2, -100], Some(vec![0, 0, 0])),
        ];
        assert_eq!(rows, expected);
        assert_eq!(dropped, 1, "the last </s>; 30 is the label that nobody predicts");
    }

    #[test]
    fn rows_of_one_id_are_rows_too() {
        let (rows, dropped) = pack(&[&[10, EOS], &[20, EOS]], 1, DocumentMode::Confine);
        let expected = [
            (vec![10], vec![2], Some(vec![0])),
            (vec![EOS], vec![-100], Some(vec![0])),
            (vec![20], vec![2], Some(vec![0])),
        ];
        assert_eq!(rows, expected);
        assert_eq!(dropped, 0);
    }

    #[test]
    fn every_token_but_the_first_is_a_label_once_and_in_order() {
        let long: Vec<u32> = (100..1000).collect();
        let short: Vec<u32> = (1000..1007).collect();
        let stream: Vec<u32> = (100..1007).collect();
        for n in [1, 2, 3, 7, 64, 905, 906] {
            let (rows, dropped) = pack(&[&long, &short], n, DocumentMode::Join);
            let inputs: Vec<u32> = rows.iter().flat_map(|row| row.0.clone()).collect();
            let labels: Vec<u32> =
                rows.iter().flat_map(|row| row.1.iter().map(|&label| label as u32)).collect();
            assert_eq!(inputs, stream[..inputs.len()], "n = {n}");
            assert_eq!(labels, stream[1..=inputs.len()], "n = {n}");
            assert_eq!(dropped as usize, stream.len() - inputs.len() - 1, "n = {n}");
            assert!((dropped as usize) < n, "n = {n}");
        }
        assert_eq!(pack(&[&long, &short], 907, DocumentMode::Join), (vec![], 907));
    }
}
