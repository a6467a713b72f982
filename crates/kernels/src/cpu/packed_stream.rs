//! Products of few rows with a packed weight, a model that generates: memory is the limit, so that each
//! thread reads long stretches of the weight in one go and asks for what comes next until the last is
//! done. Every element is summed in the order of `packed_product.rs`.

use crate::cpu::machine::Machine;
use crate::cpu::packed_format::Format;
use crate::cpu::packed_group::{Group, PIECE, Product};
use crate::cpu::packed_instructions::{PackedKernel, run};
use crate::dtype::DType;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes between what is multiplied and what is asked for. Found by trying: from a page (4096) on,
/// processors that look ahead themselves are led astray.
const AHEAD: usize = 3 << 10;

/// All of some products of the same rows.
pub fn forward<'a>(
    machine: &Machine,
    products: impl Iterator<Item = Product<'a>> + Clone + Sync,
    dtype: DType,
) {
    let threads = machine.pool.threads();
    let panels = products.clone().map(|product| product.panels()).sum();
    let stretches = &Stretches { panels, threads, next: AtomicUsize::new(0) };
    machine.pool.run(threads, &|_, _| {
        run(machine.instructions, dtype, Stream { products: products.clone(), stretches });
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
struct Stream<'s, P> {
    products: P,
    stretches: &'s Stretches,
}

impl<'a, P: Iterator<Item = Product<'a>> + Clone> PackedKernel for Stream<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<F: Format>(self, format: F) {
        let Stream { products, stretches } = self;
        let mut stretch = stretches.claim();
        while !stretch.is_empty() {
            let after = stretches.claim();
            for panel in stretch.clone() {
                let next = if panel + 1 < stretch.end { panel + 1 } else { after.start };
                let next = located(products.clone(), next);
                let next = next.map(|(product, panel)| place::<F>(&product, panel, 0));
                if let Some((product, panel)) = located(products.clone(), panel) {
                    whole_panel(format, product, panel, next);
                }
            }
            stretch = after;
        }
    }
}

/// Which product the `panel`th panel of all belongs to, and its number there.
#[inline(always)]
fn located<'a>(
    products: impl Iterator<Item = Product<'a>>,
    mut panel: usize,
) -> Option<(Product<'a>, usize)> {
    for product in products {
        match panel.checked_sub(product.panels()) {
            None => return Some((product, panel)),
            Some(rest) => panel = rest,
        }
    }
    None
}

/// Where a block of a panel begins.
#[inline(always)]
fn place<F: Format>(product: &Product, panel: usize, block: usize) -> *const u8 {
    let blocks = panel * product.rows.blocks + block;
    product.weights.as_ptr().wrapping_add(blocks * F::BYTES)
}

/// All blocks of a panel, and the first ones at `next` asked for.
#[inline(always)]
fn whole_panel<F: Format>(format: F, product: Product, panel: usize, next: Option<*const u8>) {
    let (blocks, tiles) = (product.rows.blocks, product.rows.tiles());
    let ahead = AHEAD.div_ceil(F::BYTES).min(blocks);
    // The blocks of one tile may be as many as there are; several tiles share them from the cache.
    let most = if tiles == 1 { blocks } else { PIECE };
    let group = Group { product, panels: panel..panel + 1, tiles: 0..tiles };
    let last = blocks - ahead;
    for start in (0..last).step_by(most) {
        let piece = start..(start + most).min(last);
        group.piece_of_a_panel(format, panel, piece, place::<F>(&product, panel, start + ahead));
    }
    let here = place::<F>(&product, panel, last);
    group.piece_of_a_panel(format, panel, last..blocks, next.unwrap_or(here));
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
