//! One panel of a product in tiles times all panels of the other side, square by square: where the
//! sums begin, where they end, and what is asked for meanwhile. How a square is added up says
//! `tiles.rs`; who calls this, and with which panels, `matmul_tiles.rs` and `packed_tiles.rs`.

use crate::cpu::instructions::Kernel;
use crate::cpu::matmul_result::{Round, Sums, Widen};
use crate::cpu::simd::Simd;
use crate::cpu::tiles::{Chain, LEFT_STEP, RIGHT_STEP, SQUARE, Tiles};

/// Rows of the left side, or panels of the right side, from the first step that is multiplied.
#[derive(Clone, Copy)]
pub struct Lanes<'a> {
    /// From the first one on.
    pub bytes: &'a [u8],
    /// Bytes from one to the next.
    pub stride: usize,
}

/// Memory that will soon be needed: rows of some bytes each.
#[derive(Clone, Copy)]
pub struct Ahead {
    /// The first row; need not exist.
    pub start: *const u8,
    /// Bytes of a row.
    pub bytes: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Number of rows.
    pub rows: usize,
}

impl Ahead {
    /// Nothing.
    pub const NOTHING: Ahead = Ahead { start: std::ptr::null(), bytes: 0, stride: 0, rows: 0 };
}

/// A strip of squares.
pub struct Strip<'a, T> {
    /// What multiplies.
    pub tiles: T,
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result; there are whole panels.
    pub columns: usize,
    /// Steps of the depth.
    pub steps: usize,
    /// Rows.
    pub left: Lanes<'a>,
    /// Panels.
    pub right: Lanes<'a>,
    /// The place of the strip in the result, and in the sums if these wait beside it.
    pub sums: Sums<'a>,
    /// Whether these are the first steps of the sums, which then begin from zero or, if `add`, from the
    /// result.
    pub first: bool,
    /// Whether these are the last steps.
    pub last: bool,
    /// Whether the product is added to the result.
    pub add: bool,
    /// What is needed after the strip.
    pub ahead: Ahead,
}

/// A square of sums.
#[repr(align(64))]
struct Room([f32; SQUARE * SQUARE]);

impl<T: Tiles> Kernel for Strip<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let panels = self.columns.div_ceil(SQUARE);
        let left = (self.rows - 1) * self.left.stride + self.steps * LEFT_STEP;
        let right = (panels - 1) * self.right.stride + self.steps * RIGHT_STEP;
        assert!(self.steps > 0 && self.left.bytes.len() >= left, "rows of tiles");
        assert!(self.right.bytes.len() >= right, "panels of tiles");
        let mut room = Room([0.0; SQUARE * SQUARE]);
        let (mut shape, mut index) = (0, 0);
        for row in (0..self.rows).step_by(SQUARE) {
            let rows = SQUARE.min(self.rows - row);
            if rows != shape {
                self.tiles.begin(rows);
                shape = rows;
            }
            for column in (0..self.columns).step_by(SQUARE) {
                self.ask_for_sums(s, row, column);
                self.square(s, &mut room.0, (row, column), index);
                index += 1;
            }
        }
        self.tiles.end();
    }
}

impl<T: Tiles> Strip<'_, T> {
    #[inline(always)]
    fn square<S: Simd>(
        &self,
        s: S,
        room: &mut [f32; SQUARE * SQUARE],
        (row, column): (usize, usize),
        index: usize,
    ) {
        let rows = SQUARE.min(self.rows - row);
        let columns = SQUARE.min(self.columns - column);
        let sums = self.sums.at((row, column));
        let from_zero = self.first && !self.add;
        let rounded = sums.rounded.is_some();
        let in_place = columns == SQUARE && !(rounded && (self.last || self.first && self.add));
        let (start, stride) = match in_place {
            true => {
                let target = sums.target(rows, columns);
                (target.start, target.stride)
            }
            false => (room.as_mut_ptr(), SQUARE),
        };
        if !in_place && !from_zero {
            self.fetch(s, room, &sums, (rows, columns));
        }
        let (ahead, lines) = self.ask_ahead(s, index);
        let chain = Chain {
            sums: start,
            sums_stride: size_of::<f32>() * stride,
            from_zero,
            left: self.left.bytes[row * self.left.stride..].as_ptr(),
            left_stride: self.left.stride,
            right: self.right.bytes[column / SQUARE * self.right.stride..].as_ptr(),
            steps: self.steps,
            ahead,
            lines,
        };
        // SAFETY: both sides are there by the assertions of `run`, which has begun; the sums are a part
        // of the result that is this strip's own, or room for a whole square.
        unsafe { self.tiles.add(rows, &chain) };
        if !in_place {
            self.put(s, room, &sums, (rows, columns));
        }
    }

    /// What the sums go on from.
    #[inline(always)]
    fn fetch<S: Simd>(
        &self,
        s: S,
        room: &mut [f32; SQUARE * SQUARE],
        sums: &Sums,
        (rows, columns): (usize, usize),
    ) {
        for (row, out) in room.chunks_exact_mut(SQUARE).take(rows).enumerate() {
            let out = &mut out[..columns];
            match sums.rounded {
                // SAFETY: this strip's own.
                Some(result) if self.first => unsafe {
                    Widen { out, x: result.row(row, columns) }.run(s);
                },
                // SAFETY: as above.
                _ => out.copy_from_slice(unsafe { sums.floats.row(row, columns) }),
            }
        }
    }

    #[inline(always)]
    fn put<S: Simd>(
        &self,
        s: S,
        room: &[f32; SQUARE * SQUARE],
        sums: &Sums,
        (rows, columns): (usize, usize),
    ) {
        for (row, x) in room.chunks_exact(SQUARE).take(rows).enumerate() {
            let x = &x[..columns];
            match sums.rounded {
                // SAFETY: this strip's own.
                Some(result) if self.last => unsafe {
                    Round { out: result.row(row, columns), x }.run(s);
                },
                // SAFETY: as above.
                _ => unsafe { sums.floats.row(row, columns) }.copy_from_slice(x),
            }
        }
    }

    /// Asks for what the square after the given one goes on from and ends in.
    #[inline(always)]
    fn ask_for_sums<S: Simd>(&self, s: S, row: usize, column: usize) {
        let next = match column + SQUARE < self.columns {
            true => (row, column + SQUARE),
            false => (row + SQUARE, 0),
        };
        for row in next.0..(next.0 + SQUARE).min(self.rows) {
            match self.sums.rounded {
                Some(result) if self.last || self.first && self.add => {
                    s.prefetch(result.address(row, next.1).cast());
                }
                _ => {
                    let line = self.sums.floats.address(row, next.1);
                    s.prefetch(line);
                    s.prefetch(line.wrapping_add(SQUARE / 2));
                }
            }
        }
    }

    /// The share of one square in asking for what is ahead: lines that are asked for step by step, or
    /// rows at once.
    #[inline(always)]
    fn ask_ahead<S: Simd>(&self, s: S, index: usize) -> (*const u8, usize) {
        let squares = self.rows.div_ceil(SQUARE) * self.columns.div_ceil(SQUARE);
        let Ahead { start, bytes, stride, rows } = self.ahead;
        if rows == 1 {
            let lines = bytes.div_ceil(64).div_ceil(squares * self.steps);
            return (start.wrapping_add(index * self.steps * lines * 64), lines);
        }
        for row in index * rows / squares..(index + 1) * rows / squares {
            for line in (0..bytes).step_by(64) {
                s.prefetch(start.wrapping_add(row * stride + line).cast());
            }
        }
        (start, 0)
    }
}
