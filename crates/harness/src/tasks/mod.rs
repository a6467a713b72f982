//! The tasks there are, by name: files that are part of the program, files of the user, and those
//! that no file can say, each family in a file beside this one.

pub mod arc;
pub mod drop;
pub mod gsm8k;
pub mod hellaswag;
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
use crate::task_documents;
use crate::task_file::TaskFile;
use std::path::Path;

/// Tasks that are files, each with its name.
const FILES: [(&str, &str); 6] = [
    ("kobest_boolq", include_str!("../../tasks/kobest_boolq.toml")),
    ("kobest_copa", include_str!("../../tasks/kobest_copa.toml")),
    ("kobest_hellaswag", include_str!("../../tasks/kobest_hellaswag.toml")),
    ("kobest_sentineg", include_str!("../../tasks/kobest_sentineg.toml")),
    ("kobest_wic", include_str!("../../tasks/kobest_wic.toml")),
    ("nsmc", include_str!("../../tasks/nsmc.toml")),
];

/// Names that stand for several tasks: all whose names begin so.
const GROUPS: [&str; 1] = ["kobest"];

/// The names that [`load`] knows, beside paths of files.
pub fn names() -> Vec<&'static str> {
    let leaderboard = leaderboard::TASKS.iter().map(|(name, _)| *name);
    FILES.iter().map(|(name, _)| *name).chain(GROUPS).chain(leaderboard).collect()
}

/// Refuses a name that [`load`] does not know, and a file that it could not read.
pub fn check(name: &str) -> Result<(), HarnessError> {
    if is_path(name) {
        return task_documents::check(&TaskFile::read(Path::new(name))?);
    }
    let unknown = || HarnessError::UnknownTask { name: name.to_owned(), known: names() };
    let is_known = names().contains(&name) || mmlu::subject(name).is_some();
    is_known.then_some(()).ok_or_else(unknown)
}

/// Reads the data of what is called `name`: one task, all of a group, or a task file (a path that
/// ends in `.toml`).
pub fn load(name: &str, mode: Mode, data: &DataSource) -> Result<Vec<Task>, HarnessError> {
    check(name)?;
    if is_path(name) {
        return Ok(vec![task_documents::load(&TaskFile::read(Path::new(name))?, mode, data)?]);
    }
    if let Some(tasks) = leaderboard::load(name, mode, data)? {
        return Ok(tasks);
    }
    let is_asked = |known: &str| {
        known == name || GROUPS.contains(&name) && known.starts_with(&format!("{name}_"))
    };
    let files = FILES.iter().filter(|(known, _)| is_asked(known));
    let tasks = files.map(|(known, text)| {
        let file = TaskFile::parse(text, &format!("{known}.toml"))?;
        task_documents::load(&file, mode, data)
    });
    tasks.collect()
}

fn is_path(name: &str) -> bool {
    name.ends_with(".toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_task_is_answered_with_the_names_there_are() {
        let message = load("kobest_cop", Mode::Polyglot, &DataSource::hub()).unwrap_err();
        let message = message.to_string();
        assert!(message.starts_with("no task is called \"kobest_cop\"; there are kobest_boolq, "));
        assert!(message.contains(", nsmc, kobest, ") && message.contains("mmlu, "), "{message}");
    }

    #[test]
    fn every_file_that_is_part_of_the_program_has_the_name_it_is_known_by() {
        for (name, text) in FILES {
            assert_eq!(TaskFile::parse(text, name).unwrap().name, name);
        }
    }
}
