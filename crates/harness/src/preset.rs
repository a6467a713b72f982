//! Sets of tasks and numbers of shots that published tables are made of.

use crate::mode::Mode;

/// What a published table asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The protocol it was computed with.
    pub mode: Mode,
    /// Tasks, or groups of them, each with its numbers of shots.
    pub tasks: &'static [(&'static str, &'static [usize])],
}

const CARD: &[usize] = &[0, 5, 10, 50];

/// The Korean half of the model card of Llama-2-Ko, and NSMC, the row it leaves open.
pub const LLAMA_2_KO_CARD: Preset = Preset {
    mode: Mode::Polyglot,
    tasks: &[
        ("kobest_copa", CARD),
        ("kobest_hellaswag", CARD),
        ("kobest_boolq", CARD),
        ("kobest_sentineg", CARD),
        ("nsmc", CARD),
    ],
};

/// The first Open LLM Leaderboard, as its last version before June 2024 was.
pub const OPEN_LLM_LEADERBOARD: Preset = Preset {
    mode: Mode::LeaderboardV1,
    tasks: &[
        ("arc_challenge", &[25]),
        ("hellaswag", &[10]),
        ("mmlu", &[5]),
        ("truthfulqa_mc", &[0]),
        ("winogrande", &[5]),
        ("gsm8k", &[5]),
        ("drop", &[3]),
    ],
};
