//! What a data set consists of, as the hub says it.

use crate::error::HubError;
use crate::http::Client;
use serde::Deserialize;

/// The most bytes of a listing: some data sets have very many files.
const LARGEST: u64 = 64 << 20;

/// The files of a data set at one commit.
#[derive(Debug)]
pub(crate) struct Listing {
    /// 40 digits.
    pub(crate) commit: String,
    /// In order.
    pub(crate) names: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Asks for the files of `dataset` at `revision`.
pub(crate) fn ask(client: &Client, dataset: &str, revision: &str) -> Result<Listing, HubError> {
    let mut path = vec!["api", "datasets"];
    path.extend(dataset.split('/'));
    path.extend(["revision", revision]);
    let mut answer = client.get(&path)?;
    let bytes = answer.body.with_config().limit(LARGEST).read_to_vec();
    let bytes = bytes.map_err(|error| HubError::Silence {
        url: answer.url.clone(),
        reason: error.to_string(),
    })?;
    let bad = |reason: String| HubError::BadAnswer { url: answer.url.clone(), reason };
    let listed: Answer = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    if !listed.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) || listed.sha.len() != 40 {
        return Err(bad(format!("{:?} is no commit", listed.sha)));
    }
    let mut names: Vec<String> = listed.siblings.into_iter().map(|file| file.rfilename).collect();
    names.sort();
    Ok(Listing { commit: listed.sha, names })
}
