//! Memory of this process for matrices: zeroed, aligned to 64 bytes, refused with an error when
//! there is none. Shared by the devices that compute on the processor; does no arithmetic.
//!
//! Blocks of some megabytes are cut from slabs (`slabs.rs`). Large ones come from the system as
//! untouched zero pages. To keep them untouched (a cache of gigabytes is asked for long before it is
//! filled), they are asked for at the alignment that the system's zeroed memory has anyway and are
//! aligned here: asking the allocator itself for 64 bytes makes it write every zero by hand. The
//! distance to the true beginning of a block stands just before the address that is handed out.

use crate::error::KernelError;
use crate::large_pages;
use crate::slabs;
use crate::view::{Address, View};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::{NonNull, copy_nonoverlapping, write_bytes};

const ALIGNMENT: usize = 64;
/// Alignment of a block as the system gives it; room for the distance as well.
const GIVEN: usize = 16;

/// `bytes` zeros for the device of that name; none at all is a valid request.
pub fn allocate(bytes: usize, device: &str) -> Result<Address, KernelError> {
    let refused = || KernelError::OutOfMemory { bytes, device: device.to_owned() };
    if bytes == 0 {
        return Ok(nowhere());
    }
    if let Some(block) = slabs::allocate(bytes) {
        return Ok(Address(block));
    }
    let block = block_for(bytes).ok_or_else(refused)?;
    // SAFETY: a block is never of size zero.
    let start = NonNull::new(unsafe { alloc_zeroed(block) }).ok_or_else(refused)?;
    let distance = ALIGNMENT - start.addr().get() % ALIGNMENT;
    // SAFETY: the start is a multiple of GIVEN, so the distance lies in GIVEN ..= ALIGNMENT: the
    // address and `bytes` after it lie inside the block, and so does the word before the address.
    let address = unsafe {
        let address = start.add(distance);
        address.cast::<usize>().sub(1).write(distance);
        address
    };
    large_pages::wish_for(address.as_ptr(), bytes);
    Ok(Address(address))
}

/// Gives back what [`allocate`] gave for as many `bytes`.
pub fn free(address: Address, bytes: usize) {
    if bytes == 0 || slabs::free(address.0) {
        return;
    }
    let Some(block) = block_for(bytes) else { return };
    // SAFETY: `allocate` made this address from a block of this layout, `distance` after its
    // beginning, and wrote the distance into the word before it.
    unsafe {
        let distance = address.0.cast::<usize>().sub(1).read();
        dealloc(address.0.sub(distance).as_ptr(), block);
    }
}

/// Copies bytes into device memory.
pub fn copy_in(address: Address, bytes: &[u8]) {
    // SAFETY: the address has room for them and is borrowed for writing by the caller's `Matrix`.
    unsafe { copy_nonoverlapping(bytes.as_ptr(), address.0.as_ptr(), bytes.len()) }
}

/// Copies bytes out of device memory.
pub fn copy_out(bytes: &mut [u8], address: Address) {
    // SAFETY: as many bytes lie there, borrowed for reading by the caller's `Matrix`.
    unsafe { copy_nonoverlapping(address.0.as_ptr(), bytes.as_mut_ptr(), bytes.len()) }
}

/// Sets every element to zero; the bytes of a zero are zeros in every dtype.
pub fn clear(x: View) {
    x.must_be_writable();
    // SAFETY: the view lies inside its matrix, which the caller borrows for writing.
    unsafe { write_bytes(x.address.0.as_ptr(), 0, x.bytes()) }
}

/// `out = x` for views of the same shape and dtype.
///
/// # Panics
/// If shapes or dtypes differ.
pub fn copy(out: View, x: View) {
    let kind = |view: View| (view.rows, view.columns, view.dtype);
    assert_eq!(kind(out), kind(x), "copy: rows, columns and dtype of out and x");
    out.must_be_writable();
    // SAFETY: both lie inside their matrices, which are two since one is borrowed for writing.
    unsafe {
        copy_nonoverlapping(x.address.0.as_ptr(), out.address.0.as_ptr(), x.bytes());
    }
}

/// What stands for the address of no bytes: aligned, and never read.
fn nowhere() -> Address {
    #[repr(align(64))]
    struct Aligned;
    Address(NonNull::<Aligned>::dangling().cast())
}

/// The block behind a request; none if no machine can hold it.
fn block_for(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(ALIGNMENT)?, GIVEN).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    fn bytes_at(address: Address, count: usize) -> Vec<u8> {
        let mut bytes = vec![0xAA; count];
        copy_out(&mut bytes, address);
        bytes
    }

    #[test]
    fn memory_is_zeroed_and_aligned_at_every_size_also_when_used_before() {
        for bytes in (1..300).chain([4096, 100_000, 1 << 20]) {
            let address = allocate(bytes, "test").unwrap();
            assert_eq!(address.0.addr().get() % 64, 0, "{bytes} bytes");
            assert!(bytes_at(address, bytes).iter().all(|&byte| byte == 0), "{bytes} bytes");
            copy_in(address, &vec![0xFF; bytes]);
            assert!(bytes_at(address, bytes).iter().all(|&byte| byte == 0xFF), "{bytes} bytes");
            free(address, bytes);
        }
    }

    #[test]
    fn no_bytes_are_a_valid_request() {
        let address = allocate(0, "test").unwrap();
        assert_eq!(address.0.addr().get() % 64, 0);
        copy_in(address, &[]);
        assert_eq!(bytes_at(address, 0), []);
        free(address, 0);
    }

    #[test]
    fn memory_that_no_machine_has_is_refused_with_the_size_and_the_device() {
        for bytes in [1 << 60, isize::MAX as usize, usize::MAX] {
            let error = allocate(bytes, "a small machine").unwrap_err();
            let words = format!("out of memory: {bytes} bytes were asked for on a small machine");
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn clearing_and_copying_touch_only_the_rows_of_the_view() {
        let address = allocate(12, "test").unwrap();
        copy_in(address, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let whole = View { address, rows: 3, columns: 2, dtype: DType::Bf16, read_only: false };
        clear(whole.row_range(1, 1));
        assert_eq!(bytes_at(address, 12), [1, 2, 3, 4, 0, 0, 0, 0, 9, 10, 11, 12]);
        copy(whole.row_range(1, 1), whole.row_range(2, 1));
        assert_eq!(bytes_at(address, 12), [1, 2, 3, 4, 9, 10, 11, 12, 9, 10, 11, 12]);
        free(address, 12);
    }
}
