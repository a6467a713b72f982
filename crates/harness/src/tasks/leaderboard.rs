//! The tasks of the first Open LLM Leaderboard by name, with the shots it asked them with.

use super::{arc, drop, gsm8k, hellaswag, mmlu, truthfulqa, winogrande};
use crate::error::HarnessError;
use crate::mode::Mode;
use crate::source::DataSource;
use crate::task::Task;

/// Names and numbers of shots, in the order of the leaderboard. A subject of MMLU has a name of its
/// own too: `mmlu_anatomy`.
pub const TASKS: [(&str, usize); 9] = [
    (arc::NAME, 25),
    (hellaswag::NAME, 10),
    (mmlu::NAME, 5),
    (truthfulqa::BOTH, 0),
    (truthfulqa::MC1, 0),
    (truthfulqa::MC2, 0),
    (winogrande::NAME, 5),
    (gsm8k::NAME, 5),
    (drop::NAME, 3),
];

/// The tasks that `name` stands for; none where it is not one of the leaderboard's.
pub fn load(name: &str, mode: Mode, data: &DataSource) -> Result<Option<Vec<Task>>, HarnessError> {
    if let Some(subject) = mmlu::subject(name) {
        return mmlu::load(&[subject], mode, data).map(Some);
    }
    let one = match name {
        arc::NAME => arc::load(mode, data),
        hellaswag::NAME => hellaswag::load(mode, data),
        mmlu::NAME => return mmlu::load(&mmlu::SUBJECTS, mode, data).map(Some),
        truthfulqa::BOTH | truthfulqa::MC1 | truthfulqa::MC2 => truthfulqa::load(name, mode, data),
        winogrande::NAME => winogrande::load(mode, data),
        gsm8k::NAME => gsm8k::load(mode, data),
        drop::NAME => drop::load(mode, data),
        _ => return Ok(None),
    };
    one.map(|task| Some(vec![task]))
}
