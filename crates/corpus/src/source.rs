//! Which files a list of sources means, and how each one opens: format and compression.
//!
//! Formats are told by the ending of the name alone. Parsing is the reader's work.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::CorpusError;

/// Bytes asked of the operating system, and of a decompressor, at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// The largest zstd window that is accepted, as a power of two: what `zstd --long=31` writes.
const ZSTD_WINDOW_LOG: u32 = 31;

/// What the unpacked bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON object a line.
    JsonLines,
    /// The whole file is one text.
    Text,
}

/// How the bytes of a file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// One file that can be read.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: Arc<Path>,
    /// Its length on disk, packed as it is.
    pub(crate) bytes: u64,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
}

/// The files behind a list of sources, in reading order.
#[derive(Debug, Default)]
pub(crate) struct SourceFiles {
    pub(crate) files: Vec<SourceFile>,
    /// What the folders hold besides: other endings, and links to folders.
    pub(crate) skipped: Vec<PathBuf>,
}

impl SourceFiles {
    /// Resolves files and folders; a folder stands for its readable files in name order,
    /// subfolders included.
    pub(crate) fn find(sources: &[PathBuf]) -> Result<Self, CorpusError> {
        let mut found = Self::default();
        for source in sources {
            let metadata = fs::metadata(source).map_err(|e| CorpusError::read(source, e))?;
            if metadata.is_dir() {
                found.add_folder(source)?;
            } else {
                found.files.push(SourceFile::named(source)?);
            }
        }
        Ok(found)
    }

    /// Adds a folder that was named, which has to hold something.
    fn add_folder(&mut self, folder: &Path) -> Result<(), CorpusError> {
        let before = self.files.len();
        self.walk(folder)?;
        if self.files.len() == before {
            return Err(CorpusError::NoReadableFile { folder: folder.to_owned() });
        }
        Ok(())
    }

    /// Adds what a folder holds. Names that begin with a dot are not looked at, and links to
    /// folders are not followed: they could lead in a circle.
    fn walk(&mut self, folder: &Path) -> Result<(), CorpusError> {
        for path in names_in_order(folder)? {
            let metadata = fs::metadata(&path).map_err(|e| CorpusError::read(&path, e))?;
            if metadata.is_dir() && !path.is_symlink() {
                self.walk(&path)?;
            } else if metadata.is_file() && kind(&path).is_some() {
                self.files.push(SourceFile::named(&path)?);
            } else {
                self.skipped.push(path);
            }
        }
        Ok(())
    }
}

/// The visible entries of a folder, sorted by the bytes of their names.
fn names_in_order(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let entries = fs::read_dir(folder).map_err(|e| CorpusError::read(folder, e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| CorpusError::read(folder, e))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Format and compression that a name tells, or nothing for a name that is not read.
fn kind(path: &Path) -> Option<(Format, Compression)> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let (name, compression) = if let Some(inner) = name.strip_suffix(".gz") {
        (inner, Compression::Gzip)
    } else if let Some(inner) = name.strip_suffix(".zst") {
        (inner, Compression::Zstd)
    } else {
        (name.as_str(), Compression::None)
    };
    match name.rsplit_once('.')?.1 {
        "jsonl" => Some((Format::JsonLines, compression)),
        "txt" => Some((Format::Text, compression)),
        _ => None,
    }
}

impl SourceFile {
    /// The file at `path`, whose ending has to be one that is read.
    pub(crate) fn named(path: &Path) -> Result<Self, CorpusError> {
        let metadata = fs::metadata(path).map_err(|e| CorpusError::read(path, e))?;
        if metadata.is_dir() {
            return Err(CorpusError::read(path, io::ErrorKind::IsADirectory.into()));
        }
        let (format, compression) =
            kind(path).ok_or_else(|| CorpusError::UnknownFormat { path: path.to_owned() })?;
        Ok(Self { path: path.into(), bytes: metadata.len(), format, compression })
    }

    /// Opens the file for its unpacked bytes; `bytes_read` grows with the bytes read on disk.
    pub(crate) fn open(
        &self,
        bytes_read: &Arc<AtomicU64>,
    ) -> Result<Box<dyn BufRead + Send>, CorpusError> {
        let refused = |e| CorpusError::read(&self.path, e);
        let file = File::open(&self.path).map_err(refused)?;
        let counted = CountedFile { file, bytes_read: Arc::clone(bytes_read) };
        let packed = BufReader::with_capacity(BUFFER_BYTES, counted);
        Ok(match self.compression {
            Compression::None => Box::new(packed),
            Compression::Gzip => unpacked(flate2::bufread::MultiGzDecoder::new(packed)),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(packed).map_err(refused)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(refused)?;
                unpacked(decoder)
            }
        })
    }
}

/// A decompressor behind a buffer of its own.
fn unpacked(decoder: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
}

/// A file that tells how far it has been read.
struct CountedFile {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_format_and_compression() {
        let kind = |name: &str| kind(Path::new(name));
        assert_eq!(kind("a.jsonl"), Some((Format::JsonLines, Compression::None)));
        assert_eq!(kind("x/a.b.JSONL.GZ"), Some((Format::JsonLines, Compression::Gzip)));
        assert_eq!(kind("a.txt.zst"), Some((Format::Text, Compression::Zstd)));
        for refused in ["a.parquet", "a.json", "a.gz", "txt", "a.zst", "README.md", "a.txt.bz2"] {
            assert_eq!(kind(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_folder_is_its_readable_files_in_name_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("b")).unwrap();
        for name in ["c.txt", "b/z.jsonl", "b/a.txt", "a.jsonl.gz", ".hidden.txt", "README.md"] {
            fs::write(at(name), "").unwrap();
        }
        let found = SourceFiles::find(&[folder.path().to_owned()]).unwrap();
        let paths: Vec<_> = found.files.iter().map(|file| file.path.to_path_buf()).collect();
        assert_eq!(paths, ["a.jsonl.gz", "b/a.txt", "b/z.jsonl", "c.txt"].map(at));
        assert_eq!(found.skipped, [at("README.md")]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "a").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let found = SourceFiles::find(&[folder.path().to_owned()]).unwrap();
        assert_eq!(found.files.len(), 1);
        assert_eq!(found.skipped, [folder.path().join("loop")]);
    }

    #[test]
    fn what_is_not_read_is_refused_with_the_list_of_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        fs::write(&path, "").unwrap();
        for (sources, names) in [(&path, "a.parquet"), (&folder.path().to_owned(), "holds no file")]
        {
            let text = SourceFiles::find(std::slice::from_ref(sources)).unwrap_err().to_string();
            assert!(text.contains(names) && text.contains(".jsonl"), "{text}");
        }
    }

    #[test]
    fn a_missing_source_is_named() {
        let error = SourceFiles::find(&["nowhere/at-all.jsonl".into()]).unwrap_err();
        assert!(error.to_string().contains("nowhere/at-all.jsonl"), "{error}");
    }
}
