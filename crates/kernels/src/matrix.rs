//! Memory for rows by columns on a device, given back when dropped, or a place in a mapped file.
//! Knows nothing of arithmetic.

use crate::device::Device;
use crate::dtype::DType;
use crate::error::KernelError;
use crate::mapped::MappedFile;
use crate::q8_rows;
use crate::view::{Address, View};
use half::bf16;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

/// A matrix on a device. Rows are tokens (or vocabulary entries), columns are features.
pub struct Matrix {
    device: Device,
    address: Address,
    capacity: usize,
    rows: usize,
    columns: usize,
    dtype: DType,
    /// The file that the elements lie in, where they are not memory of the device.
    file: Option<Arc<MappedFile>>,
}

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(
        device: &Device,
        rows: usize,
        columns: usize,
        dtype: DType,
    ) -> Result<Matrix, KernelError> {
        let address = device.backend().allocate(dtype.matrix_bytes(rows, columns))?;
        let (device, file) = (device.clone(), None);
        Ok(Matrix { device, address, capacity: rows, rows, columns, dtype, file })
    }

    /// A matrix whose elements stay in a mapped file, from byte `offset` on; it can only be read.
    /// `None` where the bytes are not aligned as the dtype needs them.
    ///
    /// # Panics
    /// If the file ends before the matrix does.
    pub fn mapped(
        device: &Device,
        file: &Arc<MappedFile>,
        offset: usize,
        (rows, columns): (usize, usize),
        dtype: DType,
    ) -> Option<Matrix> {
        let bytes = &file.bytes()[offset..][..dtype.matrix_bytes(rows, columns)];
        let aligned = bytes.as_ptr().addr().is_multiple_of(dtype.alignment());
        let address = Address(NonNull::from(bytes).cast());
        let (device, file) = (device.clone(), Some(file.clone()));
        aligned.then_some(Matrix { device, address, capacity: rows, rows, columns, dtype, file })
    }

    /// An `f32` matrix with the given values, row after row.
    ///
    /// # Panics
    /// If there are not `rows * columns` values.
    pub fn from_values(
        device: &Device,
        rows: usize,
        columns: usize,
        values: &[f32],
    ) -> Result<Matrix, KernelError> {
        let mut matrix = Matrix::zeros(device, rows, columns, DType::F32)?;
        assert_eq!(values.len(), rows * columns, "values of a {rows} x {columns} matrix");
        matrix.write_rows(0, values);
        Ok(matrix)
    }

    /// The device that holds it.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of rows in use.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How elements are stored.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Rows that fit without asking for memory.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Uses only the first `rows` rows from now on; their contents stay.
    ///
    /// # Panics
    /// If `rows` is more than [`Matrix::capacity`].
    pub fn set_rows(&mut self, rows: usize) {
        assert!(rows <= self.capacity, "{rows} rows in a matrix of {}", self.capacity);
        self.rows = rows;
    }

    /// Whether the elements stay in a file; then they can only be read.
    pub fn is_mapped(&self) -> bool {
        self.file.is_some()
    }

    /// Bytes of memory held, or of the file where it is mapped.
    pub fn bytes(&self) -> usize {
        self.dtype.matrix_bytes(self.capacity, self.columns)
    }

    /// Writes whole rows from `first` on, rounded where the matrix is bf16 or 8-bit rows.
    ///
    /// # Panics
    /// If the matrix is packed or a remainder: [`crate::ops::pack`] or [`crate::ops::split_rows`] writes it.
    pub fn write_rows(&mut self, first: usize, values: &[f32]) {
        match self.dtype {
            DType::F32 => self.write_row_bytes(first, bytes_of_f32(values)),
            DType::Bf16 => {
                let rounded: Vec<u8> =
                    values.iter().flat_map(|&x| bf16::from_f32(x).to_ne_bytes()).collect();
                self.write_row_bytes(first, &rounded);
            }
            DType::Q8Rows => {
                let row_bytes = q8_rows::row_bytes(self.columns);
                let mut bytes = vec![0; values.len() / self.columns * row_bytes];
                let rows = bytes.chunks_exact_mut(row_bytes);
                rows.zip(values.chunks_exact(self.columns))
                    .for_each(|(row, x)| q8_rows::put(row, x));
                self.write_row_bytes(first, &bytes);
            }
            other => panic!("a {other:?} matrix is written by an operation of its own"),
        }
    }

    /// Reads whole rows from `first` on, as many as `values` has room for.
    ///
    /// # Panics
    /// If the matrix is packed or a remainder: [`crate::ops::embedding`] or [`crate::ops::join_rows`] reads it.
    pub fn read_rows(&self, first: usize, values: &mut [f32]) {
        match self.dtype {
            DType::F32 => self.read_row_bytes(first, bytes_of_f32_mut(values)),
            DType::Bf16 => {
                let mut bytes = vec![0; values.len() * 2];
                self.read_row_bytes(first, &mut bytes);
                for (value, pair) in values.iter_mut().zip(bytes.chunks_exact(2)) {
                    *value = bf16::from_ne_bytes([pair[0], pair[1]]).to_f32();
                }
            }
            DType::Q8Rows => {
                let row_bytes = q8_rows::row_bytes(self.columns);
                let mut bytes = vec![0; values.len() / self.columns * row_bytes];
                self.read_row_bytes(first, &mut bytes);
                let rows = bytes.chunks_exact(row_bytes);
                let values = values.chunks_exact_mut(self.columns);
                rows.zip(values).for_each(|(row, x)| q8_rows::get(row, self.columns, 0, x));
            }
            other => panic!("a {other:?} matrix is read by an operation of its own"),
        }
    }

    /// All rows in use, as `f32`.
    pub fn to_vec(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows * self.columns];
        self.read_rows(0, &mut values);
        values
    }

    /// Writes whole rows of raw elements (this machine's byte order) in the matrix's own dtype; of a
    /// packed matrix, whole panels (always little-endian).
    pub fn write_row_bytes(&mut self, first: usize, bytes: &[u8]) {
        let view = self.byte_rows(first, bytes.len());
        view.must_be_writable();
        self.device.backend().copy_in(view.address, bytes);
    }

    /// Reads whole rows of raw elements in the matrix's own dtype; of a packed matrix, whole panels.
    pub fn read_row_bytes(&self, first: usize, bytes: &mut [u8]) {
        let view = self.byte_rows(first, bytes.len());
        self.device.backend().copy_out(bytes, view.address);
    }

    /// Sets rows to zero.
    pub fn clear_rows(&mut self, rows: Range<usize>) {
        let view = self.view().row_range(rows.start, rows.len());
        self.device.backend().clear(view);
    }

    /// Sets every row in use to zero.
    pub fn clear(&mut self) {
        self.clear_rows(0..self.rows);
    }

    pub(crate) fn view(&self) -> View {
        let Matrix { address, rows, columns, dtype, .. } = *self;
        View { address, rows, columns, dtype, read_only: self.is_mapped() }
    }

    fn byte_rows(&self, first: usize, bytes: usize) -> View {
        let step = self.dtype.rows_at_once();
        let row = self.dtype.matrix_bytes(step, self.columns);
        assert_eq!(bytes % row, 0, "{bytes} bytes are not whole rows of {row}");
        let rows = bytes / row * step;
        // The last panel of a packed matrix is whole, also where there are fewer rows.
        let whole = View { rows: self.rows.next_multiple_of(step), ..self.view() };
        whole.row_range(first, rows)
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        if !self.is_mapped() {
            let bytes = self.bytes();
            self.device.backend().free(self.address, bytes);
        }
    }
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matrix({} x {}, {:?})", self.rows, self.columns, self.dtype)
    }
}

