//! The angles of the rotary embedding (Su et al. 2021), rounded as transformers rounds them. The
//! turn itself is `ops::rope`.

use crate::config::LlamaConfig;

/// `[positions, head_dim]`, row after row: the cosines of a position's angles, then their sines.
///
/// Frequencies and angles are rounded to `f32` where transformers does, or far positions would
/// drift away from it; cosine and sine of the rounded angle are taken exactly.
pub(crate) fn turns(config: &LlamaConfig, positions: usize) -> Vec<f32> {
    let frequencies = inverse_frequencies(config);
    let mut turns = Vec::with_capacity(positions * config.head_dim);
    for position in 0..positions {
        let angles = frequencies.iter().map(|frequency| f64::from(position as f32 * frequency));
        turns.extend(angles.clone().map(|angle| angle.cos() as f32));
        turns.extend(angles.map(|angle| angle.sin() as f32));
    }
    turns
}

/// `1 / rope_theta^(2j / head_dim)` for `j < head_dim / 2`.
fn inverse_frequencies(config: &LlamaConfig) -> Vec<f32> {
    let exponents = (0..config.head_dim).step_by(2).map(|j| j as f32 / config.head_dim as f32);
    exponents.map(|exponent| 1.0 / config.rope_theta.powf(f64::from(exponent)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_zero_does_not_turn_and_the_first_pair_turns_by_the_position() {
        let mut config = LlamaConfig::preset("tiny").unwrap();
        config.head_dim = 4;
        let turns = turns(&config, 3);
        assert_eq!(turns[..4], [1.0, 1.0, 0.0, 0.0]);
        assert_eq!(turns[8], 2f64.cos() as f32);
        assert_eq!(turns[11], f64::from(2.0 * 0.01f32).sin() as f32);
    }
}
