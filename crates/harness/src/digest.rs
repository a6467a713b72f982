//! Hashes as the results write them: SHA-256 in hexadecimal. What is hashed is a matter of whoever asks.

use sha2::{Digest, Sha256};

/// A finished hash, as 64 hexadecimal digits.
pub fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of bytes that lie together, likewise.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hexadecimal(Sha256::new_with_prefix(bytes))
}
