//! The tasks there are, by name. Each file beside this one turns one family of data into [`Task`]s.

pub mod arc;
pub mod drop;
pub mod gsm8k;
pub mod hellaswag;
pub mod kobest;
pub mod leaderboard;
pub mod mmlu;
mod nested;
mod splits;
pub mod truthfulqa;
pub mod winogrande;

use crate::error::HarnessError;
use crate::mode::Mode;
use crate::source::DataSource;
use crate::task::Task;

type Load = fn(Mode, &DataSource) -> Result<Task, HarnessError>;

const TASKS: [(&str, Load); 2] =
    [(kobest::COPA, kobest::copa), (kobest::SENTINEG, kobest::sentineg)];

/// The names that [`load`] knows.
pub fn names() -> Vec<&'static str> {
    let ours = TASKS.iter().map(|(name, _)| *name);
    ours.chain(leaderboard::TASKS.iter().map(|(name, _)| *name)).collect()
}

/// Reads the data of what is called `name`: one task, or all of a group.
pub fn load(name: &str, mode: Mode, data: &DataSource) -> Result<Vec<Task>, HarnessError> {
    if let Some(tasks) = leaderboard::load(name, mode, data)? {
        return Ok(tasks);
    }
    match TASKS.iter().find(|(known, _)| *known == name) {
        Some((_, load)) => Ok(vec![load(mode, data)?]),
        None => Err(HarnessError::UnknownTask { name: name.to_owned(), known: names() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_task_is_answered_with_the_names_there_are() {
        let message =
            load("kobest_cop", Mode::Polyglot, &DataSource::hub()).unwrap_err().to_string();
        let expected = "no task is called \"kobest_cop\"; there are kobest_copa, kobest_sentineg";
        assert!(message.starts_with(expected), "{message}");
        assert!(message.contains("mmlu, "), "{message}");
    }
}
