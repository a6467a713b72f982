//! The rules of the house, checked: arrows go down, no circles, `unsafe` stays in its rooms, names
//! say something. What has outgrown its room is printed, and the reader decides.

#![allow(clippy::unwrap_used)] // A house that cannot be read has failed its test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate and the crates it may know: only rooms on lower floors.
const FLOORS: [(&str, &[&str]); 9] = [
    ("hub", &[]),
    ("tokenizer", &[]),
    ("kernels", &[]),
    ("corpus", &["tokenizer"]),
    ("llama", &["kernels"]),
    ("trainer", &["llama", "corpus", "kernels"]),
    ("engine", &["llama", "tokenizer", "kernels"]),
    ("harness", &["engine", "hub"]),
    ("server", &["engine"]),
];

const NAMES_THAT_SAY_NOTHING: [&str; 9] =
    ["utils", "util", "common", "helpers", "helper", "misc", "core", "base", "manager"];

/// From here on a file or a function is printed.
const LINES_OF_A_FILE: usize = 600;
const LINES_OF_A_FUNCTION: usize = 60;

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The part before the unit tests, which stand at the foot of a file.
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn is_test(&self) -> bool {
        self.path
            .components()
            .any(|part| ["tests", "benches"].iter().any(|&t| part.as_os_str() == t))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for top in ["src", "crates", "tests"] {
        collect(&root().join(top), &mut found);
    }
    assert!(found.len() > 20, "the house has been moved: only {} files found", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_path_buf();
            found.push(Source { path, text });
        }
    }
}

#[test]
fn every_file_says_in_its_first_line_what_it_is() {
    for source in sources() {
        let first = source.text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! ") && first.len() > 20,
            "{}: {first:?}",
            source.path.display()
        );
    }
}

#[test]
fn names_say_something() {
    for source in sources() {
        let stem = source.path.file_stem().unwrap().to_str().unwrap();
        assert!(!NAMES_THAT_SAY_NOTHING.contains(&stem), "{}", source.path.display());
    }
}

#[test]
fn crates_know_only_lower_floors() {
    let crates: BTreeSet<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let planned = FLOORS.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(crates, planned, "every crate needs a floor");
    for (name, allowed) in FLOORS {
        let manifest =
            fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
        let dependencies = dependencies.split("\n[").next().unwrap();
        for known in dependencies.lines().filter_map(|line| line.strip_prefix("kollama-")) {
            let known = known.split(['.', ' ']).next().unwrap();
            assert!(allowed.contains(&known), "{name} must not know {known}");
        }
    }
}

#[test]
fn no_two_files_of_a_crate_import_each_other_in_a_circle() {
    for (name, _) in FLOORS {
        assert_no_circle(&Path::new("crates").join(name).join("src"));
    }
    assert_no_circle(Path::new("src"));
}

fn assert_no_circle(folder: &Path) {
    let files: BTreeMap<String, Source> = sources()
        .into_iter()
        .filter(|source| source.path.starts_with(folder))
        .map(|source| (module_of(source.path.strip_prefix(folder).unwrap()), source))
        .collect();
    let arrows: BTreeMap<&str, BTreeSet<&str>> = files
        .iter()
        .filter(|(module, _)| !module.is_empty())
        .map(|(module, source)| (module.as_str(), imports(module, source, &files)))
        .collect();
    for start in arrows.keys() {
        let mut path = vec![*start];
        assert!(
            !returns_to(start, start, &arrows, &mut path, &mut BTreeSet::new()),
            "{}: a circle: {}",
            folder.display(),
            path.join(" -> ")
        );
    }
}

/// `cpu/matmul.rs` is `cpu::matmul`, `cpu/mod.rs` is `cpu`, the crate's root is the empty string.
fn module_of(path: &Path) -> String {
    let path = path.with_extension("");
    let mut parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    if ["mod", "lib", "main"].contains(parts.last().unwrap()) {
        parts.pop();
    }
    parts.join("::")
}

fn imports<'a>(
    module: &str,
    source: &Source,
    files: &'a BTreeMap<String, Source>,
) -> BTreeSet<&'a str> {
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let code: String = source
        .code()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for (marker, prefix) in [("crate::", ""), ("super::", parent)] {
        for (at, _) in code.match_indices(marker) {
            for path in paths(&code[at + marker.len()..]) {
                let full = if prefix.is_empty() { path } else { format!("{prefix}::{path}") };
                let target =
                    files.keys().filter(|known| is_prefix(known, &full)).max_by_key(|k| k.len());
                found.extend(
                    target
                        .map(String::as_str)
                        .filter(|&known| known != module && !known.is_empty()),
                );
            }
        }
    }
    found
}

