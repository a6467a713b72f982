//! The whole road through the program, from texts to a table: what a newcomer's first command does.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod program;

use program::{Answer, Tensors, Workplace};
use serde_json::Value;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const STAGES: [&str; 9] = [
    "base-tokenizer",
    "base-init",
    "base-data",
    "base",
    "tokenizer",
    "model",
    "data",
    "train",
    "comparison",
];

fn lines_with<'a>(talk: &'a str, part: &str) -> Vec<&'a str> {
    talk.lines().filter(|line| line.starts_with('[') && line.contains(part)).collect()
}

/// Name of the stage in a line such as `[4/9] base: done before`.
fn stage(line: &str) -> &str {
    line.split(['[', ']', ' ', ':']).filter(|part| !part.is_empty()).nth(1).unwrap()
}

#[test]
fn the_quickstart_teaches_a_model_korean_and_shows_what_came_of_it() {
    let place = Workplace::new();
    let line = "quickstart --out first --minutes 0.03";
    let Answer { out, err, .. } = place.done(line);
    let named: Vec<&str> = lines_with(&err, "] ").into_iter().map(stage).collect();
    assert_eq!(named, STAGES, "{err}");
    assert!(lines_with(&err, "done before").is_empty(), "{err}");
    assert_table(&out);
    assert!(
        err.contains("Try next") && err.contains("kollama generate --model first/train"),
        "{err}"
    );
    assert_old_rows_are_kept(&place);
    for folder in ["first/base", "first/model", "first/train"] {
        let verified = place.done(&format!("model verify {folder}")).out;
        assert!(verified.contains("all finite"), "{verified}");
    }
    assert_every_suggestion_works(&place, &err);
    assert_nothing_is_done_twice(&place, line);
}

/// The table has a row for everything that the recipe compares, with two different columns.
fn assert_table(table: &str) {
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let row = |name: &str| {
        let found = rows.iter().find(|row| row[0] == name);
        found.unwrap_or_else(|| panic!("no row {name:?} in\n{table}"))
    };
    assert_eq!(row("vocabulary")[1..], ["1024", "3072"]);
    let numbers = |name: &str| [1, 2].map(|at| row(name)[at].parse::<f64>().unwrap());
    let [before, after] = numbers("tokens per character, Korean");
    assert!(before > 2.0 * after, "Korean needs {before} tokens a character, then {after}");
    let [before, after] = numbers("tokens per character, English");
    assert!((before - after).abs() < 0.01, "English: {before}, then {after}");
    for language in ["Korean", "English"] {
        let bits = numbers(&format!("bits per byte, {language}"));
        assert!(bits.iter().all(|bits| (0.5..16.0).contains(bits)), "{language}: {bits:?}");
    }
    let example = row("안녕하세요, 오늘은 날씨가 좋네요.");
    assert!(example[1].contains("<0x") && example[2].contains(" tokens: "), "{example:?}");
    row("할머니는 시장에서 …");
    row("The old man …");
}

fn assert_old_rows_are_kept(place: &Workplace) {
    let [base, grown, taught] = ["base", "model", "train"]
        .map(|stage| Tensors::read(&place.path(&format!("first/{stage}/model.safetensors"))));
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        assert_eq!((base.rows(name), grown.rows(name), taught.rows(name)), (1024, 3072, 3072));
        let old = base.bytes(name);
        assert!(grown.bytes(name)[..old.len()] == *old, "{name}: an old row was changed");
        assert!(taught.bytes(name) != grown.bytes(name), "{name}: nothing was learned");
    }
    assert_new_rows_are_means(place, &base, &grown);
}

/// A new row is the mean of the rows that its piece was written with before.
fn assert_new_rows_are_means(place: &Workplace, base: &Tensors, grown: &Tensors) {
    let name = "model.embed_tokens.weight";
    let columns = base.bytes(name).len() / 4 / base.rows(name);
    let row = |tensors: &Tensors, id: usize| -> Vec<f32> {
        let bytes = &tensors.bytes(name)[id * columns * 4..][..columns * 4];
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    };
    // A piece that begins a word: its text alone is encoded as the piece alone.
    let encode = |folder: &str, text: &str| -> Vec<usize> {
        let line = format!("tokenizer encode --tokenizer first/{folder} --json");
        let ids = place.run_with(&line, text).json()["ids"].take();
        ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as usize).collect()
    };
    let text = "오늘";
    let (old, new) = (encode("base", text), encode("model", text));
    assert!(old.len() > 1 && new.len() == 1 && new[0] >= 1024, "{old:?} {new:?}");
    let mut mean = vec![0.0; columns];
    for &id in &old {
        mean.iter_mut()
            .zip(row(base, id))
            .for_each(|(sum, x)| *sum += f64::from(x) / old.len() as f64);
    }
    let new = row(grown, new[0]);
    let differs = new.iter().zip(&mean).any(|(x, mean)| (f64::from(*x) - mean).abs() > 1e-7);
    assert!(!differs, "{new:?} is not {mean:?}");
}

