//! Numbers on a device: matrices, about twenty operations on them, and every `unsafe` line of kollama.
//!
//! Read in this order: [`ops`] (the page: each operation with its formula and its shapes),
//! [`matrix`] (memory), [`layout`] (how rows form sequences and columns form heads), then
//! `backend` (the seam), `reference/` (what each result *is*) and `cpu/` (the same, fast).
//! Nothing here knows of text, models or the formats of files.

// The one crate where `unsafe` may stand; every block says why it is sound.
#![allow(unsafe_code)]

mod backend;
mod cpu;
mod host_memory;
mod large_pages;
mod packed_block;
mod packed_layout;
mod q8_rows;
mod reference;
mod remainder;
mod slabs;
mod view;

pub mod device;
pub mod dtype;
pub mod error;
pub mod layout;
pub mod mapped;
pub mod matrix;
pub mod ops;
pub mod roof;

pub use backend::AdamW;
pub use cpu::path::CpuPath;
pub use device::Device;
pub use dtype::DType;
pub use error::KernelError;
pub use layout::{Heads, Span, Spans};
pub use mapped::MappedFile;
pub use matrix::Matrix;
