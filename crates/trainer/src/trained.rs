//! Which weights learn: rows of each tensor, by its Hugging Face name. Everything else is frozen
//! as a whole: it has no moments, no decay and no part in the gradient norm.

use crate::settings::TrainOnly;
use std::ops::Range;

const INPUT_EMBEDDING: &str = "model.embed_tokens.weight";
const OUTPUT_EMBEDDING: &str = "lm_head.weight";

/// What learns in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// Every weight.
    All,
    /// Both embeddings, from this row on.
    EmbeddingRowsFrom(usize),
}

impl Trained {
    /// What the settings say, with the first new row known.
    pub fn new(train_only: TrainOnly, first_new_row: usize) -> Trained {
        match train_only {
            TrainOnly::All => Trained::All,
            TrainOnly::Embeddings => Trained::EmbeddingRowsFrom(0),
            TrainOnly::NewRows => Trained::EmbeddingRowsFrom(first_new_row),
        }
    }

    /// The rows of a tensor that learn; empty where it is frozen.
    pub fn rows_of(self, name: &str, rows: usize) -> Range<usize> {
        match self {
            Trained::All => 0..rows,
            Trained::EmbeddingRowsFrom(first) if is_embedding(name) => first.min(rows)..rows,
            Trained::EmbeddingRowsFrom(_) => 0..0,
        }
    }
}

fn is_embedding(name: &str) -> bool {
    name == INPUT_EMBEDDING || name == OUTPUT_EMBEDDING
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: &str = "model.layers.0.self_attn.q_proj.weight";

    #[test]
    fn new_rows_learn_in_both_embeddings_and_nowhere_else() {
        let trained = Trained::new(TrainOnly::NewRows, 32);
        assert_eq!(trained.rows_of(INPUT_EMBEDDING, 40), 32..40);
        assert_eq!(trained.rows_of(OUTPUT_EMBEDDING, 40), 32..40);
        assert!(trained.rows_of(INNER, 40).is_empty());
    }

    #[test]
    fn embeddings_learn_whole() {
        let trained = Trained::new(TrainOnly::Embeddings, 32);
        assert_eq!(trained.rows_of(OUTPUT_EMBEDDING, 40), 0..40);
        assert!(trained.rows_of("model.norm.weight", 1).is_empty());
    }

    #[test]
    fn everything_learns_unless_said_otherwise() {
        assert_eq!(Trained::new(TrainOnly::All, 32).rows_of(INNER, 40), 0..40);
    }
}
