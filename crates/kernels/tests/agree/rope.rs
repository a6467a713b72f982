//! Turned heads: rope and its way back on every path.

use crate::agreement::Agreement;
use crate::numbers::{Values, turns};
use crate::shapes::{ROWS, TOLERANCE};
use kollama_kernels::ops;

#[test]
fn rope_and_its_backward_equal_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "rope");
    for (heads, size) in [(1, 2), (3, 6), (4, 10), (8, 16), (3, 64), (2, 128)] {
        for rows in ROWS.into_iter().chain([700]) {
            let (x, turns) = (Values::random(1, rows, heads * size), turns(2, rows, size));
            let pair = |i: usize| {
                if i % size < size / 2 { i + size / 2 } else { i - size / 2 }
            };
            let terms = |i: usize| x.values[i].abs() + x.values[pair(i)].abs();
            let scales: Vec<f32> = (0..x.values.len()).map(terms).collect();
            let case = format!("{rows} rows, {heads} heads of {size}");
            agreement.check(&case, &[scales.clone(), scales], |device| {
                let (mut out, mut d_x, turns) = (x.on(device), x.on(device), turns.on(device));
                ops::rope(&mut out, &turns, heads);
                ops::rope_backward(&mut d_x, &turns, heads);
                vec![out.to_vec(), d_x.to_vec()]
            });
        }
    }
}
