//! Element types of a matrix. Arithmetic is always in `f32`; `Bf16` is a way to store weights.

/// How one element of a matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 single precision, 4 bytes.
    F32,
    /// The upper half of an `f32` (bfloat16), 2 bytes. Only weights that are read, never written
    /// by an operation: the `weight` of a matmul and the `table` of an embedding.
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

    /// What the address of a matrix is a multiple of, in memory and in a file.
    pub const fn alignment(self) -> usize {
        self.bytes()
    }
}
