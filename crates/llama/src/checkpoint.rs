//! A model folder: finds each tensor in its file, checks its shape against the configuration, and
//! writes a model a few rows at a time. How it is read into memory stands in `loading.rs`.

use crate::config::LlamaConfig;
use crate::error::LlamaError;
use crate::model::Llama;
use crate::parameters::{TensorShape, held_as, is_norm, tensor_shapes};
use crate::safetensors::{TensorEntry, TensorFile, TensorHead};
use crate::stored_type::StoredType;
use crate::writing::{INDEX, Progress, SINGLE, Sink, write_folder};
use ::safetensors::tensor::Dtype;
use kollama_kernels::Matrix;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes moved at a time.
pub(crate) const PIECE_BYTES: usize = 8 << 20;

/// What else makes a model folder useful, besides configuration and weights.
const COMPANIONS: [&str; 7] = [
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
];

impl Llama {
    /// Writes configuration and weights to a folder, in files of at most about 5 GB; files of a
    /// model that it holds already are replaced, others stay.
    ///
    /// # Errors
    /// If anything cannot be written; then nothing of the new model is left.
    pub fn save(&self, folder: &Path, stored: StoredType) -> Result<(), LlamaError> {
        let config = LlamaConfig { dtype: Some(stored.name().into()), ..self.config.clone() };
        let plan = plan(&config, stored);
        let matrices: HashMap<_, _> = self.parameters.named().into_iter().collect();
        let quietly: Progress<'_> = &mut |_, _| {};
        write_folder(folder, &config, &plan, quietly, &mut |head, sink| {
            write_matrix(matrices[&head.name], stored, sink)
        })?;
        Ok(())
    }
}

/// Copies tokenizer files and generation settings, as far as there are any, to another folder.
///
/// # Errors
/// Names the file that could not be read or written.
pub fn copy_companions(from: &Path, to: &Path) -> Result<(), LlamaError> {
    for name in COMPANIONS {
        let (source, target) = (from.join(name), to.join(name));
        if source.is_file() && source != target {
            let temporary = to.join(format!("{name}.tmp"));
            let bytes = fs::read(&source).map_err(LlamaError::read(&source))?;
            fs::write(&temporary, bytes)
                .and_then(|()| fs::File::open(&temporary)?.sync_all())
                .and_then(|()| fs::rename(&temporary, &target))
                .inspect_err(|_| drop(fs::remove_file(&temporary)))
                .map_err(LlamaError::write(&target))?;
        }
    }
    Ok(())
}

/// Every tensor of a model as it stands in a file.
pub(crate) fn plan(config: &LlamaConfig, stored: StoredType) -> Vec<TensorHead> {
    let head = |tensor: TensorShape| TensorHead {
        dtype: stored.dtype(),
        shape: file_shape(&tensor),
        name: tensor.name,
    };
    tensor_shapes(config).into_iter().map(head).collect()
}

/// Norms have one dimension in a file.
pub(crate) fn file_shape(tensor: &TensorShape) -> Vec<usize> {
    if is_norm(&tensor.name) { vec![tensor.columns] } else { vec![tensor.rows, tensor.columns] }
}

/// The open weight files of a folder.
pub(crate) struct ModelFiles {
    pub folder: PathBuf,
    pub files: Vec<TensorFile>,
    /// Whether there is an index, and which tensors it lists.
    pub index: Option<BTreeMap<String, String>>,
    /// Tensor name to file and place in the file.
    places: HashMap<String, (usize, usize)>,
}

