//! What rounding to bf16 takes from an `f32`, kept beside the bf16 so that both are the `f32` again, bit
//! for bit: the definition. Knows rows, no matrices.
//!
//! The lower half of the bits, read as a number of 16 bits with a sign, is how far the `f32` lies above the
//! bf16, counted in steps of its own. Two values alone share both halves: those that lie half a step of bf16
//! above and below an even one, which both are rounded to. So a seventeenth bit says which are above. A row
//! is, for every sixteen columns, their lower halves and then one number with their seventeenth bits.

use half::bf16;

/// Columns whose seventeenth bits are one number.
pub const GROUP: usize = 16;

/// The lower half of what lies in the middle between two values of bf16.
const MIDDLE: u16 = 0x8000;

/// Numbers of a row.
pub const fn row_length(columns: usize) -> usize {
    columns.saturating_add(columns.div_ceil(GROUP))
}

/// As [`split`], rows of so many columns.
#[inline(always)]
pub fn split_rows(x: &[f32], columns: usize, rounded: &mut [bf16], remainder: &mut [u16]) {
    let rows = rounded.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
    for ((rounded, x), remainder) in rows.zip(remainder.chunks_exact_mut(row_length(columns))) {
        split(x, rounded, remainder);
    }
}

/// As [`join`], rows of so many columns.
#[inline(always)]
pub fn join_rows(rounded: &[bf16], remainder: &[u16], columns: usize, out: &mut [f32]) {
    let rows = rounded.chunks_exact(columns).zip(out.chunks_exact_mut(columns));
    for ((rounded, out), remainder) in rows.zip(remainder.chunks_exact(row_length(columns))) {
        join(rounded, remainder, out);
    }
}

/// Rounds `x`, which begins at a column that a group begins with, and keeps what that takes from it. What is
/// NaN stays NaN, not which one.
#[inline(always)]
pub fn split(x: &[f32], rounded: &mut [bf16], remainder: &mut [u16]) {
    let (whole, rest) = x.as_chunks::<GROUP>();
    let (rounded, rounded_rest) = rounded.as_chunks_mut::<GROUP>();
    let (groups, remainder_rest) = remainder.as_chunks_mut::<{ GROUP + 1 }>();
    for ((x, rounded), group) in whole.iter().zip(rounded).zip(groups) {
        split_group(x, rounded, group);
    }
    if !rest.is_empty() {
        split_group(rest, rounded_rest, remainder_rest);
    }
}

/// The values that [`split`] took apart.
#[inline(always)]
pub fn join(rounded: &[bf16], remainder: &[u16], out: &mut [f32]) {
    let (whole, rest) = rounded.as_chunks::<GROUP>();
    let (out, out_rest) = out.as_chunks_mut::<GROUP>();
    let (groups, remainder_rest) = remainder.as_chunks::<{ GROUP + 1 }>();
    for ((rounded, group), out) in whole.iter().zip(groups).zip(out) {
        join_group(rounded, group, out);
    }
    if !rest.is_empty() {
        join_group(rest, remainder_rest, out_rest);
    }
}

#[inline(always)]
fn split_group(x: &[f32], rounded: &mut [bf16], group: &mut [u16]) {
    let (lower, above) = group.split_at_mut(x.len());
    let mut middles = 0;
    for ((&x, rounded), lower) in x.iter().zip(rounded).zip(&mut *lower) {
        let bits = x.to_bits();
        let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        let chosen = if x.is_nan() { bits | 0x0040_0000 } else { nearest };
        *rounded = bf16::from_bits((chosen >> 16) as u16);
        *lower = bits as u16;
        middles |= u16::from(*lower == MIDDLE);
    }
    // Rare, once something was learned.
    above[0] = if middles == 0 { 0 } else { those_above(x) };
}

/// A bit for each value in the middle whose lower neighbour is the even one.
#[cold]
fn those_above(x: &[f32]) -> u16 {
    let is_above = |x: &f32| x.to_bits() & 0x0001_ffff == u32::from(MIDDLE);
    x.iter().enumerate().map(|(i, x)| u16::from(is_above(x)) << i).sum()
}

#[inline(always)]
fn join_group(rounded: &[bf16], group: &[u16], out: &mut [f32]) {
    let (lower, above) = group.split_at(rounded.len());
    for ((rounded, &lower), out) in rounded.iter().zip(lower).zip(&mut *out) {
        let distance = i32::from(lower as i16) as u32;
        *out = f32::from_bits((u32::from(rounded.to_bits()) << 16).wrapping_add(distance));
    }
    if above[0] != 0 {
        lift(out, above[0]);
    }
}

/// Values in the middle were taken to lie below.
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
        split(x, &mut rounded, &mut remainder);
        for (x, rounded) in x.iter().zip(&rounded) {
            assert_eq!(rounded.to_bits(), bf16::from_f32(*x).to_bits(), "{x:e}");
        }
        let mut back = vec![0.0; x.len()];
        join(&rounded, &remainder, &mut back);
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
