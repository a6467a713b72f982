//! What a product is, and how its rows, columns and depth are cut. Where the cuts lie depends on the
//! sizes alone for the depth, so every element is summed in one order; multiplies nothing itself.

use crate::cpu::instructions::{Dots, TilesOfPath};
use crate::cpu::matmul_pack::Side;
use std::ops::Range;

/// Depth of a block, at most: a panel of columns fits the second-level cache many times over, and
/// the result is not visited too often.
pub const DEPTH: usize = 704;
/// Lanes of a block that tasks pack for themselves.
const OWN_LANES: usize = 4096;
/// Floats of the packed lanes of a block that all tasks share: less than a third-level cache holds.
const SHARED_FLOATS: usize = 704 * 1024;
/// Floats of the packed rows, and columns, that a task works with at a time: together they fit the
/// second-level cache.
const TASK_FLOATS: (usize, usize) = (704 * 84, 704 * 128);
/// Rows and columns of a rectangle of results, at most: it fits that cache as well.
const RECTANGLE: (usize, usize) = (168, 512);
/// Tasks of a thread, at least: what one is late the others make up for.
const TASKS_OF_THREAD: usize = 4;

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

/// The `index`th of `parts` of some lanes; whole panels are spread evenly.
pub fn share_of(
    lanes: &Range<usize>,
    panel: usize,
    (index, parts): (usize, usize),
) -> Range<usize> {
    let panels = lanes.len().div_ceil(panel);
    let place = |index: usize| (lanes.start + index * panels / parts * panel).min(lanes.end);
    place(index)..place(index + 1)
}

/// How rows and columns are cut. Tasks pack the lanes of one side for themselves, that which has more
/// of them; those of the other, which all need, are packed before.
pub struct Cuts {
    /// Whether tasks pack rows for themselves, or columns.
    pub own_rows: bool,
    /// Most rows of a rectangle, in whole panels.
    pub rows: usize,
    /// Most columns of a rectangle, in whole panels.
    pub columns: usize,
    /// Most lanes of the shared side in a block.
    pub shared: usize,
    /// Lanes of a panel of the side that tasks pack for themselves.
    panel: usize,
    threads: usize,
}

impl Cuts {
    /// For a product of this size.
    pub fn of(product: &Product, (height, width): (usize, usize), threads: usize) -> Cuts {
        let depth = product.left.depth.min(DEPTH);
        let whole = |floats: usize, panel: usize| (floats / depth / panel).max(1) * panel;
        let own_rows = product.left.lanes >= product.right.lanes;
        Cuts {
            own_rows,
            rows: whole(TASK_FLOATS.0, height).min(RECTANGLE.0 / height * height),
            columns: whole(TASK_FLOATS.1, width).min(RECTANGLE.1 / width * width),
            shared: whole(SHARED_FLOATS, if own_rows { width } else { height }),
            panel: if own_rows { height } else { width },
            threads,
        }
    }

    /// The blocks of rows and columns.
    pub fn blocks(
        &self,
        (rows, columns): (usize, usize),
    ) -> impl Iterator<Item = [Range<usize>; 2]> {
        let (tall, wide) =
            if self.own_rows { (OWN_LANES, self.shared) } else { (self.shared, OWN_LANES) };
        cut(rows, tall).flat_map(move |rows| cut(columns, wide).map(move |c| [rows.clone(), c]))
    }

    /// Number of tasks for so many own lanes: each thread gets as many as any other.
    pub fn tasks(&self, lanes: usize) -> usize {
        let most = if self.own_rows { self.rows } else { self.columns };
        let tasks = lanes.div_ceil(most).max(TASKS_OF_THREAD * self.threads);
        tasks.next_multiple_of(self.threads).min(lanes.div_ceil(self.panel))
    }

    /// The own lanes of a task.
    pub fn lanes_of_task(&self, lanes: &Range<usize>, index: usize) -> Range<usize> {
        share_of(lanes, self.panel, (index, self.tasks(lanes.len())))
    }

    /// Shared lanes of a rectangle, at most.
    pub fn step(&self) -> usize {
        if self.own_rows { self.columns } else { self.rows }
    }

    /// Floats of what a task packs for itself.
    pub fn own_floats(&self) -> usize {
        if self.own_rows { TASK_FLOATS.0 } else { TASK_FLOATS.1 }
    }

    /// Elements of a rectangle.
    pub fn rectangle(&self) -> usize {
        self.rows * self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::matmul_pack::{Along, Elements};

    const TILE: (usize, usize) = (14, 32);

    fn cuts(rows: usize, columns: usize, depth: usize, threads: usize) -> Cuts {
        let (elements, along, stride) = (Elements::F32(&[]), Along::Depth, depth);
        let side = |lanes| Side { elements, along, stride, lanes, depth };
        let (left, right) = (side(rows), side(columns));
        Cuts::of(&Product { left, right, add: false, dots: None, tiles: None }, TILE, threads)
    }

    #[test]
    fn every_thread_gets_as_many_tasks_of_nearly_one_size_and_no_lane_is_left_out() {
        for (rows, threads) in [(43, 1), (704, 2), (2048, 2), (2048, 16), (46_336, 3)] {
            let cuts = cuts(rows, 32, 512, threads);
            let tasks = cuts.tasks(rows);
            let lanes: Vec<_> = (0..tasks).map(|i| cuts.lanes_of_task(&(0..rows), i)).collect();
            assert_eq!((lanes[0].start, lanes[tasks - 1].end), (0, rows));
            assert!(lanes.windows(2).all(|pair| pair[0].end == pair[1].start));
            let panels: Vec<_> = lanes.iter().map(|lanes| lanes.len().div_ceil(TILE.0)).collect();
            assert!(panels.iter().max().unwrap() - panels.iter().min().unwrap() <= 1);
            assert!(
                tasks.is_multiple_of(threads) || tasks == rows.div_ceil(TILE.0),
                "{rows} {threads}"
            );
            assert!(lanes.iter().all(|lanes| lanes.len() <= cuts.rows));
        }
    }

    #[test]
    fn blocks_are_rectangles_of_the_result_that_cover_it_once() {
        for (rows, columns, depth) in [(1, 1, 1), (5000, 9000, 3), (704, 46_336, 512)] {
            let blocks: Vec<_> = cuts(rows, columns, depth, 2).blocks((rows, columns)).collect();
            let area: usize = blocks.iter().map(|[rows, columns]| rows.len() * columns.len()).sum();
            assert_eq!(area, rows * columns);
            assert!(blocks.iter().all(|[a, b]| a.end <= rows && b.end <= columns));
        }
    }

    #[test]
    fn what_a_task_holds_is_bounded_however_short_the_sums() {
        for depth in [1, 16, 704, 100_000] {
            for (rows, columns) in [(100_000, 50), (50, 100_000)] {
                let cuts = cuts(rows, columns, depth, 2);
                assert!(cuts.rectangle() <= 168 * 512);
                let own = if cuts.own_rows { cuts.rows } else { cuts.columns };
                assert!(own * depth.min(DEPTH) <= cuts.own_floats());
            }
        }
    }

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
