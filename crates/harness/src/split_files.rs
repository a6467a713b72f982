//! Which files of a data set hold a split, told from names alone: those that its card gives
//! (`card.rs`), else those that are named as such files are. Reads nothing.
//!
//! In a folder, the split `test` is the first there is of
//! - `test.jsonl`, or another ending that is read,
//! - `test-00000-of-00003.parquet` and its other parts,
//! - all files in a folder `test`.

use crate::data_error::DataError;
use crate::row_files;
use std::path::PathBuf;

/// The files of the first of `stems` that is found in the first of `folders` that has any; none
/// where no folder has. Folders and names are below the data set, with `/` between.
pub fn in_folders(names: &[String], folders: &[String], stems: &[&str]) -> Option<Vec<String>> {
    let found = folders.iter().flat_map(|folder| {
        let here = below(names, folder);
        stems.iter().filter_map(move |stem| split(&here, stem))
    });
    found.into_iter().next()
}

/// The folders of a data set in which files of its part `config` are looked for.
pub fn usual_folders(config: Option<&str>) -> Vec<String> {
    let own = config.into_iter().flat_map(|config| [config.to_owned(), format!("data/{config}")]);
    own.chain([".", "data", "default"].map(str::to_owned)).collect()
}

/// Sees to it that where one numbered part of a split is there, all of them are.
pub fn check_parts(found: &[String]) -> Result<(), DataError> {
    for name in found {
        let Some((start, _, count)) = part(name) else { continue };
        for number in 0..count {
            let begins = format!("{}-{number:05}-of-{count:05}", &name[..start]);
            if !found.iter().any(|other| other.starts_with(&begins)) {
                let ending = &name[start + begins.len() - start..];
                return Err(DataError::MissingPart { path: PathBuf::from(begins + ending) });
            }
        }
    }
    Ok(())
}

/// What names look like, for whoever is told that there is none.
pub fn described(stems: &[&str]) -> Vec<String> {
    let endings = row_files::endings();
    let each = |stem: &&str| [format!("{stem}.{endings}"), format!("{stem}-00000-of-….{endings}")];
    stems.iter().flat_map(each).collect()
}

/// The readable names below `folder`, without it.
fn below<'n>(names: &'n [String], folder: &str) -> Vec<(&'n String, &'n str)> {
    let folder = folder.trim_start_matches("./").trim_end_matches('/');
    let prefix =
        if folder.is_empty() || folder == "." { String::new() } else { format!("{folder}/") };
    let inside = names.iter().filter_map(|name| Some((name, name.strip_prefix(&prefix)?)));
    inside.filter(|(_, rest)| row_files::is_readable(rest)).collect()
}

/// The files of one split among the names of a folder.
fn split(here: &[(&String, &str)], stem: &str) -> Option<Vec<String>> {
    let whole = row_files::in_order_of_endings(stem);
    let whole = whole.iter().filter_map(|name| here.iter().find(|(_, rest)| rest == name));
    if let Some((name, _)) = whole.into_iter().next() {
        return Some(vec![(*name).clone()]);
    }
    let is_part = |rest: &str| part(rest).is_some_and(|(start, _, _)| &rest[..start] == stem);
    let is_inside = |rest: &str| {
        let inside = rest.strip_prefix(stem).and_then(|rest| rest.strip_prefix('/'));
        inside.is_some_and(|rest| !rest.contains('/'))
    };
    let tests: [&dyn Fn(&str) -> bool; 2] = [&is_part, &is_inside];
    tests.into_iter().find_map(|test| {
        let files = here.iter().filter(|(_, rest)| test(rest)).map(|(name, _)| (*name).clone());
        let mut files: Vec<String> = files.collect();
        files.sort();
        (!files.is_empty()).then_some(files)
    })
}

/// Where `-00001-of-00003` begins in a name, and its two numbers.
fn part(name: &str) -> Option<(usize, usize, usize)> {
    let start = name.rfind("-of-")?.checked_sub(6)?;
    let number = name.get(start + 1..start + 6)?.parse().ok()?;
    let count = name.get(start + 10..start + 15)?.parse().ok()?;
    (name.get(start..=start)? == "-").then_some((start, number, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn found(all: &[&str], folders: &[&str], stems: &[&str]) -> Option<Vec<String>> {
        in_folders(&names(all), &names(folders), stems)
    }

    #[test]
    fn folders_are_looked_at_in_their_order_and_names_within() {
        let all = ["dev.tsv", "COPA/dev.tsv.zst", "COPA/README.md", "kobest/COPA/validation.csv"];
        let stems = ["validation", "dev"];
        let first = |folders: &[&str]| found(&all, folders, &stems).map(|files| files[0].clone());
        assert_eq!(first(&["nowhere", "COPA", "."]).unwrap(), "COPA/dev.tsv.zst");
        assert_eq!(first(&["./kobest/COPA/", "COPA"]).unwrap(), "kobest/COPA/validation.csv");
        assert_eq!(first(&["."]).unwrap(), "dev.tsv");
        assert_eq!(first(&["kobest"]), None);
    }

    #[test]
    fn parts_are_taken_in_their_order_and_hashes_after_them_do_not_matter() {
        let all = [
            "data/train-00001-of-00002-5e.parquet",
            "data/train-00000-of-00002-af.parquet",
            "data/retrain-00000-of-00001.parquet",
        ];
        let found = found(&all, &["data"], &["train"]).unwrap();
        assert_eq!(found, ["data/train-00000-of-00002-af.parquet", all[0]]);
        check_parts(&found).unwrap();
        let message = check_parts(&names(&all[..1])).unwrap_err().to_string();
        assert!(
            message.starts_with("data/train-00000-of-00002-5e.parquet is missing"),
            "{message}"
        );
    }

    #[test]
    fn a_folder_may_be_a_split() {
        let all = ["copa/test/0001.parquet", "copa/test/0000.parquet", "copa/test/old/0.parquet"];
        let found = found(&all, &["copa"], &["test"]).unwrap();
        assert_eq!(found, ["copa/test/0000.parquet", "copa/test/0001.parquet"]);
    }

    #[test]
    fn what_cannot_be_read_is_no_split() {
        assert_eq!(found(&["test.arrow", "test", "test.md"], &["."], &["test"]), None);
    }

    #[test]
    fn a_part_of_a_data_set_has_a_folder_of_its_own_first() {
        assert_eq!(usual_folders(Some("copa"))[..3], ["copa", "data/copa", "."]);
        assert_eq!(usual_folders(None)[..2], [".", "data"]);
    }
}
