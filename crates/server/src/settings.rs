//! What the operator of a server decides, and the limits that nobody does.

use std::net::SocketAddr;
use std::time::Duration;

/// Bytes of a body.
pub const BODY_BYTES: usize = 2 << 20;
/// Objects and lists inside each other.
pub const JSON_DEPTH: usize = 64;
/// Answers to one prompt.
pub const MOST_CHOICES: u64 = 8;
/// Prompts of one request.
pub const MOST_PROMPTS: usize = 128;
/// Stop strings of one request.
pub const MOST_STOPS: usize = 16;
/// Bytes of a stop string.
pub const STOP_BYTES: usize = 256;
/// Likeliest tokens that are told of one place.
pub const MOST_LOGPROBS: u64 = 100;
/// Ids with a bias.
pub const MOST_BIASES: usize = 1024;
/// Connections at once.
pub const CONNECTIONS: usize = 1024;

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub address: SocketAddr,
    /// What clients must show, if anything.
    pub api_key: Option<String>,
    /// The web origin whose pages may call, if any.
    pub allowed_origin: Option<String>,
    /// Answers that may be written or wait at once.
    pub queue: usize,
    /// The longest that a request may take.
    pub request_timeout: Duration,
    /// The longest that a client may take to send a head, or a body.
    pub read_timeout: Duration,
    /// The longest that a client may leave an answer unread.
    pub write_timeout: Duration,
    /// How long answers may go on after the signal to end.
    pub shutdown_timeout: Duration,
}
