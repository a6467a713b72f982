//! Other tokenizers, each a child process of a script that loads it, holds the documents and
//! encodes them when told to. It measures itself, so that no pipe is measured.
//!
//! The script called without arguments lists what is installed, a name a line. Called with a name,
//! a tokenizer's folder and a number of threads it answers on standard output, a JSON object a line:
//! `{"ready"}` once loaded; nothing to `documents N`, N lengths and the texts; to `encode`
//! `{"seconds"}`; to `ids` `{"ids"}`, how many ids each document has, and all ids. Numbers between
//! lines are `u32`, little endian. A peer that fails says `{"error"}` and takes no further part.

use anyhow::{Context, Result};
use kollama_tokenizer::TokenId;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Ids of many documents, one after the other.
#[derive(Default)]
pub struct Ids {
    /// All ids.
    pub ids: Vec<TokenId>,
    /// Where each document ends in them.
    pub ends: Vec<usize>,
}

impl Ids {
    /// Puts the ids of documents one after the other.
    pub fn of<'a>(documents: impl Iterator<Item = &'a [TokenId]>) -> Ids {
        let mut found = Ids::default();
        for ids in documents {
            found.ids.extend(ids);
            found.ends.push(found.ids.len());
        }
        found
    }

    fn documents(&self) -> impl Iterator<Item = &[TokenId]> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).map(|(&begin, &end)| &self.ids[begin..end])
    }

    /// How many documents have other ids there.
    pub fn differing(&self, other: &Ids) -> usize {
        let missing = self.ends.len().abs_diff(other.ends.len());
        missing + self.documents().zip(other.documents()).filter(|(a, b)| a != b).count()
    }
}

/// One other tokenizer.
pub struct Peer {
    /// Its name and version, as the script lists it.
    name: String,
    /// `None` once it has failed.
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn python(script: &Path) -> Command {
    let python = std::env::var_os("KOLLAMA_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.arg(script);
    command
}

impl Peer {
    /// Starts every peer that the script can load; those that refuse the tokenizer have failed.
    ///
    /// # Errors
    /// The script does not run.
    pub fn all(script: &Path, tokenizer: &Path, threads: usize) -> Result<Vec<Peer>> {
        let listed = python(script).output().with_context(|| {
            format!("cannot run {} (KOLLAMA_PYTHON names the interpreter)", script.display())
        })?;
        let said = String::from_utf8_lossy(&listed.stderr);
        anyhow::ensure!(listed.status.success(), "{} failed: {}", script.display(), said.trim());
        let names = String::from_utf8_lossy(&listed.stdout);
        anyhow::ensure!(
            !names.is_empty(),
            "{} finds no tokenizer in this Python; KOLLAMA_PYTHON names the interpreter",
            script.display()
        );
        Ok(names.lines().map(|name| Peer::start(name, script, tokenizer, threads)).collect())
    }

    fn start(name: &str, script: &Path, tokenizer: &Path, threads: usize) -> Peer {
        let mut command = python(script);
        command.arg(name).arg(tokenizer).arg(threads.to_string());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let running = child.ok().and_then(|mut child| {
            let (input, output) = (child.stdin.take()?, child.stdout.take()?);
            Some(Running { child, input, output: BufReader::new(output) })
        });
        let mut peer = Peer { name: name.to_owned(), running };
        peer.ask(|running| answer(running, "ready"));
        peer
    }

    /// Lets the child do something; a child that cannot is out from then on, after one line.
    fn ask<T>(&mut self, what: impl FnOnce(&mut Running) -> Result<T>) -> Option<T> {
        match what(self.running.as_mut()?) {
            Ok(answer) => Some(answer),
            Err(error) => {
                eprintln!("{} takes no part: {error:#}", self.name);
                self.running = None;
                None
            }
        }
    }

    /// Ends it; its name stays.
    pub fn into_name(self) -> String {
        self.name
    }

    /// Gives it documents, lets it encode them once; their ids and the seconds that took.
    pub fn encode(&mut self, documents: &[String]) -> Option<(Ids, f64)> {
        self.ask(|running| {
            running.input.write_all(&framed(documents))?;
            running.input.write_all(b"encode\n")?;
            let seconds = answer(running, "seconds")?.as_f64();
            running.input.write_all(b"ids\n")?;
            answer(running, "ids")?;
            let ids = read_ids(&mut running.output, documents.len())?;
            Ok((ids, seconds.context("expected a number of seconds")?))
        })
    }
}

fn framed(documents: &[String]) -> Vec<u8> {
    let mut bytes = format!("documents {}\n", documents.len()).into_bytes();
    bytes.extend(documents.iter().flat_map(|text| (text.len() as u32).to_le_bytes()));
    documents.iter().for_each(|text| bytes.extend(text.as_bytes()));
    bytes
}

fn read_ids(input: &mut impl Read, documents: usize) -> Result<Ids> {
    let ends = numbers(input, documents)?.into_iter().scan(0, |end, count| {
        *end += count as usize;
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    let ids = numbers(input, ends.last().copied().unwrap_or(0))?;
    Ok(Ids { ids, ends })
}

/// The field of the next line, or what the peer says is wrong.
fn answer(running: &mut Running, field: &str) -> Result<Value> {
    let mut line = String::new();
    running.output.read_line(&mut line)?;
    let mut object: Value = serde_json::from_str(&line).context("it ended without an answer")?;
    match object.get_mut(field) {
        Some(value) => Ok(value.take()),
        None => anyhow::bail!("{}", object["error"].as_str().unwrap_or("it gave no answer")),
    }
}

fn numbers(input: &mut impl Read, count: usize) -> Result<Vec<u32>> {
    let mut bytes = vec![0; 4 * count];
    input.read_exact(&mut bytes)?;
    let words = bytes.chunks_exact(4).map(|four| [four[0], four[1], four[2], four[3]]);
    Ok(words.map(u32::from_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(documents: &[&[TokenId]]) -> Ids {
        Ids::of(documents.iter().copied())
    }

    #[test]
    fn documents_with_other_ids_and_missing_ones_are_counted() {
        let ours = ids(&[&[1, 2], &[], &[3]]);
        assert_eq!(ours.differing(&ids(&[&[1, 2], &[], &[3]])), 0);
        // The same ids in a row, divided otherwise.
        assert_eq!(ids(&[&[1], &[2], &[3]]).differing(&ours), 2);
        assert_eq!(ids(&[&[1, 2], &[]]).differing(&ours), 1);
    }

    #[test]
    fn ids_come_back_as_they_were_written() {
        let bytes: Vec<u8> = [2u32, 0, 1, 7, 8, 9].iter().flat_map(|n| n.to_le_bytes()).collect();
        let ids = read_ids(&mut bytes.as_slice(), 3).unwrap();
        assert_eq!((ids.ids, ids.ends), (vec![7, 8, 9], vec![2, 2, 3]));
        assert!(read_ids(&mut &bytes[..20], 3).is_err());
    }
}
