//! A model folder into memory: weights as they are stored, widened, rounded, packed or quantised on
//! the way, a few rows at a time; or not at all, where the bytes of the file are those of the matrix.

use crate::checkpoint::{ModelFiles, PIECE_BYTES, for_each_piece};
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::model::Llama;
use crate::parameters::{Parameters, TensorShape, held_as, is_norm};
use crate::quantization;
use crate::safetensors::{TensorEntry, TensorFile};
use crate::stored_type::StoredType;
use kollama_kernels::{DType, Device, Matrix, ops};
use std::path::Path;

impl Llama {
    /// Reads a model folder; all weights become `f32`.
    ///
    /// # Errors
    /// Names the file, and the field or tensor, that is missing or wrong. Values are not looked
    /// at; that is [`crate::verify`].
    pub fn open(folder: &Path, device: &Device) -> Result<Llama, LlamaError> {
        Llama::open_as(folder, device, DType::F32)
    }

    /// As [`Llama::open`], with weights held as another type, which serves inference but not
    /// training; see [`held_as`] for what each tensor becomes. Packed weights need the memory of
    /// the result alone. Those of a folder that is quantised already, and bf16 rows, stay in
    /// their file and come from there when they are first read.
    pub fn open_as(folder: &Path, device: &Device, weights: DType) -> Result<Llama, LlamaError> {
        let config = LlamaConfig::read(folder)?;
        if config.quantization().is_some_and(|stored| stored != weights) {
            return Err(refusal(folder, &config));
        }
        let files = ModelFiles::open(folder)?;
        let mut found = files.find_all(&config)?.into_iter();
        let parameters = Parameters::made_by(&config, |shape| {
            let (file, entry) = found.next().expect("an entry was found for every shape");
            read(device, file, entry, shape, held_as(&config, &shape.name, weights))
        })?;
        Ok(Llama { config, parameters, device: device.clone() })
    }
}

/// The smallest type that holds the weights of a folder as they are: what they are quantised to,
/// [`DType::PackedBf16`] where every matrix is bf16, else [`DType::F32`].
///
/// # Errors
/// Names the file that is missing or wrong.
pub fn stored_weights(folder: &Path) -> Result<DType, LlamaError> {
    let config = LlamaConfig::read(folder)?;
    if let Some(stored) = config.quantization() {
        return Ok(stored);
    }
    let files = ModelFiles::open(folder)?;
    let mut matrices =
        files.find_all(&config)?.into_iter().filter(|(_, entry)| !is_norm(&entry.head.name));
    let is_bf16 =
        matrices.all(|(_, entry)| StoredType::of(entry.head.dtype) == Some(StoredType::Bf16));
    Ok(if is_bf16 { DType::PackedBf16 } else { DType::F32 })
}

/// Refuses a folder whose weights are quantised.
pub(crate) fn must_not_be_quantized(folder: &Path, config: &LlamaConfig) -> Result<(), LlamaError> {
    if config.quantization().is_some() { Err(refusal(folder, config)) } else { Ok(()) }
}

fn refusal(folder: &Path, config: &LlamaConfig) -> LlamaError {
    let stored = config.quantization().and_then(quantization::name).unwrap_or_default();
    LlamaError::Quantized { folder: folder.into(), stored }
}

/// One matrix.
pub(crate) fn read(
    device: &Device,
    file: &TensorFile,
    entry: &TensorEntry,
    shape: &TensorShape,
    dtype: DType,
) -> Result<Matrix, LlamaError> {
    let stored = StoredType::of(entry.head.dtype);
    let is_same = match dtype {
        DType::Bf16 => stored == Some(StoredType::Bf16) && cfg!(target_endian = "little"),
        dtype => dtype.is_packed() && stored.is_none(),
    };
    if is_same && let Some(mapped) = mapped(device, file, entry, shape, dtype)? {
        return Ok(mapped);
    }
    let mut matrix = Matrix::zeros(device, shape.rows, shape.columns, dtype)?;
    match stored {
        None => {
            let mut bytes = vec![0; matrix.bytes()];
            file.read(entry, 0, &mut bytes)?;
            matrix.write_row_bytes(0, &bytes);
        }
        Some(stored) if dtype.is_packed() => {
            for_each_part(device, file, entry, stored, |first, rows| {
                ops::pack(&mut matrix, first, rows);
                Ok(())
            })?;
        }
        Some(stored) => copy(file, entry, stored, &mut matrix)?,
    }
    Ok(matrix)
}

