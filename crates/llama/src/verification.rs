//! Looks at a model folder without running it: what it holds ([`info`]) and whether it is whole
//! ([`verify`]).

use crate::checkpoint::{ModelFiles, for_each_piece};
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::parameters::{EMBED_TOKENS, LM_HEAD, tensor_shapes};
use crate::quantization;
use crate::safetensors::{TensorEntry, TensorFile};
use crate::stored_type::StoredType;
use ::safetensors::tensor::Dtype;
use kollama_kernels::{DType, Device, Matrix, ops};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Rows of quantised weights that are unpacked at a time: whole panels.
const UNPACKED_ROWS: usize = 8 * DType::PANEL_ROWS;

/// What a model folder holds, from its headers alone.
#[derive(Clone, Debug)]
pub struct CheckpointInfo {
    /// Its configuration.
    pub config: LlamaConfig,
    /// Number of trained values.
    pub parameters: u64,
    /// How its values are stored, for example `BF16`; several where files are mixed: `BF16, F32`.
    pub dtype: String,
    /// The weight files.
    pub files: Vec<PathBuf>,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// Every tensor, file by file, in the order of its bytes.
    pub tensors: Vec<TensorInfo>,
}

/// One tensor of a [`CheckpointInfo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// How its values are stored, for example `BF16`.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// What [`verify`] has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Number of weight files.
    pub files: usize,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of values, all of them finite.
    pub values: u64,
    /// Bytes of all tensors.
    pub bytes: u64,
}

/// Reads configuration and headers of a model folder.
///
/// # Errors
/// Names the file that is missing or wrong.
pub fn info(folder: &Path) -> Result<CheckpointInfo, LlamaError> {
    let config = LlamaConfig::read(folder)?;
    let files = ModelFiles::open(folder)?;
    let entries = || files.files.iter().flat_map(|file| &file.tensors);
    // Only quantised weights are plain bytes.
    let name = |entry: &TensorEntry| match entry.head.dtype {
        Dtype::U8 => {
            config.quantization().and_then(quantization::name).unwrap_or("U8").to_uppercase()
        }
        dtype => dtype.to_string(),
    };
    let mut dtypes: Vec<_> = entries().map(name).collect();
    dtypes.sort();
    dtypes.dedup();
    let tensor = |entry: &TensorEntry| TensorInfo {
        name: entry.head.name.clone(),
        dtype: name(entry),
        shape: entry.head.shape.clone(),
    };
    Ok(CheckpointInfo {
        parameters: config.parameter_count(),
        dtype: dtypes.join(", "),
        bytes: entries().map(|entry| entry.bytes).sum(),
        tensors: entries().map(tensor).collect(),
        files: files.files.iter().map(|file| file.path.clone()).collect(),
        config,
    })
}

/// Reads every byte of a model folder: all tensors of the configuration are there with the right
/// shape, none besides, headers and index tell the truth, and every value is finite.
///
/// # Errors
/// The first thing that is wrong, with file and tensor, and row where a value is.
pub fn verify(folder: &Path) -> Result<VerifyReport, LlamaError> {
    let config = LlamaConfig::read(folder)?;
    let files = ModelFiles::open(folder)?;
    let found = files.find_all(&config)?;
    refuse_surplus(&config, &files)?;
    check_tied_head(&config, &files)?;
    let mut bytes = 0;
    for (file, entry) in &found {
        match file.stored_type(entry) {
            Ok(stored) => check_finite(file, entry, stored)?,
            Err(_) => check_packed(&config, file, entry)?,
        }
        bytes += entry.bytes;
    }
    let values = config.parameter_count();
    Ok(VerifyReport { files: files.files.len(), tensors: found.len(), values, bytes })
}

