//! The numbered lines of a source, as UTF-8, one at a time and bounded in length.
//!
//! Also gives a file as one text. Knows of bytes and lines only, not of JSON.

use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::error::CorpusError;
use crate::source::{Compression, SourceFile};

/// The most bytes that a line, and so a document, may have: 1 GiB.
pub(crate) const LIMIT_BYTES: u64 = 1 << 30;

/// The mark that some editors put before the first byte of a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An open source and the line it has come to.
pub(crate) struct Lines {
    file: Arc<Path>,
    compression: Compression,
    reader: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    number: u64,
    limit: u64,
}

impl Lines {
    /// Opens `source`; `bytes_read` grows with the bytes read on disk.
    pub(crate) fn open(
        source: &SourceFile,
        bytes_read: &Arc<AtomicU64>,
    ) -> Result<Self, CorpusError> {
        Ok(Self {
            file: Arc::clone(&source.path),
            compression: source.compression,
            reader: source.open(bytes_read)?,
            buffer: Vec::new(),
            number: 0,
            limit: LIMIT_BYTES,
        })
    }

    /// The file being read.
    pub(crate) fn file(&self) -> &Arc<Path> {
        &self.file
    }

    /// The next line that is not blank, with its number; nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &str)>, CorpusError> {
        loop {
            self.number += 1;
            if self.fill(|reader, buffer| reader.read_until(b'\n', buffer))? == 0 {
                return Ok(None);
            }
            if !self.content().trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some((self.number, self.text()?)))
    }

    /// All that is left of the file as one text.
    pub(crate) fn whole(&mut self) -> Result<&str, CorpusError> {
        self.number += 1;
        self.fill(|reader, buffer| reader.read_to_end(buffer))?;
        self.text()
    }

    /// Fills the buffer afresh by `read`, within the limit; says how many bytes came.
    fn fill(
        &mut self,
        read: impl FnOnce(
            &mut io::Take<&mut Box<dyn BufRead + Send>>,
            &mut Vec<u8>,
        ) -> io::Result<usize>,
    ) -> Result<usize, CorpusError> {
        self.buffer.clear();
        let mut bounded = (&mut self.reader).take(self.limit + 1);
        let count = read(&mut bounded, &mut self.buffer).map_err(|e| self.refused(e))?;
        if count as u64 > self.limit {
            let (file, line) = (self.file.to_path_buf(), self.number);
            return Err(CorpusError::DocumentTooLarge { file, line, limit: self.limit });
        }
        Ok(count)
    }

    /// A failed read; of a packed file, the decompressor's word.
    fn refused(&self, reason: io::Error) -> CorpusError {
        match self.compression {
            Compression::None => CorpusError::read(&self.file, reason),
            Compression::Gzip | Compression::Zstd => {
                CorpusError::Unpack { path: self.file.to_path_buf(), line: self.number - 1, reason }
            }
        }
    }

    /// The buffer without a byte order mark at the beginning of the file.
    fn content(&self) -> &[u8] {
        match self.number {
            1 => self.buffer.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.buffer),
            _ => &self.buffer,
        }
    }

    /// The content as text, or where it ceases to be UTF-8.
    fn text(&self) -> Result<&str, CorpusError> {
        let content = self.content();
        std::str::from_utf8(content).map_err(|error| {
            let valid = &content[..error.valid_up_to()];
            let line_start = valid.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let lines_before = valid.iter().filter(|&&byte| byte == b'\n').count() as u64;
            CorpusError::NotUtf8 {
                file: self.file.to_path_buf(),
                line: self.number + lines_before,
                byte: valid.len() - line_start + 1,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &[u8]) -> Lines {
        Lines {
            file: Path::new("memory.txt").into(),
            compression: Compression::None,
            reader: Box::new(io::Cursor::new(content.to_vec())),
            buffer: Vec::new(),
            number: 0,
            limit: 16,
        }
    }

    #[test]
    fn blank_lines_are_passed_over_but_counted() {
        let mut lines = lines(b"\xef\xbb\xbfone\n\n \r\nfour\r\nfive");
        assert_eq!(lines.next().unwrap(), Some((1, "one\n")));
        assert_eq!(lines.next().unwrap(), Some((4, "four\r\n")));
        assert_eq!(lines.next().unwrap(), Some((5, "five")));
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn a_byte_that_is_not_utf8_is_found_by_line_and_column() {
        let text = b"\xea\xb0\x80\nab\xffc";
        let mut by_line = lines(text);
        by_line.next().unwrap();
        for error in [by_line.next().unwrap_err(), lines(text).whole().unwrap_err()] {
            assert!(matches!(error, CorpusError::NotUtf8 { line: 2, byte: 3, .. }), "{error:?}");
        }
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_and_one_at_it_is_read() {
        assert_eq!(lines(b"0123456789abcdef").whole().unwrap().len(), 16);
        let error = lines(b"short\n0123456789abcdefg").whole().unwrap_err();
        assert!(matches!(error, CorpusError::DocumentTooLarge { line: 1, limit: 16, .. }));
        let mut by_line = lines(b"short\n0123456789abcdefg");
        by_line.next().unwrap();
        let error = by_line.next().unwrap_err();
        assert!(matches!(error, CorpusError::DocumentTooLarge { line: 2, .. }), "{error:?}");
    }
}
