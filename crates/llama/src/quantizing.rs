//! A model folder to one with 8- or 4-bit weights, tensor by tensor and a few rows at a time: a model
//! of any size needs memory for some megabytes.

use crate::checkpoint::{ModelFiles, file_shape};
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::loading::{for_each_part, must_not_be_quantized};
use crate::parameters::{TensorShape, held_as, tensor_shapes};
use crate::safetensors::{TensorEntry, TensorFile, TensorHead};
use crate::stored_type::StoredType;
use crate::writing::{Progress, Sink, write_folder};
use ::safetensors::tensor::Dtype;
use kollama_kernels::{DType, Device, Matrix, ops};
use std::path::Path;

/// Writes to `out` the model in `folder` with its weights quantised to [`DType::Q8`] or
/// [`DType::Q4`], on all threads of the device; the files are used as they are by
/// [`crate::Llama::open_as`]. Returns the bytes of all tensors.
///
/// # Errors
/// If the model is quantised already or not whole, or a file cannot be written; then nothing of the
/// new model is left.
pub fn quantize_checkpoint(
    folder: &Path,
    weights: DType,
    device: &Device,
    out: &Path,
    progress: Progress<'_>,
) -> Result<u64, LlamaError> {
    let config = LlamaConfig::read(folder)?;
    must_not_be_quantized(folder, &config)?;
    let files = ModelFiles::open(folder)?;
    let shapes = tensor_shapes(&config);
    let mut found = shapes.iter().zip(files.find_all(&config)?);
    let kind = |shape: &TensorShape| held_as(&config, &shape.name, weights);
    let plan: Vec<TensorHead> = shapes.iter().map(|shape| head(shape, kind(shape))).collect();
    let quantized = config.quantized_to(weights);
    let written = write_folder(out, &quantized, &plan, progress, &mut |_, sink| {
        let (shape, (file, entry)) = found.next().expect("the plan is made of these shapes");
        write(device, file, entry, kind(shape), sink)
    })?;
    Ok(written.bytes)
}

/// A tensor as it will stand in a file. Packed ones are plain bytes: no other program can take them
/// for numbers.
fn head(shape: &TensorShape, kind: DType) -> TensorHead {
    let name = shape.name.clone();
    match kind {
        DType::F32 => TensorHead { name, dtype: Dtype::F32, shape: file_shape(shape) },
        DType::Bf16 => TensorHead { name, dtype: Dtype::BF16, shape: file_shape(shape) },
        packed => {
            let bytes = packed.matrix_bytes(shape.rows, shape.columns);
            TensorHead { name, dtype: Dtype::U8, shape: vec![bytes] }
        }
    }
}

fn write(
    device: &Device,
    file: &TensorFile,
    entry: &TensorEntry,
    kind: DType,
    sink: &mut Sink<'_>,
) -> Result<(), LlamaError> {
    let mut bytes = Vec::new();
    for_each_part(device, file, entry, file.stored_type(entry)?, |_, rows| {
        match kind {
            DType::F32 => StoredType::F32.encode(&rows.to_vec(), &mut bytes),
            DType::Bf16 => StoredType::Bf16.encode(&rows.to_vec(), &mut bytes),
            packed => {
                let mut part = Matrix::zeros(device, rows.rows(), rows.columns(), packed)?;
                ops::pack(&mut part, 0, rows);
                bytes.resize(part.bytes(), 0);
                part.read_row_bytes(0, &mut bytes);
            }
        }
        sink.write(&bytes)
    })
}
