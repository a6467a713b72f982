//! Registers that hold small matrices, and the one thing that is done with them: a square of sums
//! goes on over some depth. Says what that is; `tiles_x86.rs` does it on AMX, `tiles_model.rs`, for
//! tests, in plain arithmetic. Knows nothing of how products are cut.
//!
//! ```text
//! left   rows of pairs of bf16      a tile: 16 rows by 16 pairs
//! right  panels of 32 columns       a tile: 16 pairs by 16 columns, a pair of depth in each place
//! sums   rows of f32                a square: up to 32 rows by 32 columns, four tiles
//! ```
//!
//! To each sum a step adds 16 pairs of products: the first ones of the pairs, one rounding each, the
//! second ones likewise, both together, and that to the sum. So a sum depends neither on the rows beside
//! it nor on where, between steps, it waited in memory. Denormals count as zero.

/// Rows, and columns, of a square.
pub const SQUARE: usize = 32;
/// Pairs of depth of a step.
pub const STEP: usize = 16;
/// Bytes of a row of a tile.
const TILE_ROW: usize = 64;
/// Bytes of a step of a row of the left side.
pub const LEFT_STEP: usize = TILE_ROW;
/// Bytes of a step of a panel of the right side.
pub const RIGHT_STEP: usize = 4 * STEP * SQUARE;

/// One square over some depth.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only tests read it there"))]
pub struct Chain {
    /// Element (0, 0) of the sums.
    pub sums: *mut f32,
    /// Bytes from one row of them to the next.
    pub sums_stride: usize,
    /// Whether the sums start from zero; else they go on from what they are.
    pub from_zero: bool,
    /// The first row of the left side.
    pub left: *const u8,
    /// Bytes from one row of it to the next.
    pub left_stride: usize,
    /// The panel.
    pub right: *const u8,
    /// Steps of the depth, at least one.
    pub steps: usize,
    /// What will soon be needed, to be asked for meanwhile.
    pub ahead: *const u8,
    /// Cache lines of that for every step.
    pub lines: usize,
}

/// Tile registers, and a proof that there are some.
pub trait Tiles: Copy + Send + Sync {
    /// Makes this thread ready for squares of so many rows, 1 to [`SQUARE`].
    fn begin(self, rows: usize);

    /// Adds up a square of 32 columns.
    ///
    /// # Safety
    /// [`Tiles::begin`] must have been called with `rows` on this thread, and not [`Tiles::end`] since.
    /// The sums, the left side and the panel must be valid for as many rows and steps, the sums used
    /// by nobody else; what is asked for ahead need not exist.
    unsafe fn add(self, rows: usize, chain: &Chain);

    /// Gives the registers back.
    fn end(self);
}

/// The tile registers of an architecture that has none.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug)]
pub struct NoTiles(std::convert::Infallible);

#[cfg(not(target_arch = "x86_64"))]
impl NoTiles {
    /// None.
    pub fn detected() -> Option<NoTiles> {
        None
    }

    /// Never.
    pub fn products(self, _: usize) -> usize {
        match self.0 {}
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Tiles for NoTiles {
    fn begin(self, _: usize) {
        match self.0 {}
    }

    unsafe fn add(self, _: usize, _: &Chain) {
        match self.0 {}
    }

    fn end(self) {
        match self.0 {}
    }
}