/// The matrix in its file, where the bytes are aligned.
fn mapped(
    device: &Device,
    file: &TensorFile,
    entry: &TensorEntry,
    shape: &TensorShape,
    dtype: DType,
) -> Result<Option<Matrix>, LlamaError> {
    let size = (shape.rows, shape.columns);
    Ok(Matrix::mapped(device, file.mapped()?, entry.start as usize, size, dtype))
}

/// Row by row, in the type of the matrix.
fn copy(
    file: &TensorFile,
    entry: &TensorEntry,
    stored: StoredType,
    matrix: &mut Matrix,
) -> Result<(), LlamaError> {
    let is_same = matches!(
        (stored, matrix.dtype()),
        (StoredType::F32, DType::F32) | (StoredType::Bf16, DType::Bf16)
    );
    let mut values = Vec::new();
    for_each_piece(file, entry, |first, bytes| {
        if is_same && cfg!(target_endian = "little") {
            matrix.write_row_bytes(first, bytes);
        } else {
            stored.decode(bytes, &mut values);
            matrix.write_rows(first, &values);
        }
        Ok(())
    })
}

/// Hands the rows of a tensor over as `f32`, whole panels at a time: first row, and the rows.
pub(crate) fn for_each_part(
    device: &Device,
    file: &TensorFile,
    entry: &TensorEntry,
    stored: StoredType,
    mut each: impl FnMut(usize, &Matrix) -> Result<(), LlamaError>,
) -> Result<(), LlamaError> {
    let (rows, row_bytes) = (entry.head.rows(), entry.head.row_bytes());
    let columns = row_bytes / stored.bytes();
    let at_once = (PIECE_BYTES / (columns * size_of::<f32>())).next_multiple_of(DType::PANEL_ROWS);
    let mut part = Part::new(device, at_once.min(rows), columns)?;
    let mut bytes = Vec::new();
    for first in (0..rows).step_by(at_once) {
        bytes.resize(at_once.min(rows - first) * row_bytes, 0);
        file.read(entry, (first * row_bytes) as u64, &mut bytes)?;
        each(first, part.of(stored, &bytes))?;
    }
    Ok(())
}

/// Some rows as `f32`, and the bf16 that they may come from.
struct Part {
    rows: Matrix,
    short: Matrix,
    values: Vec<f32>,
}

impl Part {
    fn new(device: &Device, rows: usize, columns: usize) -> Result<Part, LlamaError> {
        Ok(Part {
            rows: Matrix::zeros(device, rows, columns, DType::F32)?,
            short: Matrix::zeros(device, rows, columns, DType::Bf16)?,
            values: Vec::new(),
        })
    }

    /// The rows that `bytes` store; bf16 is widened by all threads.
    fn of(&mut self, stored: StoredType, bytes: &[u8]) -> &Matrix {
        let Part { rows, short, values } = self;
        let count = bytes.len() / stored.bytes() / rows.columns().max(1);
        rows.set_rows(count);
        if stored == StoredType::Bf16 && cfg!(target_endian = "little") {
            short.set_rows(count);
            short.write_row_bytes(0, bytes);
            ops::copy_rows(rows, 0, short, 0..count);
        } else {
            stored.decode(bytes, values);
            rows.write_rows(0, values);
        }
        rows
    }
}
