//! A file as bytes of memory, read in place: weights can be used where they lie. The system reads a
//! page when it is touched and forgets it when memory is short, so a file may be larger than memory.
//! Knows nothing of what the bytes mean.

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::path::Path;

/// A whole file, mapped to be read only.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps a file; fails as opening it fails.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<MappedFile> {
        let file = File::open(path)?;
        // SAFETY: the map is private to this value and only read, and what is read from it are
        // numbers, for which every bit pattern is valid. A file that another process shortens
        // meanwhile would stop this one; models appear by one rename and are never written again.
        let map = unsafe { Mmap::map(&file)? };
        Ok(MappedFile { map })
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}
