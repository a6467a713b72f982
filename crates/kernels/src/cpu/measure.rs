//! Loops that do nothing but reach a limit of the processor, for `roof.rs`.

use crate::cpu::instructions::{DotKernel, Kernel};
use crate::cpu::packed_dot::{BytesKernel, Dot};
use crate::cpu::simd::{OneProduct, Simd, Term};

/// Multiplies and adds in registers: as many chains as hide the delay of each.
pub struct Chains {
    /// Rounds; each adds to every chain once.
    pub steps: usize,
}

/// Chains of [`Chains`]: more than the delay times the width of any processor so far, and with
/// their operands no more than sixteen registers.
const CHAINS: usize = 12;

impl Kernel for Chains {
    /// Terms added: one product each.
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        DotKernel::run(self, s, OneProduct(s))
    }
}

impl DotKernel for Chains {
    /// Terms added: two products each.
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd, T: Term<S::V>>(self, s: S, term: T) -> usize {
        let mut chains = [s.splat(std::hint::black_box(1.0)); CHAINS];
        let (a, b) = (s.splat(std::hint::black_box(0.999)), s.splat(std::hint::black_box(0.001)));
        for _ in 0..self.steps {
            for chain in &mut chains {
                *chain = term.add(a, b, *chain);
            }
        }
        let mut ends = [0.0; CHAINS * 16];
        for (end, chain) in ends.chunks_exact_mut(S::LANES).zip(chains) {
            s.store(chain, end);
        }
        std::hint::black_box(&ends);
        self.steps * CHAINS * S::LANES
    }
}

impl BytesKernel for Chains {
    /// Terms added: four products each.
    type Output = usize;

    #[inline(always)]
    fn run<D: Dot>(self, d: D) -> usize {
        let mut chains = [d.splat(std::hint::black_box(0)); CHAINS];
        let x = d.splat_four(std::hint::black_box(0x0102_0304));
        let bytes = [3; 4 * 16];
        for _ in 0..self.steps {
            // Weights that might be others each time, or the products would be taken only once.
            // SAFETY: no vector has more than sixteen lanes of four bytes.
            let weights = unsafe { d.load(std::hint::black_box(&bytes).as_ptr()) };
            for chain in &mut chains {
                *chain = d.dot(*chain, weights, x);
            }
        }
        for chain in chains {
            std::hint::black_box(d.floats().sum(d.to_floats(chain)));
        }
        self.steps * CHAINS * D::S::LANES
    }
}

/// Values of [`ReadAll`] that are asked for ahead: what products do as well.
const AHEAD: usize = 4096;

/// Reads every value once.
pub struct ReadAll<'a> {
    /// What is read.
    pub x: &'a [f32],
}

impl Kernel for ReadAll<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [s.splat(0.0); 4];
        for x in self.x.chunks_exact(4 * S::LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                s.prefetch(x.as_ptr().wrapping_add(AHEAD + i * S::LANES));
                *sum = s.add(*sum, s.load(&x[i * S::LANES..][..S::LANES]));
            }
        }
        let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
        std::hint::black_box(s.sum(sum));
    }
}
