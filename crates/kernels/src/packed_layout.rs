//! Where an element of a packed matrix stands, and what it says. Knows no speed and rounds nothing:
//! `packed_block.rs` rounds, `reference/` and `cpu/` multiply.
//!
//! A matrix is one panel of 32 rows after the other, a panel one block of 32 columns after the
//! other. Inside a block the rows lie side by side, four bytes of each (64 bytes are 16 rows), so that
//! a row of the result is a lane of a vector and no sum runs across lanes:
//!
//! ```text
//! PackedBf16          [pair of columns 0..16][row 0..32][column 0..2] bf16
//! Q8   32 bf16 scales [four columns 0..8]    [row 0..32][column 0..4] byte: number + 128
//! Q4   32 bf16 scales [eight columns 0..4]   [row 0..32][column 0..4] byte: number + 8 of the first
//!                                            four columns below, of the other four above
//! ```
//!
//! All numbers of two bytes are little-endian.

use crate::dtype::DType;
use half::bf16;

/// Rows of a panel.
pub const PANEL: usize = DType::PANEL_ROWS;
/// Columns of a block.
pub const BLOCK: usize = DType::BLOCK_COLUMNS;
/// Bytes of the scales at the head of a block of `Q8` or `Q4`.
pub const SCALES: usize = 2 * PANEL;
/// What is added to a number of `Q8`, so that it has no sign.
pub const Q8_OFFSET: i32 = 128;
/// What is added to a number of `Q4`.
pub const Q4_OFFSET: i32 = 8;

/// First byte of the block that holds an element.
pub fn block_of(dtype: DType, columns: usize, row: usize, column: usize) -> usize {
    let blocks = columns.div_ceil(BLOCK);
    (row / PANEL * blocks + column / BLOCK) * dtype.block_bytes()
}

/// The scale of a row of a block.
pub fn scale(block: &[u8], row: usize) -> f32 {
    bf16_at(block, 2 * row)
}

/// Writes the scale of a row of a block.
pub fn put_scale(block: &mut [u8], row: usize, scale: bf16) {
    block[2 * row..][..2].copy_from_slice(&scale.to_le_bytes());
}

/// An element; `row` and `column` count inside the block. Exact in `f32`.
pub fn element(dtype: DType, block: &[u8], row: usize, column: usize) -> f32 {
    match dtype {
        DType::PackedBf16 => bf16_at(block, bf16_place(row, column)),
        DType::Q8 => {
            let number = i32::from(block[q8_place(row, column)]) - Q8_OFFSET;
            scale(block, row) * number as f32
        }
        DType::Q4 => {
            let byte = block[q4_place(row, column)] >> q4_shift(column);
            scale(block, row) * (i32::from(byte & 15) - Q4_OFFSET) as f32
        }
        _ => panic!("{dtype:?} is not packed"),
    }
}

/// Writes a row of a `PackedBf16` block.
pub fn put_bf16(block: &mut [u8], row: usize, values: &[bf16; BLOCK]) {
    for (column, value) in values.iter().enumerate() {
        block[bf16_place(row, column)..][..2].copy_from_slice(&value.to_le_bytes());
    }
}

/// Writes the numbers -127 ..= 127 of a row of a `Q8` block.
pub fn put_q8(block: &mut [u8], row: usize, numbers: &[i8; BLOCK]) {
    for (column, &number) in numbers.iter().enumerate() {
        block[q8_place(row, column)] = (i32::from(number) + Q8_OFFSET) as u8;
    }
}

/// Writes the numbers -8 ..= 7 of a row of a `Q4` block.
pub fn put_q4(block: &mut [u8], row: usize, numbers: &[i8; BLOCK]) {
    for column in (0..BLOCK).filter(|&column| q4_shift(column) == 0) {
        let nibble = |column: usize| (i32::from(numbers[column]) + Q4_OFFSET) as u8;
        block[q4_place(row, column)] = nibble(column) | (nibble(column + 4) << 4);
    }
}

fn bf16_at(block: &[u8], place: usize) -> f32 {
    bf16::from_le_bytes([block[place], block[place + 1]]).to_f32()
}

fn bf16_place(row: usize, column: usize) -> usize {
    4 * PANEL * (column / 2) + 4 * row + 2 * (column % 2)
}

fn q8_place(row: usize, column: usize) -> usize {
    SCALES + 4 * PANEL * (column / 4) + 4 * row + column % 4
}

fn q4_place(row: usize, column: usize) -> usize {
    SCALES + 4 * PANEL * (column / 8) + 4 * row + column % 4
}

fn q4_shift(column: usize) -> u32 {
    if column % 8 < 4 { 0 } else { 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_a_place_of_its_own() {
        let number =
            |row: usize, column: usize, most: i32| (row * 7 + column * 5) as i32 % most - most / 2;
        for (dtype, most) in [(DType::PackedBf16, 255), (DType::Q8, 255), (DType::Q4, 16)] {
            let mut block = vec![0; dtype.block_bytes()];
            for row in 0..PANEL {
                let numbers = std::array::from_fn(|column| number(row, column, most) as i8);
                match dtype {
                    DType::PackedBf16 => {
                        put_bf16(&mut block, row, &numbers.map(|x| bf16::from_f32(f32::from(x))));
                    }
                    DType::Q8 => put_q8(&mut block, row, &numbers),
                    _ => put_q4(&mut block, row, &numbers),
                }
                if dtype != DType::PackedBf16 {
                    put_scale(&mut block, row, bf16::from_f32(row as f32));
                }
            }
            for (row, column) in (0..PANEL * BLOCK).map(|at| (at / BLOCK, at % BLOCK)) {
                let scale = if dtype == DType::PackedBf16 { 1.0 } else { row as f32 };
                let expected = scale * number(row, column, most) as f32;
                assert_eq!(
                    element(dtype, &block, row, column),
                    expected,
                    "{dtype:?} {row} {column}"
                );
            }
        }
    }
}
