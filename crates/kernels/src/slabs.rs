//! Memory of middling size, cut from large mappings: matrices of a few megabytes that lie side by side
//! share large pages, where a mapping of each would begin and end with small ones. Blocks are zeros
//! and aligned to 64 bytes; what they are for is not known here.
//!
//! A slab is a stack. A block that is given back makes room when all above it were given back too, and
//! a slab that lends nothing goes back to the system.

use memmap2::{MmapMut, MmapOptions};
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::{NonNull, write_bytes};
use std::sync::{Mutex, PoisonError};

/// Sizes of blocks that lie here: smaller ones are the allocator's, larger ones have enough large
/// pages of their own.
const SIZES: Range<usize> = 128 << 10..32 << 20;
/// Bytes of a slab. What was never used of it was never touched, so costs nothing.
const SLAB: usize = 128 << 20;
const ALIGNMENT: usize = 64;

/// By the address where they begin.
static SLABS: Mutex<BTreeMap<usize, Slab>> = Mutex::new(BTreeMap::new());

struct Slab {
    memory: MmapMut,
    /// End of the highest block that is lent.
    used: usize,
    /// The highest that `used` ever was; below it lies what others left.
    touched: usize,
    /// Where blocks begin, and whether they are lent; in the order of their addresses.
    blocks: Vec<(usize, bool)>,
}

/// A block of zeros, if its size belongs here and the system has the memory.
pub fn allocate(bytes: usize) -> Option<NonNull<u8>> {
    if !SIZES.contains(&bytes) {
        return None;
    }
    let mut slabs = SLABS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(block) = slabs.values_mut().find_map(|slab| slab.lend(bytes)) {
        return Some(block);
    }
    let mut slab = Slab::new()?;
    let block = slab.lend(bytes);
    slabs.insert(slab.memory.as_ptr().addr(), slab);
    block
}

/// Takes a block back; false if it did not come from here.
pub fn free(block: NonNull<u8>) -> bool {
    let mut slabs = SLABS.lock().unwrap_or_else(PoisonError::into_inner);
    let below = slabs.range_mut(..=block.addr().get()).next_back();
    let Some((&start, slab)) = below else { return false };
    if !slab.take_back(block.addr().get() - start) {
        return false;
    }
    if slab.blocks.is_empty() {
        slabs.remove(&start);
    }
    true
}

impl Slab {
    fn new() -> Option<Slab> {
        let memory = MmapOptions::new().len(SLAB).map_anon().ok()?;
        // A wish; where the system does not grant it, nothing changes but the speed.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Some(Slab { memory, used: 0, touched: 0, blocks: Vec::new() })
    }

    fn lend(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let (start, end) = (self.used, (self.used + bytes).next_multiple_of(ALIGNMENT));
        if end > SLAB {
            return None;
        }
        // SAFETY: `start` lies inside the mapping.
        let block = NonNull::new(unsafe { self.memory.as_mut_ptr().add(start) })?;
        // SAFETY: bytes of the mapping, above every block that is lent.
        unsafe { write_bytes(block.as_ptr(), 0, self.touched.min(end).saturating_sub(start)) };
        self.blocks.push((start, true));
        (self.used, self.touched) = (end, self.touched.max(end));
        Some(block)
    }

    /// False if no block begins there.
    fn take_back(&mut self, start: usize) -> bool {
        let Ok(place) = self.blocks.binary_search_by_key(&start, |block| block.0) else {
            return false;
        };
        self.blocks[place].1 = false;
        while let Some((start, _)) = self.blocks.pop_if(|block| !block.1) {
            self.used = start;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 1 << 20;

    fn filled(slab: &mut Slab) -> NonNull<u8> {
        let block = slab.lend(BLOCK).unwrap();
        assert_eq!(block.addr().get() % ALIGNMENT, 0);
        // SAFETY: a block of a slab that this test owns.
        let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), BLOCK) };
        assert!(bytes.iter().all(|&byte| byte == 0));
        bytes.fill(0xFF);
        block
    }

    #[test]
    fn what_is_given_back_is_lent_again_as_zeros_when_nothing_above_it_is_lent() {
        let mut slab = Slab::new().unwrap();
        let [first, second, third] = [(); 3].map(|()| filled(&mut slab));
        let start = first.addr().get();
        assert!(slab.take_back(second.addr().get() - start));
        let fourth = filled(&mut slab);
        assert!(fourth > third, "the second lies below the third");
        assert!(slab.take_back(fourth.addr().get() - start));
        assert!(slab.take_back(third.addr().get() - start));
        assert_eq!(filled(&mut slab), second);
        assert!(!slab.take_back(3), "nothing begins there");
    }

    #[test]
    fn a_slab_that_is_full_lends_nothing() {
        let mut slab = Slab::new().unwrap();
        assert!(slab.lend(SLAB - BLOCK).is_some());
        assert!(slab.lend(2 * BLOCK).is_none());
        assert!(slab.lend(BLOCK).is_some());
    }

    #[test]
    fn only_blocks_of_middling_size_lie_here() {
        assert!(allocate(SIZES.start - 1).is_none() && allocate(SIZES.end).is_none());
        let block = allocate(SIZES.start).unwrap();
        assert!(free(block) && !free(block));
        assert!(!free(NonNull::dangling()));
    }
}