impl ModelFiles {
    pub fn open(folder: &Path) -> Result<ModelFiles, LlamaError> {
        let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
        let (files, listed) = if single.is_file() {
            (vec![TensorFile::open(&single)?], None)
        } else if index.is_file() {
            let listed = read_index(&index)?;
            (open_shards(folder, &index, &listed)?, Some(listed))
        } else {
            return Err(LlamaError::NoModel { folder: folder.into() });
        };
        let mut places = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            for (place, tensor) in file.tensors.iter().enumerate() {
                let name = &tensor.head.name;
                if places.insert(name.clone(), (number, place)).is_some() {
                    return Err(file.problem(name, "stands in another file too"));
                }
            }
        }
        Ok(ModelFiles { folder: folder.into(), files, index: listed, places })
    }

    /// File and entry of a tensor.
    pub fn find(&self, name: &str) -> Option<(&TensorFile, &TensorEntry)> {
        let &(file, place) = self.places.get(name)?;
        Some((&self.files[file], &self.files[file].tensors[place]))
    }

    /// Every tensor that the configuration asks for, in the order of `tensor_shapes`, each there,
    /// of the right shape and of a type that is read here.
    pub fn find_all(
        &self,
        config: &LlamaConfig,
    ) -> Result<Vec<(&TensorFile, &TensorEntry)>, LlamaError> {
        tensor_shapes(config).iter().map(|tensor| self.require(config, tensor)).collect()
    }

    fn require(
        &self,
        config: &LlamaConfig,
        tensor: &TensorShape,
    ) -> Result<(&TensorFile, &TensorEntry), LlamaError> {
        let packed = config.quantization().map(|weights| held_as(config, &tensor.name, weights));
        let packed = packed.filter(|dtype| dtype.is_packed());
        let shape = match packed {
            Some(dtype) => vec![dtype.matrix_bytes(tensor.rows, tensor.columns)],
            None => file_shape(tensor),
        };
        let Some((file, entry)) = self.find(&tensor.name) else {
            let (folder, tensor) = (self.folder.clone(), tensor.name.clone());
            return Err(LlamaError::MissingTensor { folder, tensor, shape });
        };
        if entry.head.shape != shape {
            let found = &entry.head.shape;
            let problem = format!("has shape {found:?}, but config.json asks for {shape:?}");
            return Err(file.problem(&tensor.name, problem));
        }
        match packed {
            Some(_) if entry.head.dtype == Dtype::U8 => {}
            Some(_) => {
                let problem = format!("has type {}: expected the bytes U8", entry.head.dtype);
                return Err(file.problem(&tensor.name, problem));
            }
            None => drop(file.stored_type(entry)?),
        }
        Ok((file, entry))
    }
}

/// Hands the bytes of a tensor over in pieces of whole rows: first row of the piece, its bytes.
pub(crate) fn for_each_piece(
    file: &TensorFile,
    entry: &TensorEntry,
    mut each: impl FnMut(usize, &[u8]) -> Result<(), LlamaError>,
) -> Result<(), LlamaError> {
    let (rows, row_bytes) = (entry.head.rows(), entry.head.row_bytes());
    let piece = (PIECE_BYTES / row_bytes.max(1)).max(1);
    let mut bytes = Vec::new();
    for first in (0..rows).step_by(piece) {
        bytes.resize(piece.min(rows - first) * row_bytes, 0);
        file.read(entry, (first * row_bytes) as u64, &mut bytes)?;
        each(first, &bytes)?;
    }
    Ok(())
}

/// Writes a matrix a few rows at a time.
pub(crate) fn write_matrix(
    matrix: &Matrix,
    stored: StoredType,
    sink: &mut Sink<'_>,
) -> Result<(), LlamaError> {
    let (rows, columns) = (matrix.rows(), matrix.columns());
    let piece = (PIECE_BYTES / 4 / columns).max(1);
    let (mut values, mut bytes) = (Vec::new(), Vec::new());
    for first in (0..rows).step_by(piece) {
        values.resize(piece.min(rows - first) * columns, 0.0);
        matrix.read_rows(first, &mut values);
        stored.encode(&values, &mut bytes);
        sink.write(&bytes)?;
    }
    Ok(())
}

/// Tensor name to file name.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>, LlamaError> {
    let wrong = |problem: String| LlamaError::Json { file: path.into(), problem };
    let text = fs::read_to_string(path).map_err(LlamaError::read(path))?;
    let mut index: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("expected the index of a model: {error}")))?;
    let map = index.remove("weight_map").ok_or_else(|| wrong("`weight_map` is missing".into()))?;
    let map: BTreeMap<String, String> = serde_json::from_value(map)
        .map_err(|error| wrong(format!("`weight_map` must give tensors their files: {error}")))?;
    match map.iter().find(|(_, file)| Path::new(file).file_name() != Some(file.as_ref())) {
        Some((tensor, file)) => {
            Err(wrong(format!("tensor {tensor}: {file:?} is not the name of a file beside it")))
        }
        None => Ok(map),
    }
}

fn open_shards(
    folder: &Path,
    index: &Path,
    listed: &BTreeMap<String, String>,
) -> Result<Vec<TensorFile>, LlamaError> {
    let mut tensors_of = BTreeMap::<&str, Vec<&str>>::new();
    for (tensor, file) in listed {
        tensors_of.entry(file).or_default().push(tensor);
    }
    let mut files = Vec::new();
    for (name, tensors) in tensors_of {
        let shard = folder.join(name);
        if !shard.is_file() {
            let (index, tensor) = (index.into(), tensors[0].into());
            return Err(LlamaError::MissingShard { index, shard, tensor });
        }
        let file = TensorFile::open(&shard)?;
        let holds = |name: &str| file.tensors.iter().any(|tensor| tensor.head.name == name);
        if let Some(missing) = tensors.into_iter().find(|name| !holds(name)) {
            return Err(file.problem(missing, format!("is not in it, although {INDEX} says so")));
        }
        files.push(file);
    }
    Ok(files)
}
