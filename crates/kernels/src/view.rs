//! Rows by columns at an address, on whatever device: what crosses the seam. Knows no device, so
//! that devices, matrices and the seam do not know each other in a circle.

use crate::dtype::DType;
use half::bf16;
use std::ptr::NonNull;

/// Where a device keeps the bytes of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub(crate) NonNull<u8>);

// SAFETY: an address is only a number; whoever reads or writes there (the backends, through views
// made by `Matrix`) has the exclusive or shared borrow that the operation's signature asks for.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

/// A matrix without ownership. Made by `Matrix` alone, which borrows itself for as long
/// as an operation runs: views that are written are never views of the same matrix as another.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub(crate) address: Address,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) dtype: DType,
    /// Whether it lies in a mapped file: writing there would end the process.
    pub(crate) read_only: bool,
}

impl View {
    pub(crate) fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// # Panics
    /// If it lies in a mapped file.
    pub(crate) fn must_be_writable(&self) {
        assert!(!self.read_only, "a matrix in a mapped file is only read");
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.dtype.matrix_bytes(self.rows, self.columns)
    }

    /// The same matrix, only rows `first .. first + rows`; of a packed one, whole panels.
    pub(crate) fn row_range(&self, first: usize, rows: usize) -> View {
        assert!(first + rows <= self.rows, "rows {first}+{rows} of {}", self.rows);
        let (end, of) = (first + rows, (self.rows, self.dtype));
        let between_panels = |row: usize| row.is_multiple_of(self.dtype.rows_at_once());
        let whole = between_panels(first) && (between_panels(end) || end == self.rows);
        assert!(whole, "rows {first}..{end} of {of:?} are not whole panels");
        let offset = self.dtype.matrix_bytes(first, self.columns);
        // SAFETY: within the matrix by the assertion, so within its allocation.
        let address = Address(unsafe { self.address.0.add(offset) });
        View { address, rows, ..*self }
    }

    /// # Safety
    /// The address must be readable by this process, and nothing may write to it during `'a`.
    pub(crate) unsafe fn f32s<'a>(&self) -> &'a [f32] {
        assert_eq!(self.dtype, DType::F32, "expected an f32 matrix");
        // SAFETY: the caller's promise; `Matrix` allocates 64-byte aligned and zeroed.
        unsafe { std::slice::from_raw_parts(self.address.0.as_ptr().cast(), self.len()) }
    }

    /// # Safety
    /// As [`View::f32s`].
    pub(crate) unsafe fn bf16s<'a>(&self) -> &'a [bf16] {
        assert_eq!(self.dtype, DType::Bf16, "expected a bf16 matrix");
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.address.0.as_ptr().cast(), self.len()) }
    }

    /// # Safety
    /// The address must be writable by this process, and nothing else may use it during `'a`.
    pub(crate) unsafe fn f32s_mut<'a>(&self) -> &'a mut [f32] {
        assert_eq!(self.dtype, DType::F32, "expected an f32 matrix");
        self.must_be_writable();
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.address.0.as_ptr().cast(), self.len()) }
    }

    /// # Safety
    /// As [`View::f32s_mut`].
    pub(crate) unsafe fn bf16s_mut<'a>(&self) -> &'a mut [bf16] {
        assert_eq!(self.dtype, DType::Bf16, "expected a bf16 matrix");
        self.must_be_writable();
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.address.0.as_ptr().cast(), self.len()) }
    }

    /// The rows of a remainder, as `remainder.rs` says.
    ///
    /// # Safety
    /// As [`View::f32s`].
    pub(crate) unsafe fn remainders<'a>(&self) -> &'a [u16] {
        assert_eq!(self.dtype, DType::Remainder, "expected a remainder");
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.address.0.as_ptr().cast(), self.bytes() / 2) }
    }

    /// # Safety
    /// As [`View::f32s_mut`].
    pub(crate) unsafe fn remainders_mut<'a>(&self) -> &'a mut [u16] {
        assert_eq!(self.dtype, DType::Remainder, "expected a remainder");
        self.must_be_writable();
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.address.0.as_ptr().cast(), self.bytes() / 2) }
    }

    /// The rows of an 8-bit matrix, as `q8_rows.rs` says.
    ///
    /// # Safety
    /// As [`View::f32s`].
    pub(crate) unsafe fn q8_rows<'a>(&self) -> &'a [u8] {
        assert_eq!(self.dtype, DType::Q8Rows, "expected 8-bit rows");
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.address.0.as_ptr(), self.bytes()) }
    }

    /// # Safety
    /// As [`View::f32s_mut`].
    pub(crate) unsafe fn q8_rows_mut<'a>(&self) -> &'a mut [u8] {
        assert_eq!(self.dtype, DType::Q8Rows, "expected 8-bit rows");
        self.must_be_writable();
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.address.0.as_ptr(), self.bytes()) }
    }

    /// The panels of a packed matrix.
    ///
    /// # Safety
    /// As [`View::f32s`].
    pub(crate) unsafe fn panels<'a>(&self) -> &'a [u8] {
        assert!(self.dtype.is_packed(), "expected a packed matrix, not {:?}", self.dtype);
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.address.0.as_ptr(), self.bytes()) }
    }

    /// # Safety
    /// As [`View::f32s_mut`].
    pub(crate) unsafe fn panels_mut<'a>(&self) -> &'a mut [u8] {
        assert!(self.dtype.is_packed(), "expected a packed matrix, not {:?}", self.dtype);
        self.must_be_writable();
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.address.0.as_ptr(), self.bytes()) }
    }
}
