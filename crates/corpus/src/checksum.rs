//! SHA-256 as lower-case hexadecimal, as `sha256sum` prints it.
//!
//! Guards against damage and mix-ups, not against an adversary who may also edit `meta.json`.

use sha2::{Digest, Sha256};

/// A checksum that grows with the bytes it is fed.
#[derive(Default)]
pub(crate) struct Checksum(Sha256);

impl Checksum {
    /// Feeds more bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The 64 hexadecimal digits of all bytes fed so far.
    pub(crate) fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The checksum of bytes that are at hand as a whole.
    pub(crate) fn of(bytes: &[u8]) -> String {
        let mut checksum = Self::default();
        checksum.update(bytes);
        checksum.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_of_the_standard_comes_out() {
        // FIPS 180-4, the message "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Checksum::of(b"abc"), expected);
        let mut piecewise = Checksum::default();
        piecewise.update(b"a");
        piecewise.update(b"bc");
        assert_eq!(piecewise.finish(), expected);
    }
}
