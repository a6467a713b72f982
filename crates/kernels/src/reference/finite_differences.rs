//! The judge of every backward in this folder: central differences of its forward, in `f64`.
//! Compiled for tests only.

/// What gradients hold before a backward is called, to show that it adds to them.
pub const BEFORE: f64 = 1.0;

/// At this step a central difference of a smooth function is off by about `STEP²` = 1e-10 for its
/// curvature and by 1e-16 / `STEP` = 1e-11 for the rounding of `f64`.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-8;

/// Fixed numbers between -1 and 1, different for every seed (the splitmix64 sequence).
pub fn numbers(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed << 32;
    let next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Gradients as a backward finds them.
pub fn before(count: usize) -> Vec<f64> {
    vec![BEFORE; count]
}

/// Checks that a backward has added the gradient of `loss` at `x` to `gradient`.
pub fn assert_gradient(gradient: &[f64], x: &[f64], loss: impl Fn(&[f64]) -> f64) {
    assert_eq!(gradient.len(), x.len());
    let mut moved = x.to_vec();
    for (i, &found) in gradient.iter().enumerate() {
        moved[i] = x[i] + STEP;
        let above = loss(&moved);
        moved[i] = x[i] - STEP;
        let below = loss(&moved);
        moved[i] = x[i];
        let expected = BEFORE + (above - below) / (2.0 * STEP);
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error <= TOLERANCE, "element {i}: {found}, but {expected} by differences");
    }
}
