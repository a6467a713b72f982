//! Why a data set of the hub could not be had.

use std::path::{Path, PathBuf};

/// What can go wrong between the hub and its cache.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A name that no data set can have.
    #[error("{name:?} is no data set's name; it is owner/name, as in skt/kobest_v1")]
    BadName {
        /// The name.
        name: String,
    },
    /// A file whose name leads out of its data set.
    #[error("{name:?} is no file name that is taken from the hub; use a copy in a folder")]
    BadFileName {
        /// The name.
        name: String,
    },
    /// Nothing says where files are kept.
    #[error("no folder for files of the hub: set HF_HOME or HOME")]
    NoCache,
    /// Not on this machine, and nothing may be fetched.
    #[error(
        "{name}: not in {}, and the hub is not asked; unset HF_HUB_OFFLINE once to fetch it, or \
         give a folder that holds the data",
        cache.display()
    )]
    Offline {
        /// The data set, or one file of it.
        name: String,
        /// Where it would be.
        cache: PathBuf,
    },
    /// The hub does not answer.
    #[error("{url}: no answer: {reason}; try again, or give a folder that holds the data")]
    Silence {
        /// What was asked for.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The hub says no.
    #[error("{url}: refused with status {status}; {}", cure(*status))]
    Refused {
        /// What was asked for.
        url: String,
        /// The status of the answer.
        status: u16,
    },
    /// The hub says what nobody understands.
    #[error("{url}: not an answer of the hub: {reason}; is HF_ENDPOINT right?")]
    BadAnswer {
        /// What was asked for.
        url: String,
        /// What is missing in it.
        reason: String,
    },
    /// A download ended early or with other bytes.
    #[error("{url}: {found} came, expected {expected}; nothing was kept, try again")]
    Damaged {
        /// What was asked for.
        url: String,
        /// What came.
        found: String,
        /// What should have.
        expected: String,
    },
    /// The cache cannot be read or written.
    #[error("{}: cannot be used: {source}", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl HubError {
    /// Whether the hub was not asked or did not answer, so that the cache may speak for it.
    pub(crate) fn is_silence(&self) -> bool {
        match self {
            HubError::Offline { .. } | HubError::Silence { .. } => true,
            HubError::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// A file or folder of the cache that the system does not give.
    pub(crate) fn cache(path: &Path) -> impl FnOnce(std::io::Error) -> HubError {
        move |source| HubError::Cache { path: path.to_path_buf(), source }
    }
}

fn cure(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "no such data set, or one whose terms must be accepted: put a token that may read it \
             into HF_TOKEN"
        }
        404 => "no such data set, revision or file",
        _ => "try again later",
    }
}