/// The paths that follow `crate::`: one, or one per name in braces.
fn paths(rest: &str) -> Vec<String> {
    let end =
        rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
    let stem = rest[..end].trim_end_matches(':');
    let Some(group) = rest[end..].strip_prefix('{') else { return vec![stem.to_owned()] };
    let group = &group[..group.find('}').unwrap_or(group.len())];
    let names = group.split(',').map(|name| name.trim().split(['{', ' ']).next().unwrap_or(""));
    names
        .map(|name| if stem.is_empty() { name.to_owned() } else { format!("{stem}::{name}") })
        .collect()
}

fn is_prefix(module: &str, path: &str) -> bool {
    path == module || path.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"))
}

fn returns_to<'a>(
    goal: &str,
    from: &'a str,
    arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    path: &mut Vec<&'a str>,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    for next in &arrows[from] {
        path.push(next);
        if *next == goal || (seen.insert(next) && returns_to(goal, next, arrows, path, seen)) {
            return true;
        }
        path.pop();
    }
    false
}

#[test]
fn unsafe_stays_in_the_kernels_and_the_mapping_and_says_why_it_is_safe() {
    let keyword = concat!("un", "safe");
    for source in sources() {
        let path = source.path.display().to_string();
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in source.lines() {
            let code = line.split("//").next().unwrap_or_default();
            let is_block = code.contains(&format!("{keyword} {{"))
                || code.contains(&format!("{keyword} impl"));
            let is_function = code.contains(&format!("{keyword} fn"));
            if !is_block && !is_function {
                continue;
            }
            let allowed =
                path.starts_with("crates/kernels") || path == "crates/corpus/src/mapped.rs";
            assert!(allowed, "{path}:{number}: {keyword} outside its rooms");
            let above = lines[number.saturating_sub(16)..number].join("\n");
            let reason = if is_block { "SAFETY:" } else { "Safety" };
            let of_a_trait = is_function && is_inside_trait_impl(&lines[..number]);
            let typed = is_function && above.contains("target_feature");
            assert!(
                of_a_trait || typed || above.contains(reason) || above.contains("SAFETY:"),
                "{path}:{number}: no {reason} line"
            );
        }
    }
}

/// The trait says what its unsafe functions ask for; its implementations need not say it again.
fn is_inside_trait_impl(above: &[&str]) -> bool {
    let opening = above.iter().rev().find(|line| line.starts_with("impl"));
    opening.is_some_and(|line| line.contains(" for "))
}

#[test]
fn nothing_unwraps_outside_tests() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.lines() {
            let code = line.split("//").next().unwrap_or_default();
            assert!(!code.contains(".unwrap()"), "{}:{number}: {line}", source.path.display());
        }
    }
}

#[test]
fn sizes_are_felt() {
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let room =
            source.path.iter().take(2).map(|p| p.to_str().unwrap()).collect::<Vec<_>>().join("/");
        let room = if room.starts_with("src") { "src".to_owned() } else { room };
        *lines.entry(room).or_default() += source.code().lines().count();
        report_large(source);
    }
    for (room, count) in &lines {
        println!("{count:6} lines in {room}");
    }
    assert_eq!(lines.len(), FLOORS.len() + 1, "a room without code, or code without a room");
}

fn report_large(source: &Source) {
    let total = source.text.lines().count();
    if total > LINES_OF_A_FILE {
        println!("{}: {total} lines", source.path.display());
    }
    let mut open: Option<(usize, String, usize)> = None;
    for (number, line) in source.lines() {
        let indent = line.len() - line.trim_start().len();
        if open.is_none()
            && line.contains("fn ")
            && line.ends_with('{')
            && !line.trim().starts_with("//")
        {
            open = Some((number, line.trim().to_owned(), indent));
        }
        let closes = |indent_of_function: usize| line.trim() == "}" && indent == indent_of_function;
        if let Some((start, name, _)) = open.take_if(|(_, _, indent)| closes(*indent))
            && number - start > LINES_OF_A_FUNCTION
        {
            println!("{}:{start}: {} lines: {name}", source.path.display(), number - start);
        }
    }
}
