//! The safetensors file: header, names, shapes, bytes. Reads by seeking, tensor by tensor, and
//! believes no header that the length of the file contradicts. Knows nothing of models.
//!
//! Format: 8 bytes little-endian length of the header, the header in JSON
//! (`{"name": {"dtype", "shape", "data_offsets"}, …}`), then the tensors without gaps
//! (<https://github.com/huggingface/safetensors>).

use crate::error::LlamaError;
use crate::stored_type::StoredType;
use ::safetensors::tensor::{Dtype, TensorInfo};
use kollama_kernels::MappedFile;
use serde_json::{Map, Value, json};
use std::cell::OnceCell;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest header that is read; that of a 70B model has about 100 KB.
const LONGEST_HEADER: u64 = 100_000_000;

/// Where the tensors begin in a file written here: at a multiple of the line of a cache.
const ALIGNMENT: usize = 64;

/// Name, type and shape of a tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TensorHead {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

impl TensorHead {
    /// Bytes of its values; `None` if there are more than can be counted.
    pub fn bytes(&self) -> Option<u64> {
        let values = self.shape.iter().try_fold(1u64, |all, &size| all.checked_mul(size as u64))?;
        Some(values.checked_mul(self.dtype.bitsize() as u64)?.div_ceil(8))
    }

    /// Rows when seen as a matrix: all but the last dimension; a single dimension is one row.
    pub fn rows(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, rows)| rows.iter().product())
    }

    /// Bytes of one of [`TensorHead::rows`].
    pub fn row_bytes(&self) -> usize {
        self.shape.last().copied().unwrap_or(1) * self.dtype.bitsize() / 8
    }
}

/// A tensor of a [`TensorFile`].
#[derive(Clone, Debug)]
pub(crate) struct TensorEntry {
    pub head: TensorHead,
    /// First byte, counted from the start of the file.
    pub start: u64,
    pub bytes: u64,
}

/// An open file with a header that was checked against the length of the file.
pub(crate) struct TensorFile {
    pub path: PathBuf,
    file: File,
    mapped: OnceCell<Arc<MappedFile>>,
    /// In the order of their bytes.
    pub tensors: Vec<TensorEntry>,
}

impl TensorFile {
    pub fn open(path: &Path) -> Result<TensorFile, LlamaError> {
        let mut file = File::open(path).map_err(LlamaError::read(path))?;
        let length = file.metadata().map_err(LlamaError::read(path))?.len();
        let (header, data) = read_header(path, &mut file, length)?;
        let mut tensors = header
            .into_iter()
            .filter(|(name, _)| name != "__metadata__")
            .map(|(name, value)| entry(path, name, value, data))
            .collect::<Result<Vec<_>, _>>()?;
        tensors.sort_by_key(|tensor| (tensor.start, tensor.bytes));
        check_without_gaps(path, &tensors, data, length)?;
        Ok(TensorFile { path: path.into(), file, mapped: OnceCell::new(), tensors })
    }

    /// Fills `bytes` with those of a tensor from `offset` on.
    pub fn read(
        &self,
        entry: &TensorEntry,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), LlamaError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(entry.start + offset))
            .and_then(|_| file.read_exact(bytes))
            .map_err(LlamaError::read(&self.path))
    }

    /// The whole file, mapped once.
    pub fn mapped(&self) -> Result<&Arc<MappedFile>, LlamaError> {
        if let Some(mapped) = self.mapped.get() {
            return Ok(mapped);
        }
        let mapped = MappedFile::open(&self.path).map_err(LlamaError::read(&self.path))?;
        Ok(self.mapped.get_or_init(|| Arc::new(mapped)))
    }

    /// An error about a tensor of this file.
    pub fn problem(&self, tensor: &str, problem: impl Into<String>) -> LlamaError {
        tensor_problem(&self.path, tensor, problem)
    }

    /// How the tensor's values are stored, if as floating-point numbers that are read here.
    pub fn stored_type(&self, entry: &TensorEntry) -> Result<StoredType, LlamaError> {
        StoredType::of(entry.head.dtype).ok_or_else(|| {
            let problem = format!("has type {}: expected F32, BF16 or F16", entry.head.dtype);
            self.problem(&entry.head.name, problem)
        })
    }
}

