//! Tab-separated tables as KoBEST writes them: a header, rows, no quoting at all.
//!
//! What a reader must not do to them: treat `"` as a quote (some sentences begin with one), strip
//! blanks around a field (they are part of prompts whose scores are published), or trust the order
//! of columns (it differs between splits). Lines end with LF or CRLF. A name that ends in `.zst` is
//! decompressed.

use crate::error::HarnessError;
use std::path::{Path, PathBuf};

/// A whole table in memory.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<(usize, Vec<String>)>,
}

/// One row of a [`Table`], which knows where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Row<'t> {
    table: &'t Table,
    line: usize,
    fields: &'t [String],
}

impl Table {
    /// Reads `path`; every row must have as many fields as the header, empty lines are passed over.
    pub fn read(path: &Path) -> Result<Table, HarnessError> {
        let text = read_text(path)?;
        let mut lines = text
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
            .map(|(index, line)| (index + 1, fields(line)));
        let header = lines.next().map(|(_, header)| header).unwrap_or_default();
        let rows = lines.collect();
        let table = Table { path: path.to_path_buf(), header, rows };
        table.check_field_counts()?;
        Ok(table)
    }

    /// The rows in the order of the file.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, fields)| Row { table: self, line: *line, fields })
    }

    fn check_field_counts(&self) -> Result<(), HarnessError> {
        let expected = self.header.len();
        match self.rows.iter().find(|(_, fields)| fields.len() != expected) {
            None => Ok(()),
            Some((line, fields)) => Err(HarnessError::FieldCount {
                path: self.path.clone(),
                line: *line,
                expected,
                found: fields.len(),
            }),
        }
    }
}

impl<'t> Row<'t> {
    /// The field under the header `column`, blanks and all.
    pub fn field(&self, column: &'static str) -> Result<&'t str, HarnessError> {
        let index = self.table.header.iter().position(|name| name == column);
        let index = index.ok_or_else(|| HarnessError::MissingColumn {
            path: self.table.path.clone(),
            column,
            found: self.table.header.clone(),
        })?;
        Ok(&self.fields[index])
    }

    /// The position of the field's text (blanks around it apart) among `words`.
    pub fn one_of<const N: usize>(
        &self,
        column: &'static str,
        words: [&str; N],
        expected: &'static str,
    ) -> Result<usize, HarnessError> {
        let value = self.field(column)?;
        let index = words.iter().position(|&word| word == value.trim());
        index.ok_or_else(|| HarnessError::BadField {
            path: self.table.path.clone(),
            line: self.line,
            column,
            value: value.to_owned(),
            expected,
        })
    }
}

fn fields(line: &str) -> Vec<String> {
    line.split('\t').map(str::to_owned).collect()
}

fn read_text(path: &Path) -> Result<String, HarnessError> {
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

    fn table(name: &str, bytes: &[u8]) -> Result<Table, HarnessError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Table::read(&path)
    }

    fn column(table: &Table, name: &'static str) -> Vec<String> {
        table.rows().map(|row| row.field(name).unwrap().to_owned()).collect()
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
        let message = table.rows().next().unwrap().field("Answer").unwrap_err().to_string();
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

    #[test]
    fn an_unknown_word_is_shown_with_what_was_expected() {
        let table = table("a.tsv", b"A\tB\n 2 \tno\n").unwrap();
        let row = table.rows().next().unwrap();
        assert_eq!(row.one_of("A", ["1", "2"], "1 or 2").unwrap(), 1);
        let message = row.one_of("B", ["1", "2"], "1 or 2").unwrap_err().to_string();
        assert!(message.ends_with("column \"B\" holds \"no\", expected 1 or 2"), "{message}");
    }
}
