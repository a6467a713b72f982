//! A model that learns. In f32 it is the model alone; in bf16 it computes with weights that are rounded, and
//! what each lacks of its f32 master is kept beside it, so that both together are the master bit for bit.
//! Comes from a folder and goes to one a few rows at a time: no master is ever there as a whole. How it
//! learns is the trainer's.

use crate::checkpoint::{ModelFiles, PIECE_BYTES, plan, write_matrix};
use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::loading::{for_each_part, must_not_be_quantized, read};
use crate::model::Llama;
use crate::parameters::{Parameters, TensorShape, held_as};
use crate::safetensors::{TensorEntry, TensorFile};
use crate::stored_type::StoredType;
use crate::writing::{Progress, write_folder};
use kollama_kernels::{DType, Device, Matrix, ops};
use std::collections::HashMap;
use std::path::Path;

/// A model whose weights are the masters of an optimiser.
pub struct Master {
    /// The model as it computes.
    pub model: Llama,
    /// What its weights lack of their masters, in the order of [`Parameters::named`]; none: nothing.
    remainders: Vec<Option<Matrix>>,
}

/// One master.
#[derive(Clone, Copy)]
pub struct Weight<'a> {
    matrix: &'a Matrix,
    remainder: Option<&'a Matrix>,
}

impl Master {
    /// Reads a model folder, whose weights all become `f32` masters; matrices compute as `dtype`, which is
    /// [`DType::F32`] or [`DType::Bf16`].
    ///
    /// # Errors
    /// As [`Llama::open`].
    pub fn open(folder: &Path, device: &Device, dtype: DType) -> Result<Master, LlamaError> {
        let config = LlamaConfig::read(folder)?;
        must_not_be_quantized(folder, &config)?;
        let files = ModelFiles::open(folder)?;
        let mut found = files.find_all(&config)?.into_iter();
        let mut remainders = Vec::new();
        let parameters = Parameters::made_by(&config, |shape| {
            let (file, entry) = found.next().expect("an entry was found for every shape");
            let (matrix, remainder) = match held_as(&config, &shape.name, dtype) {
                DType::F32 => (read(device, file, entry, shape, DType::F32)?, None),
                _ => {
                    let (rounded, remainder) = read_apart(device, file, entry, shape)?;
                    (rounded, Some(remainder))
                }
            };
            remainders.push(remainder);
            Ok(matrix)
        })?;
        let model = Llama { config, parameters, device: device.clone() };
        Ok(Master { model, remainders })
    }

    /// Writes the masters as [`Llama::save`] does, in `f32`.
    ///
    /// # Errors
    /// If anything cannot be written; then nothing of the new model is left.
    pub fn save(&self, folder: &Path) -> Result<(), LlamaError> {
        let stored = StoredType::F32;
        let config = LlamaConfig { dtype: Some(stored.name().into()), ..self.model.config.clone() };
        let weights: HashMap<_, _> = self.weights().into_iter().collect();
        let quietly: Progress<'_> = &mut |_, _| {};
        write_folder(folder, &config, &plan(&config, stored), quietly, &mut |head, sink| {
            weights[&head.name].for_each_part(|_, rows| write_matrix(rows, stored, sink))
        })?;
        Ok(())
    }

    /// Every master with its Hugging Face name, in the order of [`Parameters::named`].
    pub fn weights(&self) -> Vec<(String, Weight<'_>)> {
        let pairs = self.model.parameters.named().into_iter().zip(&self.remainders);
        pairs
            .map(|((name, matrix), remainder)| {
                (name, Weight { matrix, remainder: remainder.as_ref() })
            })
            .collect()
    }

    /// As [`Master::weights`], for [`ops::adamw`]: name, parameters, remainder.
    pub fn weights_mut(
        &mut self,
    ) -> impl Iterator<Item = (String, &mut Matrix, Option<&mut Matrix>)> {
        let pairs = self.model.parameters.named_mut().into_iter().zip(&mut self.remainders);
        pairs.map(|((name, matrix), remainder)| (name, matrix, remainder.as_mut()))
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        let remainders = self.remainders.iter().flatten().map(Matrix::bytes);
        self.model.parameters.bytes() + remainders.sum::<usize>()
    }
}