/// Old conversions store the rotary frequencies, tied models sometimes their embedding twice;
/// every other tensor that the configuration does not ask for is a sign of a wrong configuration.
fn refuse_surplus(config: &LlamaConfig, files: &ModelFiles) -> Result<(), LlamaError> {
    let known: HashSet<_> = tensor_shapes(config).into_iter().map(|shape| shape.name).collect();
    for file in &files.files {
        for name in file.tensors.iter().map(|entry| &entry.head.name) {
            let harmless = name.ends_with("rotary_emb.inv_freq") || name == LM_HEAD;
            if !known.contains(name) && !harmless {
                return Err(file.problem(name, "is there, but config.json does not ask for it"));
            }
            if files.index.as_ref().is_some_and(|index| !index.contains_key(name)) {
                return Err(file.problem(name, "is there, but the index does not list it"));
            }
        }
    }
    Ok(())
}

/// A stored output projection of a tied model is never read, so it must say the same.
fn check_tied_head(config: &LlamaConfig, files: &ModelFiles) -> Result<(), LlamaError> {
    let (Some((file, head)), Some((table_file, table)), true) =
        (files.find(LM_HEAD), files.find(EMBED_TOKENS), config.tie_word_embeddings)
    else {
        return Ok(());
    };
    let differs = || {
        let problem = format!("differs from {EMBED_TOKENS}, although tie_word_embeddings is true");
        file.problem(LM_HEAD, problem)
    };
    if (&head.head.shape, head.head.dtype) != (&table.head.shape, table.head.dtype) {
        return Err(differs());
    }
    let mut other = Vec::new();
    for_each_piece(file, head, |first, bytes| {
        other.resize(bytes.len(), 0);
        table_file.read(table, (first * table.head.row_bytes()) as u64, &mut other)?;
        if bytes == other { Ok(()) } else { Err(differs()) }
    })
}

fn check_finite(
    file: &TensorFile,
    entry: &TensorEntry,
    stored: StoredType,
) -> Result<(), LlamaError> {
    let columns = entry.head.shape.last().copied().unwrap_or(1);
    let mut values = Vec::new();
    for_each_piece(file, entry, |first, bytes| {
        stored.decode(bytes, &mut values);
        all_finite(file, entry, (first, columns), &values)
    })
}

/// Unpacks quantised weights, and looks at what they are.
fn check_packed(
    config: &LlamaConfig,
    file: &TensorFile,
    entry: &TensorEntry,
) -> Result<(), LlamaError> {
    let shapes = tensor_shapes(config);
    let shape = shapes.iter().find(|shape| shape.name == entry.head.name);
    let (Some(shape), Some(weights)) = (shape, config.quantization()) else { return Ok(()) };
    let device = Device::cpu(std::thread::available_parallelism().map_or(1, usize::from))?;
    let mut packed = Matrix::zeros(&device, UNPACKED_ROWS, shape.columns, weights)?;
    let mut values = Matrix::zeros(&device, UNPACKED_ROWS, shape.columns, DType::F32)?;
    let mut bytes = Vec::new();
    for first in (0..shape.rows).step_by(UNPACKED_ROWS) {
        let rows = UNPACKED_ROWS.min(shape.rows - first);
        packed.set_rows(rows);
        values.set_rows(rows);
        bytes.resize(weights.matrix_bytes(rows, shape.columns), 0);
        file.read(entry, weights.matrix_bytes(first, shape.columns) as u64, &mut bytes)?;
        packed.write_row_bytes(0, &bytes);
        ops::embedding(&mut values, &packed, &(0..rows as u32).collect::<Vec<_>>());
        all_finite(file, entry, (first, shape.columns), &values.to_vec())?;
    }
    Ok(())
}

/// Refuses the first of these values, which begin with row `first`, that is not finite.
fn all_finite(
    file: &TensorFile,
    entry: &TensorEntry,
    (first, columns): (usize, usize),
    values: &[f32],
) -> Result<(), LlamaError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(place) => Err(LlamaError::NotFinite {
            file: file.path.clone(),
            tensor: entry.head.name.clone(),
            row: first + place / columns,
            value: values[place],
        }),
    }
}
