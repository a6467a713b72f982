//! One question to a server: redirections, the token and what the answer says about a file.

use crate::error::HubError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Where the hub is when `HF_ENDPOINT` does not say otherwise.
pub(crate) const ENDPOINT: &str = "https://huggingface.co";

/// How often an answer may lead elsewhere.
const REDIRECTIONS: usize = 5;

/// How long a server may take to be reached, and to send the next bytes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What may stand in a part of a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Who asks, and whom.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    authorization: Option<String>,
}

/// An answer, and what the hub said about the file before it sent us elsewhere for the bytes.
pub(crate) struct Answer {
    /// The address that was asked for.
    pub(crate) url: String,
    /// The bytes to come.
    pub(crate) body: Body,
    /// The name of the bytes: a SHA-256 for large files, something else for small ones.
    pub(crate) tag: Option<String>,
    /// How many bytes will come, where it was said.
    pub(crate) length: Option<u64>,
}

impl Client {
    /// A client that shows `token` to `endpoint`, and to nobody else.
    pub(crate) fn new(endpoint: &str, token: Option<&str>) -> Client {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(certificates())))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .accept_encoding("identity")
            .user_agent(concat!("kollama/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .build()
            .new_agent();
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        let authorization = token.map(|token| format!("Bearer {token}"));
        Client { agent, endpoint: endpoint.trim_end_matches('/').to_owned(), authorization }
    }

    /// The answer to `path`, whose parts are given as they are read; each may hold any character.
    pub(crate) fn get(&self, path: &[&str]) -> Result<Answer, HubError> {
        let parts: Vec<String> = path.iter().map(|part| quoted(part)).collect();
        let url = format!("{}/{}", self.endpoint, parts.join("/"));
        let mut next = url.clone();
        let (mut tag, mut length) = (None, None);
        for _ in 0..=REDIRECTIONS {
            let response = self.ask(&next)?;
            tag = tag.or_else(|| header(response.headers(), "x-linked-etag"));
            length = length.or_else(|| header(response.headers(), "x-linked-size"));
            match response.status().as_u16() {
                200 => {
                    let tag = tag.or_else(|| header(response.headers(), "etag"));
                    let length = length.and_then(|digits| digits.parse().ok());
                    let body = response.into_body();
                    let length = length.or(body.content_length());
                    return Ok(Answer { url, body, tag: tag.map(bare), length });
                }
                301 | 302 | 303 | 307 | 308 => next = elsewhere(&next, &response)?,
                status => return Err(HubError::Refused { url, status }),
            }
        }
        Err(HubError::BadAnswer { url, reason: "it leads from one address to the next".to_owned() })
    }

    fn ask(&self, url: &str) -> Result<Response<Body>, HubError> {
        let mut request = self.agent.get(url);
        if let Some(authorization) = &self.authorization
            && is_below(url, &self.endpoint)
        {
            request = request.header("authorization", authorization);
        }
        let silence = |error: ureq::Error| HubError::Silence {
            url: url.to_owned(),
            reason: error.to_string(),
        };
        request.call().map_err(silence)
    }
}

/// The certificates that this machine trusts.
fn certificates() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

/// One part of a path, in the characters that a URL may have.
fn quoted(part: &str) -> String {
    utf8_percent_encode(part, PLAIN).to_string()
}

/// Whether `url` belongs to `endpoint`, and not to a server whose name begins alike.
fn is_below(url: &str, endpoint: &str) -> bool {
    url.strip_prefix(endpoint).is_some_and(|rest| rest.starts_with('/'))
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A tag without the marks around it.
fn bare(tag: String) -> String {
    tag.trim_start_matches("W/").trim_matches('"').to_owned()
}

/// Where an answer at `from` leads: a whole address, or a path on the same server.
fn elsewhere(from: &str, response: &Response<Body>) -> Result<String, HubError> {
    let bad =
        |reason: &str| HubError::BadAnswer { url: from.to_owned(), reason: reason.to_owned() };
    let location = header(response.headers(), "location");
    let location = location.ok_or_else(|| bad("it leads elsewhere, but not where"))?;
    if !location.starts_with('/') {
        return Ok(location);
    }
    let here: Uri = from.parse().map_err(|_| bad("its address is none"))?;
    match (here.scheme_str(), here.authority()) {
        (Some(scheme), Some(server)) => Ok(format!("{scheme}://{server}{location}")),
        _ => Err(bad("its address is none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_for_the_endpoint_and_not_for_names_that_begin_alike() {
        assert!(is_below("https://hub/api/x", "https://hub"));
        assert!(!is_below("https://hub.evil/api", "https://hub"));
        assert!(!is_below("https://hub@evil/api", "https://hub"));
    }

    #[test]
    fn tags_lose_their_marks_and_paths_get_theirs() {
        assert_eq!(bare("W/\"ab\"".to_owned()), "ab");
        assert_eq!(quoted("refs/convert/parquet"), "refs%2Fconvert%2Fparquet");
        assert_eq!(quoted("가 b.c-d_e"), "%EA%B0%80%20b.c-d_e");
    }
}
