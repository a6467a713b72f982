//! What can be wrong with a model folder: which file, which field or tensor, what was expected.
//! Wrong shapes inside a running model are not here: they are bugs and panic like a bad index.

use kollama_kernels::KernelError;
use std::path::{Path, PathBuf};

/// Why a model could not be read, written, made or enlarged.
#[derive(Debug, thiserror::Error)]
pub enum LlamaError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written; nothing of the new model is left behind.
    #[error("cannot write {}: {source}; nothing was left there", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The disk is full; nothing of the new model is left behind.
    #[error(
        "cannot write {}: the disk is full; nothing was left there; free some space or choose \
         another --out",
        file.display()
    )]
    DiskFull {
        /// The file that did not fit.
        file: PathBuf,
    },
    /// A folder holds no model in a format that is read here.
    #[error(
        "{} holds no model: expected model.safetensors or model.safetensors.index.json \
         (convert pytorch_model.bin with transformers' save_pretrained)",
        folder.display()
    )]
    NoModel {
        /// The folder looked into.
        folder: PathBuf,
    },
    /// A JSON file (configuration or index) is not JSON of the expected kind.
    #[error("{}: {problem}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column where known.
        problem: String,
    },
    /// A field of config.json is missing, has a wrong value, or asks for what is not supported.
    #[error("{}: field `{field}` {problem}", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// Name of the field.
        field: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// The header of a safetensors file cannot be believed.
    #[error("{}: {problem}", file.display())]
    Header {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A tensor is not what the configuration or the header says.
    #[error("{}: tensor {tensor}: {problem}", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// The configuration asks for a tensor that no file holds.
    #[error(
        "{}: tensor {tensor} is missing: config.json asks for it, with shape {shape:?}",
        folder.display()
    )]
    MissingTensor {
        /// The folder of the model.
        folder: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Its shape according to the configuration.
        shape: Vec<usize>,
    },
    /// The index names a file that is not there.
    #[error(
        "{} is missing: {} says that it holds tensor {tensor}; fetch the file again",
        shard.display(),
        index.display()
    )]
    MissingShard {
        /// The index.
        index: PathBuf,
        /// The file that is not there.
        shard: PathBuf,
        /// A tensor it should hold.
        tensor: String,
    },
    /// A weight is NaN or infinite.
    #[error("{}: tensor {tensor}: row {row} holds {value}; every weight must be finite", file.display())]
    NotFinite {
        /// The file.
        file: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// First row with such a value.
        row: usize,
        /// The value.
        value: f32,
    },
    /// A folder of quantised weights stands where others are needed.
    #[error(
        "{} holds weights that are quantized to {stored}: they run as they are, but cannot be \
         widened, trained, extended or quantized again; take the model that they were made of",
        folder.display()
    )]
    Quantized {
        /// The folder.
        folder: PathBuf,
        /// The format of its weights.
        stored: &'static str,
    },
    /// The vocabulary cannot be enlarged as asked.
    #[error("cannot extend {}: {problem}", base.display())]
    Extension {
        /// Folder of the base model.
        base: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The device has not enough memory, or cannot run at all.
    #[error(transparent)]
    Device(#[from] KernelError),
}

impl LlamaError {
    /// For `map_err` behind everything that reads `file`.
    pub(crate) fn read(file: &Path) -> impl Fn(std::io::Error) -> LlamaError + '_ {
        |source| LlamaError::Read { file: file.into(), source }
    }

    /// For `map_err` behind everything that writes `file`; tells a full disk from the rest.
    pub(crate) fn write(file: &Path) -> impl Fn(std::io::Error) -> LlamaError + '_ {
        |source| match source.kind() {
            std::io::ErrorKind::StorageFull => LlamaError::DiskFull { file: file.into() },
            _ => LlamaError::Write { file: file.into(), source },
        }
    }
}
