//! A wrong use of the command line that clap cannot see: what is said, and exit code 2.

/// Tells the user how a command is to be used.
#[derive(Debug)]
pub struct Usage(String);

/// A [`Usage`] error as a result of any type.
pub fn usage<T>(message: impl Into<String>) -> anyhow::Result<T> {
    Err(Usage(message.into()).into())
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
