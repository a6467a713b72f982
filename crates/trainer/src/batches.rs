//! Packed rows to micro-batches. Which rows a step takes is a pure function of the seed and the
//! step, so a resumed run finds its place at once, in data of any size.

use crate::error::TrainError;
use crate::order::Permutation;
use crate::settings::{Order, TrainSettings};
use kollama_corpus::{PackedData, Row};
use kollama_kernels::{Spans, ops::NOT_COUNTED};
use kollama_llama::TrainBatch;
use std::path::{Path, PathBuf};

/// The data of a run, in the order of the run.
pub struct Batches {
    folder: PathBuf,
    data: PackedData,
    order: Order,
    seed: u64,
    batch_size: usize,
    accumulate: usize,
}

impl Batches {
    /// Opens the data to learn from.
    pub fn open(settings: &TrainSettings) -> Result<Batches, TrainError> {
        let TrainSettings { order, seed, batch_size, accumulate, .. } = *settings;
        let (folder, data) = open(&settings.data, settings.sequence_length)?;
        Ok(Batches { folder, data, order, seed, batch_size, accumulate })
    }

    /// Opens the data to evaluate on, if the settings name some.
    pub fn open_evaluation(settings: &TrainSettings) -> Result<Option<Batches>, TrainError> {
        let Some(folder) = &settings.eval_data else { return Ok(None) };
        let (folder, data) = open(folder, settings.sequence_length)?;
        let TrainSettings { seed, batch_size, .. } = *settings;
        let order = Order::Sequential;
        Ok(Some(Batches { folder, data, order, seed, batch_size, accumulate: 1 }))
    }

    /// Where the data is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The data itself.
    pub fn data(&self) -> &PackedData {
        &self.data
    }

    /// Refuses data that a model of this size, or with this tokenizer, cannot read.
    pub fn check_fits(&self, vocab_size: usize, tokenizer: Option<&str>) -> Result<(), TrainError> {
        if let Some(fingerprint) = tokenizer {
            self.data.check_tokenizer(fingerprint)?;
        }
        if self.data.vocab_size() > vocab_size {
            return Err(TrainError::VocabularyTooSmall {
                data: self.folder.clone(),
                data_size: self.data.vocab_size(),
                model_size: vocab_size,
            });
        }
        Ok(())
    }

    /// The micro-batches of a step, counted from 0.
    pub fn of_step(&self, step: u64) -> Result<Vec<TrainBatch>, TrainError> {
        let rows = self.rows_of_step(step);
        rows.chunks(self.batch_size).map(|rows| self.batch(rows)).collect()
    }

    /// Every row once, in file order; the last batch may be smaller.
    pub fn once(&self) -> impl Iterator<Item = Result<TrainBatch, TrainError>> {
        let rows = self.data.rows();
        (0..rows).step_by(self.batch_size).map(move |first| {
            let last = (first + self.batch_size).min(rows);
            self.batch(&(first..last).collect::<Vec<_>>())
        })
    }

    fn rows_of_step(&self, step: u64) -> Vec<usize> {
        let (rows, count) = (self.data.rows() as u64, (self.batch_size * self.accumulate) as u64);
        rows_in_order(self.order, self.seed, rows, step * count, count)
    }

    fn batch(&self, rows: &[usize]) -> Result<TrainBatch, TrainError> {
        let length = self.data.sequence_length();
        let mut ids = Vec::with_capacity(rows.len() * length);
        let mut labels = Vec::with_capacity(rows.len() * length);
        let mut lengths = Vec::with_capacity(rows.len());
        for &index in rows {
            let row = self.data.row(index);
            self.check_row(index, &row)?;
            ids.extend_from_slice(row.ids);
            labels.extend_from_slice(&row.labels);
            match row.documents {
                Some(documents) => lengths.extend(document_lengths(documents)),
                None => lengths.push(length),
            }
        }
        Ok(TrainBatch { ids, labels, spans: Spans::of_lengths(lengths) })
    }

    /// Shards are not read through when they are opened, so a damaged one is noticed here.
    fn check_row(&self, index: usize, row: &Row<'_>) -> Result<(), TrainError> {
        let vocab_size = self.data.vocab_size();
        let ids = row.ids.iter().map(|&id| i64::from(id));
        let labels = row.labels.iter().filter(|&&label| label != NOT_COUNTED);
        let mut found = ids.chain(labels.map(|&label| i64::from(label)));
        match found.find(|&id| usize::try_from(id).map_or(true, |id| id >= vocab_size)) {
            Some(found) => {
                let data = self.folder.clone();
                Err(TrainError::DamagedRow { data, row: index, found, vocab_size })
            }
            None => Ok(()),
        }
    }
}

/// Number of labels that count.
pub fn counted(batches: &[TrainBatch]) -> u64 {
    let labels = batches.iter().flat_map(|batch| &batch.labels);
    labels.filter(|&&label| label != NOT_COUNTED).count() as u64
}

fn open(folder: &Path, sequence_length: usize) -> Result<(PathBuf, PackedData), TrainError> {
    let data = PackedData::open(folder)?;
    if data.sequence_length() != sequence_length {
        return Err(TrainError::SequenceLength {
            data: folder.into(),
            packed: data.sequence_length(),
            asked: sequence_length,
        });
    }
    Ok((folder.into(), data))
}

/// Rows number `first..first + count` of the endless sequence of epochs.
fn rows_in_order(order: Order, seed: u64, rows: u64, first: u64, count: u64) -> Vec<usize> {
    let mut epoch = first / rows;
    let mut permutation = Permutation::new(rows, seed, epoch);
    let mut taken = Vec::with_capacity(count as usize);
    for place in first..first + count {
        if place / rows != epoch {
            epoch = place / rows;
            permutation = Permutation::new(rows, seed, epoch);
        }
        let row = match order {
            Order::Sequential => place % rows,
            Order::Shuffled => permutation.at(place % rows),
        };
        taken.push(row as usize);
    }
    taken
}

fn document_lengths(documents: &[u32]) -> impl Iterator<Item = usize> {
    documents.chunk_by(|left, right| left == right).map(<[u32]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_any_size_go_through_every_row_once_per_epoch() {
        let (rows, count) = (10, 4);
        let mut taken: Vec<usize> = (0..5)
            .flat_map(|step| rows_in_order(Order::Shuffled, 3, rows, step * count, count))
            .collect();
        for epoch in taken.chunks_mut(rows as usize) {
            epoch.sort_unstable();
            assert!(epoch.iter().copied().eq(0..10), "{epoch:?}");
        }
    }

    #[test]
    fn file_order_begins_again_after_the_last_row() {
        assert_eq!(rows_in_order(Order::Sequential, 3, 3, 2, 5), [2, 0, 1, 2, 0]);
    }

    #[test]
    fn every_epoch_is_shuffled_anew() {
        let epoch = |number: u64| rows_in_order(Order::Shuffled, 3, 50, number * 50, 50);
        assert_ne!(epoch(0), epoch(1));
    }

    #[test]
    fn equal_document_numbers_in_a_row_are_one_sequence() {
        let lengths: Vec<usize> = document_lengths(&[4, 4, 4, 5, 7, 7]).collect();
        assert_eq!(lengths, [3, 1, 2]);
    }
}
