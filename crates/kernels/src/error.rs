//! Why a device said no. Wrong shapes are not here: they are bugs of the caller and panic like a
//! bad index, with names and numbers.

/// What can go wrong at the door of a device.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The device could not give that much memory.
    #[error("out of memory: {bytes} bytes were asked for on {device}")]
    OutOfMemory {
        /// Size of the refused request.
        bytes: usize,
        /// Name of the device.
        device: String,
    },
    /// `KOLLAMA_CPU` (or the caller) names a path that does not exist.
    #[error("unknown CPU path {name:?}: expected portable, avx2, avx512 or amx")]
    UnknownPath {
        /// The name as given.
        name: String,
    },
    /// The named path exists, but this processor lacks its instructions.
    #[error(
        "this processor cannot run the {name} path; leave KOLLAMA_CPU unset to choose by detection"
    )]
    PathNotSupported {
        /// The path asked for.
        name: &'static str,
    },
    /// The system has not that many threads to give.
    #[error("cannot start {threads} threads ({source}); ask for about as many as there are cores")]
    TooManyThreads {
        /// Threads asked for.
        threads: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// A device of zero threads was asked for.
    #[error("a CPU device needs at least one thread")]
    NoThreads,
}
