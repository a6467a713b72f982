//! What a product is, and how its rows, columns and depth are cut. Where the cuts lie depends on the
//! sizes alone for the depth, so every element is summed in one order; multiplies nothing itself.

use crate::cpu::instructions::{Dots, TilesOfPath};
use crate::cpu::matmul_pack::Side;
use std::ops::Range;

/// Depth of a block, at most: a panel of columns fits the second-level cache many times over, and
/// the result is not visited too often.
pub const DEPTH: usize = 704;
/// Rows, and columns, of a block: packed, it takes about 8 MB.
pub const BREADTH: usize = 4096;
/// Panels of rows, and of columns, of a task.
const TASK_PANELS: (usize, usize) = (10, 8);

/// Rows times columns.
pub struct Product<'a> {
    /// Its lanes are the rows of the result.
    pub left: Side<'a>,
    /// Its lanes are the columns of the result.
    pub right: Side<'a>,
    /// Whether the result is added to what was there.
    pub add: bool,
    /// With them, both sides are pairs of bf16, and the depth is counted in pairs.
    pub dots: Option<Dots>,
    /// With them, too.
    pub tiles: Option<TilesOfPath>,
}

/// One block of a product.
pub struct Block {
    /// Rows of the result.
    pub rows: Range<usize>,
    /// Columns of the result.
    pub columns: Range<usize>,
    /// Terms of each sum.
    pub depths: Range<usize>,
}

/// `0..length` in pieces of one size, at most `longest` and a multiple of 16 if that fits; the last
/// may be shorter. A function of the length alone.
pub fn cut(length: usize, longest: usize) -> impl Iterator<Item = Range<usize>> {
    let pieces = length.div_ceil(longest).max(1);
    let size = length.div_ceil(pieces).next_multiple_of(16).clamp(1, longest);
    (0..length).step_by(size).map(move |start| start..(start + size).min(length))
}

/// The `index`th of groups of `group` lanes.
pub fn group_of(lanes: &Range<usize>, group: usize, index: usize) -> Range<usize> {
    let start = lanes.start + index * group;
    start..(start + group).min(lanes.end)
}

/// Panels of a task: fewer where a block is too small to keep all threads busy to the end.
pub fn task_panels((rows, columns): (usize, usize), threads: usize) -> (usize, usize) {
    let (mut tall, mut wide) = TASK_PANELS;
    let few = |tall, wide| rows.div_ceil(tall) * columns.div_ceil(wide) < 4 * threads;
    while few(tall, wide) && wide > 1 {
        wide /= 2;
    }
    while few(tall, wide) && tall > 1 {
        tall /= 2;
    }
    (tall, wide)
}

/// Elements of the result that a task makes at most.
pub fn largest_task((height, width): (usize, usize)) -> usize {
    TASK_PANELS.0 * height * TASK_PANELS.1 * width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_the_depth_are_of_one_size_and_leave_nothing_out() {
        for length in [1, 15, 512, 704, 705, 1376, 46_336] {
            let cuts: Vec<_> = cut(length, DEPTH).collect();
            assert_eq!(cuts.iter().map(|cut| cut.len()).sum::<usize>(), length);
            assert!(cuts.iter().all(|cut| cut.len() <= DEPTH));
            assert!(cuts.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(cuts.len(), length.div_ceil(DEPTH));
        }
    }
}
