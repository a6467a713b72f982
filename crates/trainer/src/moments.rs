//! AdamW's moments as a safetensors file and back: `first_moment.<tensor>` and
//! `second_moment.<tensor>`, only the rows that learn. One tensor at a time is in memory twice.

use crate::adamw::Optimizer;
use crate::durable::failed;
use crate::error::TrainError;
use kollama_kernels::Matrix;
use safetensors::tensor::{Metadata, TensorInfo, serialize_to_file};
use safetensors::{Dtype, SafeTensorError, View};
use std::borrow::Cow;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Name of the file in a checkpoint.
pub const FILE: &str = "moments.safetensors";

const LENGTH_BYTES: usize = 8;

/// Writes the moments of everything that learns.
pub fn write(optimizer: &Optimizer, path: &Path) -> Result<(), TrainError> {
    let tensors = optimizer.moments().flat_map(|moments| {
        let both = [&moments.first, &moments.second];
        moments.names().into_iter().zip(both.map(|moment| TrainedRows::new(moment, &moments.rows)))
    });
    let permissions = new_file_permissions(path).map_err(failed("create", path))?;
    serialize_to_file(tensors, None, path).map_err(|error| {
        failed("write", path)(match error {
            SafeTensorError::IoError(source) => source,
            other => io::Error::other(other),
        })
    })?;
    fs::set_permissions(path, permissions).map_err(failed("write", path))
}

/// Those of any new file here; the library's own are for the owner alone.
fn new_file_permissions(path: &Path) -> io::Result<Permissions> {
    Ok(File::create(path)?.metadata()?.permissions())
}

/// Reads them back into an optimiser of the same tensors. The error is a reason, without the path.
pub fn read(optimizer: &mut Optimizer, path: &Path) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let (header, first_byte) = header(&mut file)?;
    for moments in optimizer.moments_mut() {
        let [first, second] = moments.names();
        let rows = moments.rows.clone();
        for (name, matrix) in [(first, &mut moments.first), (second, &mut moments.second)] {
            let info = header.info(&name).ok_or(format!("{name} is missing"))?;
            let bytes = tensor_bytes(&mut file, first_byte, info, &name, &rows, matrix.columns())?;
            matrix.write_row_bytes(rows.start, &bytes);
        }
    }
    Ok(())
}

/// The header, and where the first tensor begins.
fn header(file: &mut File) -> Result<(Metadata, u64), String> {
    let io = |error: io::Error| error.to_string();
    let mut length = [0; LENGTH_BYTES];
    file.read_exact(&mut length).map_err(io)?;
    let first_byte = u64::from_le_bytes(length).saturating_add(LENGTH_BYTES as u64);
    let size = file.metadata().map_err(io)?.len();
    if first_byte > size {
        return Err("the file is cut off or not a safetensors file".into());
    }
    let mut bytes = vec![0; first_byte as usize - LENGTH_BYTES];
    file.read_exact(&mut bytes).map_err(io)?;
    let header: Metadata = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    match first_byte + header.data_len() as u64 {
        expected if expected == size => Ok((header, first_byte)),
        expected => Err(format!("the file has {size} bytes, its header says {expected}")),
    }
}

fn tensor_bytes(
    file: &mut File,
    first_byte: u64,
    info: &TensorInfo,
    name: &str,
    rows: &Range<usize>,
    columns: usize,
) -> Result<Vec<u8>, String> {
    let expected = [rows.len(), columns];
    if info.dtype != Dtype::F32 || info.shape != expected {
        return Err(format!(
            "{name} is {:?} {:?}, expected F32 {expected:?}",
            info.dtype, info.shape
        ));
    }
    let (start, end) = info.data_offsets;
    let mut bytes = vec![0; end - start];
    file.seek(SeekFrom::Start(first_byte + start as u64))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|error| format!("{name}: {error}"))?;
    Ok(bytes)
}

/// Rows of a matrix, as the safetensors library wants to see a tensor.
struct TrainedRows<'a> {
    matrix: &'a Matrix,
    first: usize,
    shape: [usize; 2],
}

impl<'a> TrainedRows<'a> {
    fn new(matrix: &'a Matrix, rows: &Range<usize>) -> TrainedRows<'a> {
        TrainedRows { matrix, first: rows.start, shape: [rows.len(), matrix.columns()] }
    }
}

impl View for TrainedRows<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.data_len()];
        self.matrix.read_row_bytes(self.first, &mut bytes);
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.shape[0] * self.shape[1] * self.matrix.dtype().bytes()
    }
}
