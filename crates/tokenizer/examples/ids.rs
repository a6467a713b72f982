//! Encodes batches of texts from standard input, for scripts that compare whole corpora.
//!
//! `ids TOKENIZER`: a batch is a number of texts, the length of each in bytes, and the texts; the
//! answer to it is the number of ids of each, and the ids. Every number is a `u32`, little endian.

use std::error::Error;
use std::io::{self, Read, Write, stdin, stdout};
use std::path::Path;

use kollama_tokenizer::Tokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: ids TOKENIZER < batches > ids")?;
    let tokenizer = Tokenizer::open(Path::new(&path))?;
    let (mut input, mut output) = (stdin().lock(), stdout().lock());
    while let Some(count) = number(&mut input)? {
        let lengths = (0..count).map(|_| number(&mut input)).collect::<io::Result<Vec<_>>>()?;
        let (mut counts, mut all) = (Vec::new(), Vec::new());
        for length in lengths {
            let mut text = vec![0; length.ok_or("a batch is cut off")? as usize];
            input.read_exact(&mut text)?;
            let ids = tokenizer.encode_to_vec(std::str::from_utf8(&text)?);
            counts.extend((ids.len() as u32).to_le_bytes());
            all.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        }
        output.write_all(&[counts, all].concat())?;
        output.flush()?;
    }
    Ok(())
}

/// The next number; `None` at the end of the input.
fn number(input: &mut impl Read) -> io::Result<Option<u32>> {
    let mut bytes = [0; 4];
    match input.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
