//! What a block of a packed weight is multiplied with, and how: the trait, which `packed_bf16.rs` and
//! `packed_bytes.rs` implement for every way to store weights.
//!
//! Rows of activations are rounded once into words of 32 bits. The rows of a tile lie side by side,
//! block after block, so that each word is read where the last one ended and goes to all lanes at
//! once; 32 outputs lie in the lanes of the weights (see `packed_layout.rs`), so no sum runs across
//! lanes.

use crate::cpu::simd::Simd;
use crate::packed_layout::{BLOCK, PANEL};

/// Vectors of outputs in a tile.
pub const VECTORS: usize = 2;

/// Rows of a tile of any format, at most.
pub const MOST_ROWS: usize = 14;

/// The vectors of floats of a format.
pub type V<F> = <<F as Format>::S as Simd>::V;

/// The rows of a tile and its two vectors of outputs.
pub type Sums<F, const ROWS: usize> = [[V<F>; VECTORS]; ROWS];

/// A way to store weights, with the instructions to multiply them.
pub trait Format: Copy {
    /// The floats that products are added up in.
    type S: Simd;
    /// Bytes of a block of weights.
    const BYTES: usize;
    /// Words of a block of a row of activations.
    const WORDS: usize;
    /// Rows of a tile, at most; no more than [`MOST_ROWS`].
    const TILE_ROWS: usize;
    /// The same where rows are many, so that products are the limit and not memory.
    const TILE_OF_MANY: usize = Self::TILE_ROWS;

    fn floats(self) -> Self::S;

    /// Rounds a block of rows of activations; word `i` of a row goes to `out[i * x.len() + row]`, as the
    /// bits of a float. What `out` holds beyond them may be written over.
    fn round(self, x: &[[f32; BLOCK]], out: &mut [f32]);

    /// Adds the products of a block of weights, from row `lane` of its panel on, with a block of
    /// `ROWS` rows of activations. Asks for a block at `ahead` meanwhile, line by line: asked for
    /// at once, it would stand in the way of what is needed now.
    ///
    /// # Safety
    /// `BYTES` must be readable at `weights` and `ROWS * WORDS` words at `x`; from `lane` on, the panel
    /// has two vectors of rows.
    unsafe fn block<const ROWS: usize>(
        self,
        sums: Sums<Self, ROWS>,
        weights: *const u8,
        lane: usize,
        x: *const u32,
        ahead: *const u8,
    ) -> Sums<Self, ROWS>;
}

/// Asks for what all rows of a panel have side by side, two lines.
#[inline(always)]
pub fn ask_for<S: Simd>(s: S, ahead: *const u8) {
    s.prefetch(ahead.cast());
    s.prefetch(ahead.wrapping_add(2 * PANEL).cast());
}
