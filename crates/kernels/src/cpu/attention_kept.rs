//! Keys and values that are kept as rows of 8 bits: a head of them as floats. What a row holds says
//! `q8_rows.rs`.

use crate::cpu::instructions::Kernel;
use crate::cpu::simd::Simd;
use crate::packed_layout::BLOCK;
use crate::q8_rows;

/// Rows that are asked for ahead of their use: those of a head lie apart, and a processor does not
/// see by itself that they are a stream.
const AHEAD: usize = 32;
/// Bytes that come together.
const LINE: usize = 64;

/// `out[s, j] = kept[s, first + j]`
pub struct WidenRows<'a> {
    /// Rows of `size` floats.
    pub out: &'a mut [f32],
    /// As many rows.
    pub kept: &'a [u8],
    /// First column of the head.
    pub first: usize,
    /// Columns of a row.
    pub columns: usize,
    /// Columns of the head.
    pub size: usize,
}

impl Kernel for WidenRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let WidenRows { out, kept, first, columns, size } = self;
        let bytes = q8_rows::row_bytes(columns);
        let is_whole = first % BLOCK == 0 && size % BLOCK == 0;
        for (row, out) in kept.chunks_exact(bytes).zip(out.chunks_exact_mut(size)) {
            let ahead = row.as_ptr().wrapping_add(AHEAD * bytes);
            for line in (0..size).step_by(LINE) {
                s.prefetch(ahead.wrapping_add(first + line).cast());
            }
            s.prefetch(ahead.wrapping_add(columns + first / BLOCK * size_of::<f32>()).cast());
            if is_whole {
                whole_blocks(s, row, (columns, first), out);
            } else {
                q8_rows::get(row, columns, first, out);
            }
        }
    }
}

/// As [`q8_rows::get`] for blocks that are not cut.
#[inline(always)]
fn whole_blocks<S: Simd>(s: S, row: &[u8], (columns, first): (usize, usize), out: &mut [f32]) {
    for (block, out) in (first / BLOCK..).zip(out.chunks_exact_mut(BLOCK)) {
        let numbers = &row[block * BLOCK..][..BLOCK];
        let scale = s.splat(q8_rows::scale_of(row, columns, block));
        for i in (0..BLOCK).step_by(S::LANES) {
            // SAFETY: a block is a multiple of every vector's lanes.
            let values = unsafe { s.load_i8_at(numbers.as_ptr().add(i).cast()) };
            s.store(s.mul(values, scale), &mut out[i..]);
        }
    }
}
