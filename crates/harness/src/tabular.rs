//! Tab-separated tables as KoBEST writes them: a header, rows, no quoting at all.
//!
//! What a reader must not do to them: treat `"` as a quote (some sentences begin with one), strip
//! blanks around a field (they are part of prompts whose scores are published), or trust the order
//! of columns (it differs between splits). Lines end with LF or CRLF. A name that ends in `.zst` is
//! decompressed.

use crate::error::HarnessError;
use crate::rows::Row;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// The rows of a table; each must have as many fields as the header, empty lines are passed over.
pub fn rows(path: &Path, text: &str) -> Result<Vec<Row>, HarnessError> {
    let file: Arc<Path> = path.into();
    let mut lines = text
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| (index + 1, line.split('\t').collect::<Vec<_>>()));
    let header = lines.next().map(|(_, header)| header).unwrap_or_default();
    lines.map(|(line, fields)| row(&file, line, &header, &fields)).collect()
}

fn row(
    file: &Arc<Path>,
    line: usize,
    header: &[&str],
    fields: &[&str],
) -> Result<Row, HarnessError> {
    if fields.len() != header.len() {
        return Err(HarnessError::FieldCount {
            path: file.to_path_buf(),
            line,
            expected: header.len(),
            found: fields.len(),
        });
    }
    let named = header.iter().map(|name| (*name).to_owned());
    let values = fields.iter().map(|field| Value::String((*field).to_owned()));
    Ok(Row::new(Arc::clone(file), line, named.zip(values).collect()))
}

/// The file as text, unpacked where its name says it is packed.
pub fn read_text(path: &Path) -> Result<String, HarnessError> {
    let is_packed = path.extension().is_some_and(|extension| extension == "zst");
    let bytes = std::fs::File::open(path)
        .and_then(|file| if is_packed { zstd::decode_all(file) } else { read_all(file) })
        .map_err(|source| HarnessError::Read { path: path.to_path_buf(), source })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good].iter().filter(|&&byte| byte == b'\n').count();
        HarnessError::NotUtf8 { path: path.to_path_buf(), line }
    })
}

fn read_all(mut file: std::fs::File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, bytes: &[u8]) -> Result<Vec<Row>, HarnessError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        rows(&path, &read_text(&path)?)
    }

    fn column(table: &[Row], name: &str) -> Vec<String> {
        table.iter().map(|row| row.text(name).unwrap().to_owned()).collect()
    }

    #[test]
    fn line_ends_go_while_quotes_and_outer_blanks_stay() {
        let table = table("a.tsv", b"A\tB\r\n\"x\t y \r\n\r\nz\"\"\t\"\n").unwrap();
        assert_eq!(column(&table, "A"), ["\"x", "z\"\""]);
        assert_eq!(column(&table, "B"), [" y ", "\""]);
    }

    #[test]
    fn columns_are_found_by_their_header_in_any_order() {
        let packed = zstd::encode_all(&b"Label\tText\n1\tgood\n"[..], 0).unwrap();
        let table = table("a.tsv.zst", &packed).unwrap();
        assert_eq!(column(&table, "Text"), ["good"]);
        let message = table[0].text("Answer").unwrap_err().to_string();
        assert!(message.contains("\"Answer\"") && message.contains("\"Label\""), "{message}");
    }

    #[test]
    fn a_row_of_another_width_is_named_by_its_line() {
        let message = table("a.tsv", b"A\tB\n1\t2\n\n3\n").unwrap_err().to_string();
        assert!(message.contains("a.tsv:4: 1 tab-separated fields, expected 2"), "{message}");
    }

    #[test]
    fn bytes_that_are_not_text_are_named_by_their_line() {
        let message = table("a.tsv", b"A\tB\n1\t2\n\xFF\t3\n").unwrap_err().to_string();
        assert!(message.contains("a.tsv:3: not UTF-8"), "{message}");
    }

    #[test]
    fn a_file_that_is_not_zstd_despite_its_name_is_an_error() {
        assert!(matches!(table("a.tsv.zst", b"A\tB\n"), Err(HarnessError::Read { .. })));
    }
}
