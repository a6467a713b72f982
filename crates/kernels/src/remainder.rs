//! What rounding to bf16 takes from an `f32`, kept beside the bf16 so that both are the `f32` again, bit
//! for bit: the definition. Knows rows, no matrices.
//!
//! The lower half of the bits, read as a number of 16 bits with a sign, is how far the `f32` lies above the
//! bf16, counted in steps of its own. Two values alone share both halves: those that lie half a step of bf16
//! above and below an even one, which both are rounded to. So a seventeenth bit says which are above. A row
//! is the lower halves, and then a number with the seventeenth bits of every sixteen columns.

use half::bf16;

/// Columns whose seventeenth bits are one number.
pub const GROUP: usize = 16;

/// The lower half of what lies in the middle between two values of bf16.
const MIDDLE: u16 = 0x8000;

/// Numbers of a row.
pub const fn row_length(columns: usize) -> usize {
    columns.saturating_add(columns.div_ceil(GROUP))
}

/// Rounds rows of so many columns and keeps what that takes from them. What is NaN stays NaN, not which one.
#[inline(always)]
pub fn split_rows(x: &[f32], columns: usize, rounded: &mut [bf16], remainder: &mut [u16]) {
    let rows = rounded.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
    for ((rounded, x), row) in rows.zip(remainder.chunks_exact_mut(row_length(columns))) {
        let (lower, above) = row.split_at_mut(columns);
        split(x, rounded, lower, above);
    }
}

/// The values that [`split_rows`] took apart.
#[inline(always)]
pub fn join_rows(rounded: &[bf16], remainder: &[u16], columns: usize, out: &mut [f32]) {
    let rows = rounded.chunks_exact(columns).zip(out.chunks_exact_mut(columns));
    for ((rounded, out), row) in rows.zip(remainder.chunks_exact(row_length(columns))) {
        let (lower, above) = row.split_at(columns);
        join(rounded, lower, above, out);
    }
}

/// Part of a row that begins where a group does: `lower` halves, and whether those in the middle lie
/// `above`. Its loops are long and plain, so that the compiler lays their turns side by side.
#[inline(always)]
pub fn split(x: &[f32], rounded: &mut [bf16], lower: &mut [u16], above: &mut [u16]) {
    for (x, rounded) in x.iter().zip(rounded) {
        let bits = x.to_bits();
        let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        let chosen = if bits & 0x7fff_ffff > 0x7f80_0000 { bits | 0x0040_0000 } else { nearest };
        *rounded = bf16::from_bits((chosen >> 16) as u16);
    }
    let mut middles = false;
    for (x, lower) in x.iter().zip(lower) {
        *lower = x.to_bits() as u16;
        middles |= *lower == MIDDLE;
    }
    above.fill(0);
    // Rare, once something was learned.
    if middles {
        note_those_above(x, above);
    }
}

#[cold]
fn note_those_above(x: &[f32], above: &mut [u16]) {
    let is_above = |x: &f32| x.to_bits() & 0x0001_ffff == u32::from(MIDDLE);
    for (i, _) in x.iter().enumerate().filter(|(_, x)| is_above(x)) {
        above[i / GROUP] |= 1 << (i % GROUP);
    }
}

/// As [`split`], the other way.
#[inline(always)]
pub fn join(rounded: &[bf16], lower: &[u16], above: &[u16], out: &mut [f32]) {
    for ((rounded, &lower), out) in rounded.iter().zip(lower).zip(&mut *out) {
        let distance = i32::from(lower as i16) as u32;
        *out = f32::from_bits((u32::from(rounded.to_bits()) << 16).wrapping_add(distance));
    }
    // Those in the middle were taken to lie below.
    for (out, &above) in out.chunks_mut(GROUP).zip(above) {
        if above != 0 {
            lift(out, above);
        }
    }
}

#[cold]
fn lift(out: &mut [f32], above: u16) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = f32::from_bits(out.to_bits().wrapping_add(u32::from(above >> i & 1) << 16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back, after the bf16 was checked against the rounding of others.
    fn there_and_back(x: &[f32]) -> Vec<f32> {
        let mut rounded = vec![bf16::ZERO; x.len()];
        let mut remainder = vec![0x5555; row_length(x.len())];
        split_rows(x, x.len(), &mut rounded, &mut remainder);
        for (x, rounded) in x.iter().zip(&rounded) {
            assert_eq!(rounded.to_bits(), bf16::from_f32(*x).to_bits(), "{x:e}");
        }
        let mut back = vec![0.0; x.len()];
        join_rows(&rounded, &remainder, x.len(), &mut back);
        back
    }

    #[test]
    fn every_lower_half_comes_back_bit_for_bit_beside_even_and_odd_upper_halves_of_either_sign() {
        // Zero and denormals, usual numbers, the step to the next power of two, what rounds to infinity.
        let uppers = [0x0000, 0x0001, 0x3f80, 0x3f81, 0x3fff, 0x4000, 0x7f7e, 0x7f7f];
        for upper in uppers.into_iter().flat_map(|upper: u32| [upper, upper | 0x8000]) {
            let x: Vec<f32> =
                (0..=0xffff).map(|lower| f32::from_bits(upper << 16 | lower)).collect();
            let back = there_and_back(&x);
            let same = x.iter().zip(&back).all(|(x, back)| x.to_bits() == back.to_bits());
            assert!(same, "{upper:#x}");
        }
    }

    #[test]
    fn rows_of_any_length_come_back() {
        for columns in [1, 15, 16, 17, 33, 100] {
            let middle = |i: usize| f32::from_bits(0x3f80_8000 + ((i as u32) << 16));
            let x: Vec<f32> = (0..columns).map(middle).collect();
            assert_eq!(there_and_back(&x), x, "{columns} columns");
        }
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        let infinities = [f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(there_and_back(&infinities), infinities);
        let nans = [0x7f80_0001, 0x7fff_ffff, 0xff80_8000, 0xffc0_ffff, 0x7f81_8000, 0x7fbf_7fff];
        assert!(there_and_back(&nans.map(f32::from_bits)).iter().all(|x| x.is_nan()));
    }
}
