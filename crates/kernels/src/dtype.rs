//! Element types of a matrix, and how many bytes one takes. Sums are taken in `f32` or, with packed
//! weights, in whole numbers; where an element of a packed matrix stands says `packed_layout.rs`.

use crate::remainder;

/// How the elements of a matrix are stored.
///
/// `F32`, `Bf16`, `Remainder` and `Q8Rows` are row-major. The others are weights that are packed once, by
/// [`crate::ops::pack`], and only read afterwards: panels of [`DType::PANEL_ROWS`] rows, each cut into
/// blocks of [`DType::BLOCK_COLUMNS`] columns, both filled up with zeros. Every block is a multiple of
/// 64 bytes, and the bytes are the same on every device, so a matrix may be used from a mapped file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 single precision, 4 bytes.
    F32,
    /// The upper half of an `f32` (bfloat16), 2 bytes. [`crate::ops`] says where it may stand.
    Bf16,
    /// What an `f32` has beyond the bf16 that it is rounded to, which stands in another matrix: 17 bits. See
    /// [`crate::ops::split_rows`].
    Remainder,
    /// Rows of whole numbers -127 ..= 127 with a scale in `f32` for every 32 of them: 9 bits. Only keys
    /// and values that are kept (see [`crate::ops::attention`] and [`crate::ops::copy_rows`]).
    Q8Rows,
    /// Panels of bfloat16. The rows that such a weight is multiplied with are rounded to bfloat16 first.
    PackedBf16,
    /// Panels of whole numbers -127 ..= 127 with a bfloat16 scale for every row of a block: 8.5 bits.
    /// The rows that such a weight is multiplied with are first rounded to 8 bits themselves, block
    /// by block (see [`crate::ops::matmul`]).
    Q8,
    /// As `Q8` with whole numbers -8 ..= 7: 4.5 bits.
    Q4,
}

impl DType {
    /// Rows of a panel of a packed matrix.
    pub const PANEL_ROWS: usize = 32;
    /// Columns of a block of a packed matrix.
    pub const BLOCK_COLUMNS: usize = 32;

    /// Whether it is stored in panels rather than row after row.
    pub const fn is_packed(self) -> bool {
        matches!(self, DType::PackedBf16 | DType::Q8 | DType::Q4)
    }

    /// Bytes of one element of an `F32` or `Bf16` matrix.
    ///
    /// # Panics
    /// If the type is another one, whose elements have no size of their own.
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::Bf16 => 2,
            _ => panic!("elements of this matrix have no size of their own"),
        }
    }

    /// What the address of a matrix is a multiple of, in memory and in a mapped file.
    pub const fn alignment(self) -> usize {
        match self {
            DType::F32 | DType::Bf16 => self.bytes(),
            DType::Remainder => 2,
            DType::Q8Rows => 1,
            _ => 64,
        }
    }

    /// Bytes of a matrix, filled up to whole panels and blocks if it is packed; `usize::MAX` if no
    /// memory could hold it.
    pub const fn matrix_bytes(self, rows: usize, columns: usize) -> usize {
        match self {
            DType::F32 | DType::Bf16 => {
                return rows.saturating_mul(columns).saturating_mul(self.bytes());
            }
            DType::Remainder => {
                return rows.saturating_mul(remainder::row_length(columns)).saturating_mul(2);
            }
            DType::Q8Rows => {
                let scales = columns.div_ceil(DType::BLOCK_COLUMNS).saturating_mul(4);
                return rows.saturating_mul(columns.saturating_add(scales));
            }
            _ => {}
        }
        let panels = rows.div_ceil(DType::PANEL_ROWS);
        let blocks = columns.div_ceil(DType::BLOCK_COLUMNS);
        panels.saturating_mul(blocks).saturating_mul(self.block_bytes())
    }

    /// Rows that only move together: those of a panel, or one.
    pub const fn rows_at_once(self) -> usize {
        if self.is_packed() { DType::PANEL_ROWS } else { 1 }
    }

    /// Bytes of a block of a panel of a packed matrix, its scales among them.
    ///
    /// # Panics
    /// If the type is not packed.
    pub const fn block_bytes(self) -> usize {
        let elements = DType::PANEL_ROWS * DType::BLOCK_COLUMNS;
        let scales = 2 * DType::PANEL_ROWS;
        match self {
            DType::PackedBf16 => 2 * elements,
            DType::Q8 => scales + elements,
            DType::Q4 => scales + elements / 2,
            _ => panic!("a row-major matrix has no blocks"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_matrices_take_their_bits_and_fill_up_to_panels_and_blocks() {
        let bits = |dtype: DType| 8 * dtype.matrix_bytes(4096, 4096) as u64;
        let halves_of_a_bit = [32, 17, 9];
        for (dtype, halves) in [DType::PackedBf16, DType::Q8, DType::Q4].iter().zip(halves_of_a_bit)
        {
            assert_eq!(2 * bits(*dtype), halves * 4096 * 4096, "{dtype:?}");
            assert_eq!(dtype.block_bytes() % 64, 0, "{dtype:?}");
            assert_eq!(dtype.matrix_bytes(33, 65), 2 * 3 * dtype.block_bytes(), "{dtype:?}");
            assert_eq!(dtype.matrix_bytes(usize::MAX, usize::MAX), usize::MAX, "{dtype:?}");
        }
    }
}
