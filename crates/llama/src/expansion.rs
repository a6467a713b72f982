//! New rows for new tokens, in the embedding and in the output projection, on disk: every other
//! tensor and every old row is copied byte for byte, so a model of any size needs little memory.

use crate::checkpoint::{ModelFiles, for_each_piece};
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::init::Normals;
use crate::loading::must_not_be_quantized;
use crate::parameters::{EMBED_TOKENS, LM_HEAD};
use crate::safetensors::{TensorEntry, TensorFile, TensorHead};
use crate::stored_type::StoredType;
use crate::writing::{Progress, Sink, write_folder};
use kollama_kernels::ops::{self, Before};
use kollama_kernels::{DType, Device, Matrix};
use std::path::Path;

/// Field of config.json that tells how many rows a model had before it was extended.
pub const BASE_VOCAB_SIZE: &str = "kollama_base_vocab_size";

/// What new rows are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowInit {
    /// The mean of the rows of the base tokens that the new token used to be written with.
    MeanOfPieces,
    /// A draw from the normal distribution with the mean and the covariance of all base rows.
    Mean,
    /// A draw from N(0, `initializer_range`).
    Random,
}

/// What [`extend_checkpoint`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendReport {
    /// Rows of the base embedding, copied bit for bit.
    pub base_rows: usize,
    /// Rows added.
    pub new_rows: usize,
    /// Whether the embedding is the output projection too.
    pub tied: bool,
    /// Number of weight files written.
    pub files: usize,
    /// Bytes of all tensors.
    pub bytes: u64,
}

/// New rows are made this many at a time; so are base rows read to draw from them.
const BLOCK: usize = 1024;

/// Writes to `out` the model in `base` with one row more per entry of `made_of` in the embedding
/// and in the output projection; row `base_rows + i` belongs to the token that used to be written
/// as the base tokens `made_of[i]`. Old rows stay bit-identical, in the type of the file.
///
/// # Errors
/// If `made_of` names tokens that the base has not, if the base is not whole, if `out` is the
/// base, or if a file cannot be written; then nothing of the new model is left.
pub fn extend_checkpoint(
    base: &Path,
    made_of: &[Vec<u32>],
    init: RowInit,
    seed: u64,
    out: &Path,
    progress: Progress<'_>,
) -> Result<ExtendReport, LlamaError> {
    let config = LlamaConfig::read(base)?;
    must_not_be_quantized(base, &config)?;
    check(base, &config, made_of, init, out)?;
    let files = ModelFiles::open(base)?;
    files.find_all(&config)?;
    let (base_rows, new_rows) = (config.vocab_size, made_of.len());
    let mut wider = LlamaConfig { vocab_size: base_rows + new_rows, ..config.clone() };
    wider.other_fields.insert(BASE_VOCAB_SIZE.into(), base_rows.into());
    let plan = wider_plan(&files, &config, new_rows);
    let written = write_folder(out, &wider, &plan, progress, &mut |head, sink| {
        let (file, entry) = files.find(&head.name).expect("the plan is made of these files");
        for_each_piece(file, entry, |_, bytes| sink.write(bytes))?;
        if !is_table(&head.name) {
            return Ok(());
        }
        let table = Table { file, entry, stored: file.stored_type(entry)? };
        let normals = Normals::new(seed, &head.name);
        match init {
            RowInit::MeanOfPieces => table.write_means(made_of, sink),
            RowInit::Mean => table.write_alike(new_rows, &normals, sink),
            RowInit::Random => {
                table.write_random(new_rows, config.initializer_range, &normals, sink)
            }
        }
    })?;
    let tied = config.tie_word_embeddings;
    Ok(ExtendReport { base_rows, new_rows, tied, files: written.files, bytes: written.bytes })
}

fn check(
    base: &Path,
    config: &LlamaConfig,
    made_of: &[Vec<u32>],
    init: RowInit,
    out: &Path,
) -> Result<(), LlamaError> {
    let wrong = |problem: String| Err(LlamaError::Extension { base: base.into(), problem });
    if let (Ok(base), Ok(out)) = (base.canonicalize(), out.canonicalize())
        && base == out
    {
        return wrong("the output folder is the base itself; choose another".into());
    }
    for (token, pieces) in made_of.iter().enumerate() {
        let rows = config.vocab_size;
        if let Some(id) = pieces.iter().find(|&&id| id as usize >= rows) {
            return wrong(format!(
                "new token {token} is made of token {id}, but the base has only {rows} rows"
            ));
        }
        if pieces.is_empty() && init == RowInit::MeanOfPieces {
            return wrong(format!(
                "new token {token} is made of no base tokens: nothing to average"
            ));
        }
    }
    Ok(())
}

/// The tensors of the base in the order of its files, with taller tables. A copy of the embedding
/// that a tied model keeps as output projection is left out: nobody reads it.
fn wider_plan(files: &ModelFiles, config: &LlamaConfig, new_rows: usize) -> Vec<TensorHead> {
    let heads = files.files.iter().flat_map(|file| &file.tensors).map(|entry| entry.head.clone());
    let read = heads.filter(|head| !config.tie_word_embeddings || head.name != LM_HEAD);
    let wider = |mut head: TensorHead| {
        if is_table(&head.name) {
            head.shape[0] += new_rows;
        }
        head
    };
    read.map(wider).collect()
}

