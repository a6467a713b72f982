//! As much of the Protocol Buffers wire format as a SentencePiece model needs.
//!
//! A message is a row of fields: a number, a wire type, and a value (a variable-length integer, 4
//! or 8 bytes, or a length and that many bytes). Groups, long gone from the format, are refused.

use std::path::Path;

use crate::error::TokenizerError;

/// A field's value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire<'a> {
    /// An integer, a truth value or an enumeration.
    Integer(u64),
    /// Eight bytes.
    Eight([u8; 8]),
    /// A text, bytes, or a message inside.
    Bytes(&'a [u8]),
    /// Four bytes; a 32-bit float.
    Four([u8; 4]),
}

/// A message that is being read, field by field.
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the message begins in its file; only for errors.
    start: usize,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    /// Reads a message that begins at byte `start` of the file `path`.
    pub fn new(bytes: &'a [u8], start: usize, path: &'a Path) -> Fields<'a> {
        Fields { bytes, at: 0, start, path }
    }

    /// Where the reader stands in the file.
    pub fn offset(&self) -> usize {
        self.start + self.at
    }

    /// The next field, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, TokenizerError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.integer()?;
        if tag >> 3 == 0 {
            return Err(self.error("no field has the number 0".into()));
        }
        let value = match tag & 7 {
            0 => Wire::Integer(self.integer()?),
            1 => Wire::Eight(self.array()?),
            2 => {
                let len = self.integer()?;
                Wire::Bytes(self.take(len)?)
            }
            5 => Wire::Four(self.array()?),
            other => return Err(self.error(format!("wire type {other} is not used by any field"))),
        };
        Ok(Some((tag >> 3, value)))
    }

    /// An error at the place where the reader stands.
    pub fn error(&self, reason: String) -> TokenizerError {
        TokenizerError::Protobuf { path: self.path.into(), offset: self.offset(), reason }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], TokenizerError> {
        let left = self.bytes.len() - self.at;
        let len = usize::try_from(len).ok().filter(|&len| len <= left);
        let len = len
            .ok_or_else(|| self.error(format!("a field needs more than the {left} bytes left")))?;
        self.at += len;
        Ok(&self.bytes[self.at - len..self.at])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TokenizerError> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.try_into().expect("take gives as many bytes as were asked for"))
    }

    fn integer(&mut self) -> Result<u64, TokenizerError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("an integer is longer than ten bytes".into()))
    }
}

/// Appends a field.
pub fn put(out: &mut Vec<u8>, field: u64, value: Wire<'_>) {
    let tag = |kind: u64| field << 3 | kind;
    match value {
        Wire::Integer(number) => {
            put_integer(out, tag(0));
            put_integer(out, number);
        }
        Wire::Eight(bytes) => {
            put_integer(out, tag(1));
            out.extend(bytes);
        }
        Wire::Bytes(bytes) => {
            put_integer(out, tag(2));
            put_integer(out, bytes.len() as u64);
            out.extend(bytes);
        }
        Wire::Four(bytes) => {
            put_integer(out, tag(5));
            out.extend(bytes);
        }
    }
}

fn put_integer(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read_again() {
        let values = [
            (1, Wire::Integer(u64::MAX)),
            (300, Wire::Bytes("▁가".as_bytes())),
            (3, Wire::Four(1.5f32.to_le_bytes())),
            (4, Wire::Eight([7; 8])),
        ];
        let mut bytes = Vec::new();
        values.iter().for_each(|&(field, value)| put(&mut bytes, field, value));
        let mut fields = Fields::new(&bytes, 0, Path::new("-"));
        for value in values {
            assert_eq!(fields.next().expect("sound"), Some(value));
        }
        assert_eq!(fields.next().expect("the end"), None);
    }

    #[test]
    fn every_cut_inside_a_field_is_an_error_with_its_place() {
        let mut bytes = Vec::new();
        put(&mut bytes, 2, Wire::Bytes(b"abcdef"));
        for len in 1..bytes.len() {
            let error = Fields::new(&bytes[..len], 100, Path::new("m.model")).next();
            let words = error.expect_err("cut off").to_string();
            assert!(words.contains("m.model, byte 10"), "{words}");
        }
    }
}
