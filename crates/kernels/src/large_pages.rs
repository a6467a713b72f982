//! Asks the system to keep a large block of memory in large pages: a product walks through rows that
//! lie far apart, and with small pages every step would ask for the translation of another one. A
//! wish only: where the system has none, or does not grant it, nothing changes but the speed.

/// Blocks below this are left alone: two large pages of x86-64.
const LEAST: usize = 4 << 20;

/// For `bytes` of memory from `start` on, nobody's contents but the caller's.
#[cfg(target_os = "linux")]
pub fn wish_for(start: *mut u8, bytes: usize) {
    use std::ffi::{c_int, c_void};
    const SMALL_PAGE: usize = 4096;
    const MADV_HUGEPAGE: c_int = 14;
    unsafe extern "C" {
        fn madvise(start: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    }
    if bytes < LEAST {
        return;
    }
    let skipped = start.align_offset(SMALL_PAGE);
    let whole = (bytes - skipped) / SMALL_PAGE * SMALL_PAGE;
    // SAFETY: pages that lie as a whole inside the caller's memory; the advice changes no byte of
    // them, and a refusal (pages of another size, another kernel) may be ignored.
    unsafe { madvise(start.wrapping_add(skipped).cast(), whole, MADV_HUGEPAGE) };
}

/// Other systems choose the size of pages themselves.
#[cfg(not(target_os = "linux"))]
pub fn wish_for(_: *mut u8, bytes: usize) {
    let _ = bytes >= LEAST;
}