/// Whatever the program says to try next can be tried.
fn assert_every_suggestion_works(place: &Workplace, talk: &str) {
    let suggestions: Vec<&str> =
        talk.lines().filter_map(|line| line.strip_prefix("  kollama ")).collect();
    assert!(suggestions.len() >= 3, "{talk}");
    for suggestion in suggestions {
        let answer = place.shell(&format!("\"$KOLLAMA\" {suggestion}"));
        assert_eq!(answer.code, Some(0), "kollama {suggestion}\n{}", answer.err);
        assert!(!answer.out.trim().is_empty(), "kollama {suggestion}");
    }
}

fn assert_nothing_is_done_twice(place: &Workplace, line: &str) {
    let before = place.contents();
    let Answer { out, err, .. } = place.done(line);
    assert_eq!(lines_with(&err, ": done before").len(), STAGES.len(), "{err}");
    assert_eq!(place.contents(), before);
    assert_table(&out);
    let again = place.done(&format!("{line} --threads 1"));
    assert_eq!(lines_with(&again.err, ": done before").len(), STAGES.len(), "{}", again.err);
}

#[test]
fn a_stage_is_done_again_when_what_it_was_made_from_has_changed() {
    let place = Workplace::new();
    place.done("quickstart --out first --minutes 0.008");
    // Another number of steps: both trainings, and what comes after the first, but no tokenizer.
    let other = place.done("quickstart --out first --minutes 0.016").err;
    let skipped: Vec<&str> = lines_with(&other, ": done before").into_iter().map(stage).collect();
    assert_eq!(skipped, ["base-tokenizer", "base-init", "base-data"], "{other}");
    // `run` on the recipe that was laid out begins again where it is told to, and ends there too.
    let run = "run first/sample/recipes/quickstart.toml --out second";
    let first = place.done(&format!("{run} --to base-init")).err;
    assert_eq!(lines_with(&first, "] ").len(), 2, "{first}");
    let again = place.done(&format!("{run} --from base-init --to base-data")).err;
    let done: Vec<&str> = lines_with(&again, "] ").into_iter().map(stage).collect();
    assert_eq!(done, ["base-tokenizer", "base-init", "base-data"], "{again}");
    assert_eq!(lines_with(&again, ": done before").len(), 1, "{again}");
}

#[test]
fn every_recipe_of_the_project_can_be_checked() {
    let place = Workplace::new();
    let mut recipes: Vec<_> = std::fs::read_dir(Path::new(ROOT).join("recipes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    recipes.sort();
    assert!(recipes.len() >= 3, "{recipes:?}");
    for recipe in recipes {
        let before = place.contents();
        let plan = place.run_with("run --check", recipe.to_str().unwrap());
        assert_eq!(plan.code, Some(0), "{}: {}", recipe.display(), plan.err);
        let name = recipe.file_stem().unwrap().to_str().unwrap();
        assert!(plan.out.starts_with(name), "{}", plan.out);
        for line in ["vocabulary", "parameters", "memory", "time", "disk"] {
            assert!(plan.out.contains(&format!("  {line}")), "{line} is not in {}", plan.out);
        }
        assert_eq!(place.contents(), before, "a check writes nothing");
    }
}

#[test]
fn the_plan_of_the_model_card_says_what_it_takes_and_what_is_to_be_provided() {
    let place = Workplace::new();
    let recipe = Path::new(ROOT).join("recipes/llama-2-ko-7b.toml");
    let plan = place.run_with("run --check", recipe.to_str().unwrap()).out;
    assert!(plan.contains("32000 -> 46336"), "{plan}");
    assert!(plan.contains("20000 steps of 2097152 tokens"), "{plan}");
    let (_, missing) = plan.split_once("To be provided").unwrap_or_else(|| panic!("{plan}"));
    for path in ["models/Llama-2-7b-hf", "corpus/korean", "data/kobest"] {
        assert!(missing.contains(path), "{path}: {missing}");
    }
    // Going ahead all the same fails with the first thing that is missing, and leaves no model.
    let answer = place.run_with("run --out run", recipe.to_str().unwrap());
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.err.contains("kollama: ") && answer.err.contains("Llama-2-7b-hf"),
        "{}",
        answer.err
    );
    assert!(!place.path("run/model").exists());
}

#[test]
fn a_run_in_a_damaged_folder_says_what_to_remove() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("first")).unwrap();
    place.write("first/stages.json", "{");
    let answer = place.run("quickstart --out first --minutes 0.008");
    assert_eq!(answer.code, Some(1));
    assert!(answer.err.contains("first/stages.json is damaged"), "{}", answer.err);
}

#[test]
fn the_comparison_is_left_as_json_too() {
    let place = Workplace::new();
    let table = place.done("quickstart --out first --minutes 0.008").out;
    let left: Value =
        serde_json::from_slice(&place.read("first/comparison/comparison.json")).unwrap();
    let rows = left["rows"].as_array().unwrap();
    assert_eq!(rows.len() + 2, table.lines().count());
    for row in rows {
        assert!(table.contains(row["what"].as_str().unwrap()), "{row}");
    }
    assert_eq!(String::from_utf8(place.read("first/comparison/comparison.md")).unwrap(), table);
}
