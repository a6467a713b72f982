//! A file as a slice of 32-bit words, read in place: the one module with `unsafe`.
//!
//! The kernel pages the words in when they are touched and drops them when memory is short, so
//! a packed corpus may be larger than memory. Nothing here knows what the words mean.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// A whole file, mapped read-only.
pub(crate) struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps `path`; fails as opening the file fails.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is private to this value and read-only, and every bit pattern is a
        // valid u8 and u32. A file that another process shortens meanwhile would stop this one
        // with SIGBUS; packed folders appear by one rename and are never written to again.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The whole words of the file; up to three bytes at its end may be left over.
    pub(crate) fn words(&self) -> &[u32] {
        let whole = self.map.len() / size_of::<u32>() * size_of::<u32>();
        bytemuck::cast_slice(&self.map[..whole])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian_and_a_ragged_end_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words");
        std::fs::write(&path, [1, 0, 0, 0, 0, 1, 0, 0, 9]).unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        assert_eq!(mapped.words(), [1, 256]);
        assert_eq!(mapped.bytes().len(), 9);
    }

    #[test]
    fn an_empty_file_has_no_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, []).unwrap();
        assert!(MappedFile::open(&path).unwrap().words().is_empty());
    }
}
