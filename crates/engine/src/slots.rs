//! The rows of the cache, lent to sequences as contiguous slots: first fit, given back when a
//! sequence ends. Knows nothing of what the rows hold.

use std::ops::Range;

/// Which rows are free.
#[derive(Debug)]
pub struct Slots {
    free: Vec<Range<usize>>,
}

impl Slots {
    /// All of `rows` are free.
    pub fn new(rows: usize) -> Slots {
        Slots { free: std::iter::once(0..rows).filter(|range| !range.is_empty()).collect() }
    }

    /// `rows` contiguous rows, or `None` while no gap is that long.
    pub fn take(&mut self, rows: usize) -> Option<Range<usize>> {
        let index = self.free.iter().position(|gap| gap.len() >= rows)?;
        let gap = &mut self.free[index];
        let slot = gap.start..gap.start + rows;
        gap.start = slot.end;
        if gap.start == gap.end {
            self.free.remove(index);
        }
        Some(slot)
    }

    /// Whether there would be `rows` contiguous rows if all of `others` were given back too.
    pub fn would_fit(&self, rows: usize, others: impl Iterator<Item = Range<usize>>) -> bool {
        let mut all: Vec<_> = self.free.iter().cloned().chain(others).collect();
        all.sort_by_key(|range| range.start);
        let (mut start, mut end) = (0, 0);
        all.into_iter().any(|range| {
            start = if range.start == end { start } else { range.start };
            end = range.end;
            end - start >= rows
        })
    }

    /// Rows that are free.
    pub fn rows(&self) -> usize {
        self.free.iter().map(Range::len).sum()
    }

    /// Gives rows back and joins them with their free neighbours.
    pub fn give_back(&mut self, slot: Range<usize>) {
        let index = self.free.partition_point(|gap| gap.start < slot.start);
        self.free.insert(index, slot);
        self.free.dedup_by(|later, earlier| {
            let joins = earlier.end == later.start;
            if joins {
                earlier.end = later.end;
            }
            joins
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_given_back_join_their_neighbours() {
        let mut slots = Slots::new(10);
        let (a, b, c) = (slots.take(3).unwrap(), slots.take(3).unwrap(), slots.take(4).unwrap());
        assert_eq!((a.clone(), b.clone(), c.clone()), (0..3, 3..6, 6..10));
        assert_eq!(slots.take(1), None);
        slots.give_back(a);
        slots.give_back(c);
        assert_eq!(slots.take(5), None, "two gaps of 3 and 4 are not 5 rows");
        assert!(slots.would_fit(10, std::iter::once(b.clone())));
        assert!(!slots.would_fit(11, std::iter::once(b.clone())));
        assert!(!slots.would_fit(5, std::iter::empty()));
        slots.give_back(b);
        assert_eq!(slots.take(10), Some(0..10));
    }
}