fn bytes_of_f32(values: &[f32]) -> &[u8] {
    bytemuck::cast_slice(values)
}

fn bytes_of_f32_mut(values: &mut [f32]) -> &mut [u8] {
    bytemuck::cast_slice_mut(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rows_round_to_nearest_even_and_read_back_widened() {
        let device = Device::reference();
        let mut matrix = Matrix::zeros(&device, 1, 3, DType::Bf16).unwrap();
        matrix.write_rows(0, &[1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0]);
        assert_eq!(matrix.to_vec(), [1.0, 1.0, 1.0 + 4.0 / 256.0]);
    }

    #[test]
    fn fewer_rows_keep_what_they_held() {
        let device = Device::reference();
        let mut matrix = Matrix::from_values(&device, 3, 2, &[1., 2., 3., 4., 5., 6.]).unwrap();
        matrix.clear_rows(1..2);
        matrix.set_rows(1);
        assert_eq!(matrix.to_vec(), [1., 2.]);
        matrix.set_rows(3);
        assert_eq!(matrix.to_vec(), [1., 2., 0., 0., 5., 6.]);
    }

    fn file_of(bytes: &[u8]) -> Arc<MappedFile> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Arc::new(MappedFile::open(file.path()).unwrap())
    }

    #[test]
    fn a_mapped_matrix_is_read_where_it_lies_and_outlives_the_name_of_its_file() {
        let device = Device::reference();
        let values: Vec<u8> = [7f32, 1., 2., 3., 4.].iter().flat_map(|x| x.to_ne_bytes()).collect();
        let file = file_of(&values);
        let matrix = Matrix::mapped(&device, &file, 4, (2, 2), DType::F32).unwrap();
        let within = file.bytes().as_ptr_range();
        assert!(within.contains(&matrix.view().address.0.as_ptr().cast_const()));
        drop(file);
        assert_eq!(matrix.to_vec(), [1., 2., 3., 4.]);
        let mut out = Matrix::zeros(&device, 1, 2, DType::F32).unwrap();
        let x = Matrix::from_values(&device, 1, 2, &[1., 1.]).unwrap();
        crate::ops::matmul(&mut out, &x, &matrix);
        assert_eq!(out.to_vec(), [3., 7.]);
    }

    #[test]
    fn bytes_that_are_not_aligned_cannot_be_used_in_place() {
        let (device, file) = (Device::reference(), file_of(&[0; 32]));
        assert!(Matrix::mapped(&device, &file, 2, (1, 1), DType::F32).is_none());
        assert!(Matrix::mapped(&device, &file, 2, (1, 1), DType::Bf16).is_some());
        assert!(Matrix::mapped(&device, &file, 3, (1, 1), DType::Bf16).is_none());
    }

    #[test]
    #[should_panic(expected = "only read")]
    fn a_mapped_matrix_refuses_to_be_the_output_of_an_operation() {
        let (device, file) = (Device::reference(), file_of(&[0; 8]));
        let mut out = Matrix::mapped(&device, &file, 0, (1, 2), DType::F32).unwrap();
        let x = Matrix::from_values(&device, 1, 2, &[1., 1.]).unwrap();
        crate::ops::add(&mut out, &x);
    }

    #[test]
    #[should_panic(expected = "only read")]
    fn a_mapped_matrix_refuses_rows() {
        let file = file_of(&[0; 8]);
        let matrix = Matrix::mapped(&Device::reference(), &file, 0, (1, 2), DType::F32);
        matrix.unwrap().write_rows(0, &[1., 2.]);
    }
}
