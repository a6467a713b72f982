//! Element types of a matrix. Sums are always taken in `f32`; `Bf16` is a way to store.

/// How one element of a matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 single precision, 4 bytes.
    F32,
    /// The upper half of an `f32` (bfloat16), 2 bytes. [`crate::ops`] says where it may stand.
    Bf16,
}

impl DType {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::Bf16 => 2,
        }
    }
}
