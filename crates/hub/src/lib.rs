//! Data sets of the Hugging Face hub, kept on this machine as its own libraries keep them: what they
//! fetched is found here, and what is fetched here they find.
//!
//! ```text
//! HF_HUB_CACHE or HF_HOME/hub or ~/.cache/huggingface/hub
//!   datasets--owner--name/
//!     refs/main                     the commit that `main` was when it was last looked up
//!     snapshots/<commit>/a/b.json   a link to the file's bytes
//!     blobs/<etag>                  the bytes
//! ```
//! [`Hub::dataset`] asks what a data set consists of (`listing.rs`), [`Snapshot::file`] brings one
//! file of it (`download.rs`). A file stands under its name only when it is whole. What is in the
//! files is not known here.

#![forbid(unsafe_code)]

pub mod cache;
mod download;
pub mod error;
mod http;
mod listing;

pub use cache::Cache;
pub use error::HubError;

use http::Client;
use std::path::{Path, PathBuf};

/// The hub and the folder that holds what came from it.
#[derive(Clone, Debug)]
pub struct Hub {
    cache: Option<Cache>,
    client: Client,
    is_offline: bool,
}

/// A data set as it was at one commit.
#[derive(Clone, Debug)]
pub struct Snapshot {
    dataset: String,
    revision: String,
    commit: String,
    names: Vec<String>,
    is_offline: bool,
    cache: Cache,
    client: Client,
}

impl Hub {
    /// The hub as the variables `HF_HOME`, `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_ENDPOINT`,
    /// `HF_TOKEN` and `HF_HUB_OFFLINE` describe it, each with the meaning it has elsewhere.
    pub fn from_environment() -> Hub {
        Hub::described_by(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// The hub as `variable` describes it.
    pub fn described_by(variable: &dyn Fn(&str) -> Option<String>) -> Hub {
        let home = cache::home(variable);
        let token = variable("HF_TOKEN").or_else(|| {
            let file = variable("HF_TOKEN_PATH").map(PathBuf::from);
            let file = file.or_else(|| Some(home.as_ref()?.join("token")))?;
            std::fs::read_to_string(file).ok()
        });
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| http::ENDPOINT.to_owned());
        Hub {
            cache: cache::folder(variable, home.as_deref()).map(Cache::at),
            client: Client::new(&endpoint, token.as_deref()),
            is_offline: variable("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
        }
    }

    /// The data set `name` (`owner/name`) at `revision`: a branch, a reference or a commit.
    ///
    /// Asks the hub; offline, or where it does not answer, takes what the cache holds.
    pub fn dataset(&self, name: &str, revision: &str) -> Result<Snapshot, HubError> {
        check_name(name)?;
        let cache = self.cache.clone().ok_or(HubError::NoCache)?;
        let (commit, names, is_offline) = match self.listing(name, revision) {
            Ok(listing) => (listing.commit, listing.names, false),
            Err(reason) => {
                let known = cache.snapshot(name, revision)?.filter(|_| reason.is_silence());
                let (commit, names) = known.ok_or(reason)?;
                (commit, names, true)
            }
        };
        let (dataset, revision) = (name.to_owned(), revision.to_owned());
        let client = self.client.clone();
        Ok(Snapshot { dataset, revision, commit, names, is_offline, cache, client })
    }

    fn listing(&self, name: &str, revision: &str) -> Result<listing::Listing, HubError> {
        if self.is_offline {
            let cache = self.cache.as_ref().map(Cache::folder).unwrap_or(Path::new(""));
            return Err(HubError::Offline { name: name.to_owned(), cache: cache.to_path_buf() });
        }
        listing::ask(&self.client, name, revision)
    }
}

impl Snapshot {
    /// The names of its files, with `/` between folders, in order; offline, of those that were
    /// fetched before.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The commit, 40 digits.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Where the file `name` stands, after fetching it if it is not there.
    pub fn file(&self, name: &str) -> Result<PathBuf, HubError> {
        check_file_name(name)?;
        let path = self.cache.file(&self.dataset, &self.commit, name);
        if path.is_file() {
            return Ok(path);
        }
        if self.is_offline {
            let cache = self.cache.folder().to_path_buf();
            return Err(HubError::Offline { name: format!("{}: {name}", self.dataset), cache });
        }
        let blob = download::blob(&self.client, &self.cache, &self.dataset, &self.commit, name)?;
        self.cache.link(&path, &blob)?;
        self.cache.remember(&self.dataset, &self.revision, &self.commit)?;
        Ok(path)
    }
}

/// What the hub's own library takes for yes.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str())
}

/// `owner/name` or `name`, in letters, digits, `-`, `_` and `.`; it becomes part of a folder's name.
fn check_name(name: &str) -> Result<(), HubError> {
    let is_part = |part: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty()
            && part.chars().all(is_letter)
            && !part.contains("..")
            && !part.contains("--")
    };
    let parts: Vec<&str> = name.split('/').collect();
    match parts.len() <= 2 && parts.into_iter().all(is_part) {
        true => Ok(()),
        false => Err(HubError::BadName { name: name.to_owned() }),
    }
}

/// A name that stays inside the snapshot.
fn check_file_name(name: &str) -> Result<(), HubError> {
    let leads_out =
        |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\\');
    match name.split('/').any(leads_out) {
        false => Ok(()),
        true => Err(HubError::BadFileName { name: name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_the_cache_are_refused() {
        for name in ["skt/kobest_v1", "gsm8k", "a.b/c-d"] {
            check_name(name).unwrap();
        }
        for name in ["", "a/b/c", "../b", "a/..", "a b", "a--b", "/a", "a/", "가/b"] {
            assert!(matches!(check_name(name), Err(HubError::BadName { .. })), "{name:?}");
        }
        check_file_name("data/train-00000-of-00001.parquet").unwrap();
        for name in ["", "/etc/passwd", "a/../b", "..", "./a", "a\\b"] {
            assert!(matches!(check_file_name(name), Err(HubError::BadFileName { .. })), "{name:?}");
        }
    }

    #[test]
    fn offline_is_said_as_the_library_of_the_hub_understands_it() {
        for yes in ["1", "on", "Yes", "TRUE"] {
            assert!(is_true(yes));
        }
        assert!(!is_true("0") && !is_true("false"));
    }
}