fn tensor_problem(file: &Path, tensor: &str, problem: impl Into<String>) -> LlamaError {
    LlamaError::Tensor { file: file.into(), tensor: tensor.into(), problem: problem.into() }
}

/// The header's entries, and where the data begins.
fn read_header(
    path: &Path,
    file: &mut File,
    length: u64,
) -> Result<(Map<String, Value>, u64), LlamaError> {
    let wrong = |problem: String| LlamaError::Header { file: path.into(), problem };
    if length < 8 {
        return Err(wrong(format!("is {length} bytes long: too short for a safetensors file")));
    }
    let mut eight = [0; 8];
    file.read_exact(&mut eight).map_err(LlamaError::read(path))?;
    let claimed = u64::from_le_bytes(eight);
    if claimed > LONGEST_HEADER || claimed > length - 8 {
        return Err(wrong(format!(
            "claims a header of {claimed} bytes, but is {length} bytes long: cut off, or no \
             safetensors file; fetch it again"
        )));
    }
    let mut header = vec![0; claimed as usize];
    file.read_exact(&mut header).map_err(LlamaError::read(path))?;
    let entries = serde_json::from_slice(&header)
        .map_err(|error| wrong(format!("the header is not a JSON object: {error}")))?;
    Ok((entries, 8 + claimed))
}

fn entry(path: &Path, name: String, value: Value, data: u64) -> Result<TensorEntry, LlamaError> {
    let info: TensorInfo = serde_json::from_value(value).map_err(|error| {
        tensor_problem(path, &name, format!("bad entry in the header: {error}"))
    })?;
    let (start, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
    let head = TensorHead { name, dtype: info.dtype, shape: info.shape };
    let bytes = head.bytes();
    let room = end.checked_sub(start);
    match bytes.filter(|_| bytes == room).zip(data.checked_add(start)) {
        Some((bytes, start)) => Ok(TensorEntry { head, start, bytes }),
        None => {
            let (shape, dtype) = (&head.shape, head.dtype);
            let problem = format!(
                "the header gives it bytes {start}..{end}, which is not what {dtype} values of \
                 shape {shape:?} take"
            );
            Err(tensor_problem(path, &head.name, problem))
        }
    }
}

fn check_without_gaps(
    path: &Path,
    tensors: &[TensorEntry],
    data: u64,
    length: u64,
) -> Result<(), LlamaError> {
    let mut filled = data;
    for TensorEntry { head, start, bytes } in tensors {
        if *start != filled {
            let what = if *start < filled { "overlaps" } else { "leaves a gap after" };
            let problem = format!("{what} the tensor before it: the header cannot be right");
            return Err(tensor_problem(path, &head.name, problem));
        }
        let end = start.saturating_add(*bytes);
        if end > length {
            let problem = format!(
                "should end at byte {end}, but the file is {length} bytes long: cut off; fetch it \
                 again"
            );
            return Err(tensor_problem(path, &head.name, problem));
        }
        filled = end;
    }
    if filled == length {
        return Ok(());
    }
    let problem = format!("is {length} bytes long, but its last tensor ends at byte {filled}");
    Err(LlamaError::Header { file: path.into(), problem })
}

/// A file being written: the header first, then the bytes of its tensors in that order.
pub(crate) struct TensorWriter {
    path: PathBuf,
    out: BufWriter<File>,
    left: u64,
}

impl TensorWriter {
    pub fn create(path: &Path, heads: &[TensorHead]) -> Result<TensorWriter, LlamaError> {
        let (header, left) = header_of(heads);
        let file = File::create(path).map_err(LlamaError::write(path))?;
        let mut writer =
            TensorWriter { path: path.into(), out: BufWriter::with_capacity(1 << 20, file), left };
        writer.put(&(header.len() as u64).to_le_bytes())?;
        writer.put(&header)?;
        Ok(writer)
    }

    /// The next bytes of the tensors named at creation.
    ///
    /// # Panics
    /// If there are more than the header promised.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LlamaError> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.expect("no more bytes than the header promises");
        self.put(bytes)
    }

    /// Everything is on the disk when this returns.
    ///
    /// # Panics
    /// If bytes are missing.
    pub fn finish(mut self) -> Result<(), LlamaError> {
        assert_eq!(self.left, 0, "bytes that the header promised");
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(LlamaError::write(&self.path))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), LlamaError> {
        self.out.write_all(bytes).map_err(LlamaError::write(&self.path))
    }
}

