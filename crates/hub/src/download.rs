//! The bytes of one file, from the hub into the cache. They get their name when all of them are
//! there: a download that is killed leaves a file called `….incomplete`, which the next one writes
//! over. Two processes that want the same bytes wait for each other.

use crate::cache::{Cache, make_folder_of};
use crate::error::HubError;
use crate::http::{Answer, Client};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Bytes that are read, hashed and written at a time.
const CHUNK: usize = 1 << 16;

/// Fetches the file `name`, unless its bytes are there under another name, and says where they are.
pub(crate) fn blob(
    client: &Client,
    cache: &Cache,
    dataset: &str,
    commit: &str,
    name: &str,
) -> Result<PathBuf, HubError> {
    let mut path = vec!["datasets"];
    path.extend(dataset.split('/'));
    path.extend(["resolve", commit]);
    path.extend(name.split('/'));
    let answer = client.get(&path)?;
    let blob = cache.blob(dataset, tag(&answer)?);
    make_folder_of(&blob)?;
    let partial = blob.with_extension("incomplete");
    let file = File::options().create(true).write(true).truncate(false).open(&partial);
    let mut file = file.map_err(HubError::cache(&partial))?;
    file.lock().map_err(HubError::cache(&partial))?;
    if !blob.is_file() {
        fill(&mut file, &partial, answer)?;
        fs::rename(&partial, &blob).map_err(HubError::cache(&blob))?;
    }
    Ok(blob)
}

/// The tag of an answer, which is to be a file's name.
fn tag(answer: &Answer) -> Result<&str, HubError> {
    let is_name = |tag: &&str| {
        !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    answer.tag.as_deref().filter(is_name).ok_or_else(|| HubError::BadAnswer {
        url: answer.url.clone(),
        reason: "it has no ETag".to_owned(),
    })
}

/// Writes the bytes of an answer, all of them and the right ones.
fn fill(file: &mut File, path: &Path, answer: Answer) -> Result<(), HubError> {
    let refused = || HubError::cache(path);
    file.set_len(0).map_err(refused())?;
    let Answer { url, body, tag, length } = answer;
    let mut reader = body.into_reader();
    let (mut hash, mut read) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = reader.read(&mut chunk).map_err(|error| HubError::Damaged {
            url: url.clone(),
            found: format!("{read} bytes and then no more ({error})"),
            expected: length.map_or("all".to_owned(), |length| length.to_string()),
        })?;
        if count == 0 {
            break;
        }
        hash.update(&chunk[..count]);
        file.write_all(&chunk[..count]).map_err(refused())?;
        read += count as u64;
    }
    check(&url, read, length, &hex(&hash.finalize()), tag.as_deref())?;
    file.sync_all().map_err(refused())
}

/// Holds what came against what was said: the length, and the hash where the tag is one.
fn check(
    url: &str,
    read: u64,
    length: Option<u64>,
    hash: &str,
    tag: Option<&str>,
) -> Result<(), HubError> {
    let damaged = |found, expected| Err(HubError::Damaged { url: url.to_owned(), found, expected });
    if let Some(length) = length.filter(|length| *length != read) {
        return damaged(format!("{read} bytes"), length.to_string());
    }
    match tag.filter(|tag| tag.len() == hash.len() && *tag != hash) {
        Some(tag) => damaged(format!("SHA-256 {hash}"), tag.to_owned()),
        None => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