impl Weight<'_> {
    /// Hands it over as `f32`, some rows at a time: the first of them, and the rows.
    ///
    /// # Errors
    /// If the device has no memory for some rows, or what `each` says.
    pub fn for_each_part(
        &self,
        mut each: impl FnMut(usize, &Matrix) -> Result<(), LlamaError>,
    ) -> Result<(), LlamaError> {
        let (matrix, rows) = (self.matrix, self.matrix.rows());
        let Some(remainder) = self.remainder else { return each(0, matrix) };
        let row_bytes = DType::F32.matrix_bytes(1, matrix.columns());
        let at_once = (PIECE_BYTES / row_bytes).clamp(1, rows);
        let mut part = Matrix::zeros(matrix.device(), at_once, matrix.columns(), DType::F32)?;
        for first in (0..rows).step_by(at_once) {
            let last = rows.min(first + at_once);
            part.set_rows(last - first);
            ops::join_rows(&mut part, matrix, remainder, first..last);
            each(first, &part)?;
        }
        Ok(())
    }
}

/// One matrix, rounded, and what that takes from it.
fn read_apart(
    device: &Device,
    file: &TensorFile,
    entry: &TensorEntry,
    shape: &TensorShape,
) -> Result<(Matrix, Matrix), LlamaError> {
    let make = |dtype| Matrix::zeros(device, shape.rows, shape.columns, dtype);
    let (mut rounded, mut remainder) = (make(DType::Bf16)?, make(DType::Remainder)?);
    let stored = file.stored_type(entry)?;
    for_each_part(device, file, entry, stored, |first, rows| {
        ops::split_rows(&mut rounded, &mut remainder, first, rows);
        Ok(())
    })?;
    Ok((rounded, remainder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::init_checkpoint;
    use std::fs;

    /// A checkpoint of random weights.
    fn written(folder: &Path, stored: StoredType, tied: bool) {
        let tiny = LlamaConfig::preset("tiny").unwrap();
        let config = LlamaConfig { tie_word_embeddings: tied, ..tiny };
        init_checkpoint(&config, 1, stored, folder, &mut |_, _| {}).unwrap();
    }

    #[test]
    fn masters_come_from_a_folder_and_go_back_to_one_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::cpu(2).unwrap();
        // Of those stored in sixteen bits one in sixteen lies in the middle between two of bf16.
        for (number, stored) in [StoredType::F32, StoredType::F16].into_iter().enumerate() {
            let path = |name: &str| folder.path().join(format!("{name}-{number}"));
            written(&path("model"), stored, number == 1);
            let model = Llama::open(&path("model"), &device).unwrap();
            model.save(&path("whole"), StoredType::F32).unwrap();
            for dtype in [DType::F32, DType::Bf16] {
                let master = Master::open(&path("model"), &device, dtype).unwrap();
                master.save(&path("apart")).unwrap();
                for file in ["model.safetensors", "config.json"] {
                    let bytes = |name| fs::read(path(name).join(file)).unwrap();
                    assert!(bytes("apart") == bytes("whole"), "{file}, {stored:?}, {dtype:?}");
                }
            }
        }
    }

    #[test]
    fn a_master_in_bf16_computes_with_its_weights_rounded_and_takes_seventeen_bits_more() {
        let folder = tempfile::tempdir().unwrap();
        let (path, device) = (folder.path().join("model"), Device::reference());
        written(&path, StoredType::F32, false);
        let whole = Llama::open(&path, &device).unwrap();
        let master = Master::open(&path, &device, DType::Bf16).unwrap();
        let pairs = master.model.parameters.named().into_iter().zip(whole.parameters.named());
        for ((name, found), (_, whole)) in pairs {
            let dtype = held_as(&master.model.config, &name, DType::Bf16);
            let mut rounded = Matrix::zeros(&device, whole.rows(), whole.columns(), dtype).unwrap();
            rounded.write_rows(0, &whole.to_vec());
            assert_eq!((found.dtype(), found.to_vec()), (dtype, rounded.to_vec()), "{name}");
        }
        let bytes = master.bytes() as f64 / whole.parameters.bytes() as f64;
        assert!((1.0..1.04).contains(&bytes), "{bytes}");
    }
}