/// The header and the number of bytes that follow it. It is padded so that they begin at a multiple
/// of [`ALIGNMENT`]: whatever is aligned among them is aligned in a mapped file too.
fn header_of(heads: &[TensorHead]) -> (Vec<u8>, u64) {
    let mut entries = Map::new();
    entries.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut end = 0;
    for head in heads {
        let start = end;
        end += head.bytes().expect("a model that fits a disk");
        entries.insert(
            head.name.clone(),
            json!({"dtype": head.dtype, "shape": head.shape, "data_offsets": [start, end]}),
        );
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    header.resize((8 + header.len()).next_multiple_of(ALIGNMENT) - 8, b' ');
    (header, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, shape: &[usize]) -> TensorHead {
        TensorHead { name: name.into(), dtype: Dtype::BF16, shape: shape.into() }
    }

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("two.safetensors");
        let mut writer =
            TensorWriter::create(&path, &[head("a", &[2, 3]), head("b", &[1])]).unwrap();
        writer.write(&[7; 12]).unwrap();
        writer.write(&[1, 2]).unwrap();
        writer.finish().unwrap();
        path
    }

    fn opened_after(change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<TensorFile, LlamaError> {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let bytes = change(std::fs::read(&path).unwrap());
        std::fs::write(&path, bytes).unwrap();
        TensorFile::open(&path)
    }

    fn complaint(change: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
        let text = opened_after(change).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("two.safetensors"), "{text}");
        text
    }

    fn renamed(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let place = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        [&bytes[..place], to.as_bytes(), &bytes[place + to.len()..]].concat()
    }

    #[test]
    fn what_is_written_is_read_and_other_readers_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.tensors[0].head, head("a", &[2, 3]));
        let mut bytes = [0; 2];
        file.read(&file.tensors[1], 0, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2]);

        let whole = std::fs::read(&path).unwrap();
        assert_eq!(file.tensors[0].start % 64, 0, "where bytes begin in a mapped file");
        assert_eq!(file.mapped().unwrap().bytes(), whole);
        let oracle = ::safetensors::SafeTensors::deserialize(&whole).unwrap();
        assert_eq!(oracle.tensor("a").unwrap().shape(), [2, 3]);
        assert_eq!(oracle.tensor("b").unwrap().data(), [1, 2]);
    }

    #[test]
    fn a_file_cut_off_names_the_tensor_that_suffers() {
        let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 1].to_vec();
        let text = complaint(cut);
        assert!(text.contains("tensor b") && text.contains("cut off"), "{text}");
        assert!(complaint(|bytes| bytes[..20].to_vec()).contains("claims a header of"));
        assert!(complaint(|bytes| bytes[..5].to_vec()).contains("too short"));
    }

    #[test]
    fn a_header_that_lies_is_not_believed() {
        let longer = |mut bytes: Vec<u8>| {
            bytes[7] = 1;
            bytes
        };
        assert!(complaint(longer).contains("claims a header of"));
        let overlap =
            |bytes| renamed(bytes, "\"data_offsets\":[12,14]", "\"data_offsets\":[10,12]");
        assert!(complaint(overlap).contains("tensor b: overlaps"));
        let shape = |bytes| renamed(bytes, "[2,3]", "[2,4]");
        assert!(complaint(shape).contains("tensor a: the header gives it bytes 0..12"));
        let huge = |bytes| renamed(bytes, "\"shape\":[2,3]", "\"shape\":[9e9]");
        assert!(complaint(huge).contains("tensor a: bad entry"));
        let unknown = |bytes| renamed(bytes, "BF16", "XY16");
        assert!(complaint(unknown).contains("tensor a: bad entry"));
        let surplus = |bytes: Vec<u8>| [bytes, vec![0]].concat();
        assert!(complaint(surplus).contains("its last tensor ends at"));
        assert!(complaint(|bytes| renamed(bytes, "{\"__", "(\"__")).contains("not a JSON object"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_one_clear_error() {
        let path = Path::new("/dev/full");
        let mut writer = TensorWriter::create(path, &[head("a", &[1])]).unwrap();
        writer.write(&[0, 0]).unwrap();
        let text = writer.finish().unwrap_err().to_string();
        assert!(text.contains("/dev/full: the disk is full"), "{text}");
    }
}