fn is_table(name: &str) -> bool {
    name == EMBED_TOKENS || name == LM_HEAD
}

/// A table of the base that grows.
struct Table<'a> {
    file: &'a TensorFile,
    entry: &'a TensorEntry,
    stored: StoredType,
}

impl Table<'_> {
    /// One row per token: the sum of its pieces' rows in their order, in `f32`, divided by their
    /// number.
    fn write_means(&self, made_of: &[Vec<u32>], sink: &mut Sink<'_>) -> Result<(), LlamaError> {
        let mut bytes = Vec::new();
        for pieces in made_of {
            let mut mean = vec![0.0; self.columns()];
            for &id in pieces {
                let row = self.rows(id as usize, 1)?;
                mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            mean.iter_mut().for_each(|sum| *sum /= pieces.len() as f32);
            self.stored.encode(&mean, &mut bytes);
            sink.write(&bytes)?;
        }
        Ok(())
    }

    /// Rows of N(0, deviation).
    fn write_random(
        &self,
        new_rows: usize,
        deviation: f32,
        normals: &Normals,
        sink: &mut Sink<'_>,
    ) -> Result<(), LlamaError> {
        let mut bytes = Vec::new();
        for first in (0..new_rows).step_by(BLOCK) {
            let mut rows = vec![0.0; BLOCK.min(new_rows - first) * self.columns()];
            normals.fill((first * self.columns()) as u64, &mut rows);
            rows.iter_mut().for_each(|value| *value *= deviation);
            self.stored.encode(&rows, &mut bytes);
            sink.write(&bytes)?;
        }
        Ok(())
    }

    /// Rows distributed like the base rows b, without their covariance matrix: with z from N(0, 1),
    /// `mean + Σ_k z[k] · (b[k] − mean) / √n` has exactly that mean and covariance.
    fn write_alike(
        &self,
        new_rows: usize,
        normals: &Normals,
        sink: &mut Sink<'_>,
    ) -> Result<(), LlamaError> {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        let device = Device::cpu(threads)?;
        let (mean, mut bytes) = (self.mean()?, Vec::new());
        for first in (0..new_rows).step_by(BLOCK) {
            let rows = BLOCK.min(new_rows - first);
            let mut drawn = self.combine(&device, &mean, first, rows, normals)?;
            for row in drawn.chunks_exact_mut(self.columns()) {
                row.iter_mut().zip(&mean).for_each(|(value, mean)| *value += mean);
            }
            self.stored.encode(&drawn, &mut bytes);
            sink.write(&bytes)?;
        }
        Ok(())
    }

    /// `Σ_k z[t, k] · (b[k] − mean) / √n` for new rows `first ..`. Every block of z takes the next
    /// values of the sequence, row after row.
    fn combine(
        &self,
        device: &Device,
        mean: &[f32],
        first: usize,
        rows: usize,
        normals: &Normals,
    ) -> Result<Vec<f32>, LlamaError> {
        let base_rows = self.entry.head.rows();
        let scale = 1.0 / (base_rows as f32).sqrt();
        let mut sums = Matrix::zeros(device, rows, mean.len(), DType::F32)?;
        for start in (0..base_rows).step_by(BLOCK) {
            let count = BLOCK.min(base_rows - start);
            let mut centred = self.rows(start, count)?;
            for row in centred.chunks_exact_mut(mean.len()) {
                row.iter_mut().zip(mean).for_each(|(value, mean)| *value = (*value - mean) * scale);
            }
            let mut z = vec![0.0; rows * count];
            normals.fill((first * base_rows + rows * start) as u64, &mut z);
            let z = Matrix::from_values(device, rows, count, &z)?;
            let centred = Matrix::from_values(device, count, mean.len(), &centred)?;
            ops::matmul_backward_input(&mut sums, &z, &centred, Before::Others);
        }
        device.finish()?;
        Ok(sums.to_vec())
    }

    /// The mean of all rows, summed in `f64`.
    fn mean(&self) -> Result<Vec<f32>, LlamaError> {
        let (mut sums, mut values) = (vec![0f64; self.columns()], Vec::new());
        for_each_piece(self.file, self.entry, |_, bytes| {
            self.stored.decode(bytes, &mut values);
            for row in values.chunks_exact(sums.len()) {
                sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            Ok(())
        })?;
        let rows = self.entry.head.rows() as f64;
        Ok(sums.into_iter().map(|sum| (sum / rows) as f32).collect())
    }

    fn rows(&self, first: usize, count: usize) -> Result<Vec<f32>, LlamaError> {
        let row_bytes = self.entry.head.row_bytes();
        let (mut bytes, mut values) = (vec![0; count * row_bytes], Vec::new());
        self.file.read(self.entry, (first * row_bytes) as u64, &mut bytes)?;
        self.stored.decode(&bytes, &mut values);
        Ok(values)
    }

    fn columns(&self) -> usize {
        self.entry.head.shape[1]
    }
}
