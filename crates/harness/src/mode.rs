//! The three protocols that results can follow. What each of them does differently stands where it
//! is done: order and shots in [`crate::shots`], ids in [`crate::requests`], prompts in the tasks.

use crate::error::HarnessError;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Which harness a result equals, request by request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The Korean branch of lm-evaluation-harness (2023) that the model card was made with.
    Polyglot,
    /// lm-evaluation-harness at b281b09, which the first Open LLM Leaderboard was pinned to.
    LeaderboardV1,
    /// lm-evaluation-harness 0.4.13.
    LmEval,
}

/// What Python's generators are seeded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeds {
    /// Of the generator that shuffles documents; none where they keep the order of their file.
    pub documents: Option<u64>,
    /// Of the generator that draws shots. Where documents are shuffled it is the same generator,
    /// which goes on.
    pub shots: u64,
    /// Of the first chunk of resamples; each later chunk adds one.
    pub bootstrap: u64,
}

impl Mode {
    /// All of them, the oldest first.
    pub const ALL: [Mode; 3] = [Mode::Polyglot, Mode::LeaderboardV1, Mode::LmEval];

    /// The name on the command line and in result files.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Polyglot => "polyglot",
            Mode::LeaderboardV1 => "leaderboard-v1",
            Mode::LmEval => "lm-eval",
        }
    }

    /// The seeds this protocol prescribes.
    pub fn seeds(self) -> Seeds {
        match self {
            Mode::Polyglot | Mode::LeaderboardV1 => {
                Seeds { documents: Some(42), shots: 42, bootstrap: 0 }
            }
            Mode::LmEval => Seeds { documents: None, shots: 1234, bootstrap: 0 },
        }
    }
}

impl FromStr for Mode {
    type Err = HarnessError;

    fn from_str(name: &str) -> Result<Mode, HarnessError> {
        let found = Mode::ALL.into_iter().find(|mode| mode.name() == name);
        found.ok_or_else(|| HarnessError::UnknownMode { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_by_the_name_it_is_written_with() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse::<Mode>().unwrap(), mode);
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        }
        let message = "lm_eval".parse::<Mode>().unwrap_err().to_string();
        assert!(message.contains("\"lm_eval\"") && message.contains("leaderboard-v1"), "{message}");
    }
}
