//! Products of few rows with a packed weight, a model that generates: memory is the limit, so that each
//! thread reads long stretches of the weight in one go and asks for what comes next until the last is
//! done. Every element is summed in the order of `packed_product.rs`.

use crate::cpu::machine::Machine;
use crate::cpu::packed_format::Format;
use crate::cpu::packed_instructions::{PackedKernel, run};
use crate::cpu::packed_product::{Group, PIECE, Product};
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes between what is multiplied and what is asked for. Found by trying: from a page (4096) on,
/// processors that look ahead themselves are led astray.
const AHEAD: usize = 3 << 10;

/// All of a product.
pub fn forward(machine: &Machine, product: Product, dtype: DType, out: SharedMut<f32>) {
    let threads = machine.pool.threads();
    let stretches = Stretches { panels: product.panels(), threads, next: AtomicUsize::new(0) };
    machine.pool.run(threads, &|_, _| {
        run(machine.instructions, dtype, Stream { product, stretches: &stretches, out });
    });
}

/// Deals panels out: long stretches first, the last ones short, so that all threads end together.
struct Stretches {
    panels: usize,
    threads: usize,
    next: AtomicUsize,
}

impl Stretches {
    /// The next one; empty if nothing is left.
    fn claim(&self) -> Range<usize> {
        let end = |start: usize| start + (self.panels - start).div_ceil(2 * self.threads);
        let step = |start: usize| Some(end(start));
        match self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) {
            Ok(start) | Err(start) => start..end(start),
        }
    }
}

/// A thread's share.
struct Stream<'a> {
    product: Product<'a>,
    stretches: &'a Stretches,
    out: SharedMut<'a, f32>,
}

impl PackedKernel for Stream<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Format>(self, format: F) {
        let Stream { product, stretches, out } = self;
        let (panels, tiles) = (0..product.panels(), 0..product.rows.tiles());
        let group = Group { product, panels, tiles, out };
        let mut stretch = stretches.claim();
        while !stretch.is_empty() {
            let after = stretches.claim();
            for panel in stretch.clone() {
                let next = if panel + 1 < stretch.end { panel + 1 } else { after.start };
                whole_panel(&group, format, panel, next);
            }
            stretch = after;
        }
    }
}

/// All blocks of a panel, and the first ones of the `next` asked for.
#[inline(always)]
fn whole_panel<F: Format>(group: &Group, format: F, panel: usize, next: usize) {
    let Product { weights, rows, .. } = group.product;
    let ahead = AHEAD.div_ceil(F::BYTES).min(rows.blocks);
    // The blocks of one tile may be as many as there are; several tiles share them from the cache.
    let most = if rows.tiles() == 1 { rows.blocks } else { PIECE };
    let place = |panel: usize, block: usize| {
        weights.as_ptr().wrapping_add((panel * rows.blocks + block) * F::BYTES)
    };
    let last = rows.blocks - ahead;
    for start in (0..last).step_by(most) {
        let piece = start..(start + most).min(last);
        group.piece_of_a_panel(format, panel, piece, place(panel, start + ahead));
    }
    group.piece_of_a_panel(format, panel, last..rows.blocks, place(next, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_panel_is_dealt_out_once_and_the_last_ones_singly() {
        for (panels, threads) in [(1, 1), (5, 4), (64, 2), (1448, 3)] {
            let stretches = Stretches { panels, threads, next: AtomicUsize::new(0) };
            let dealt = || Some(stretches.claim()).filter(|stretch| !stretch.is_empty());
            let all: Vec<_> = std::iter::from_fn(dealt).collect();
            let in_order: Vec<usize> = all.iter().cloned().flatten().collect();
            assert_eq!(in_order, (0..panels).collect::<Vec<_>>());
            assert!(all.iter().rev().take(threads).all(|stretch| stretch.len() == 1));
        }
    }
}
