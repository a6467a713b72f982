//! The card of a data set, a `README.md` that begins with YAML: which files it says hold a split.

use crate::row_files;
use glob::{MatchOptions, Pattern};
use saphyr::{LoadableYamlNode, Yaml};

/// The name of a card's file.
pub const NAME: &str = "README.md";

/// A star is about one folder, as where cards are read otherwise.
const STARS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The files among `names` that hold the first of `stems` which the part `config` has; none where
/// the card does not say it. A card that cannot be understood says nothing.
pub fn files(
    card: &str,
    config: Option<&str>,
    names: &[String],
    stems: &[&str],
) -> Option<Vec<String>> {
    let documents = Yaml::load_from_str(front_matter(card)?).ok()?;
    let configs = documents.first()?.as_mapping_get("configs")?.as_vec()?;
    let chosen = chosen(configs, config)?;
    let patterns = stems.iter().find_map(|stem| patterns(chosen, stem))?;
    let matching = |pattern: &Pattern, name: &str| {
        row_files::is_readable(name) && pattern.matches_with(name, STARS)
    };
    let found = names.iter().filter(|name| patterns.iter().any(|it| matching(it, name)));
    let found: Vec<String> = found.cloned().collect();
    (!found.is_empty()).then_some(found)
}

/// What stands between the first line `---` and the next.
fn front_matter(card: &str) -> Option<&str> {
    let card = card.strip_prefix("---")?;
    card.find("\n---").map(|end| &card[..end])
}

fn name<'y>(config: &'y Yaml<'_>) -> Option<&'y str> {
    config.as_mapping_get("config_name")?.as_str()
}

/// The part of this name; without a name, the one that says it is meant then, or the only one.
fn chosen<'y>(configs: &'y [Yaml<'y>], asked: Option<&str>) -> Option<&'y Yaml<'y>> {
    let is_default = |config: &&Yaml<'_>| {
        let marked = config.as_mapping_get("default").and_then(Yaml::as_bool);
        marked == Some(true) || name(config) == Some("default")
    };
    match (asked, configs) {
        (Some(asked), _) => configs.iter().find(|config| name(config) == Some(asked)),
        (None, [only]) => Some(only),
        (None, _) => configs.iter().find(is_default),
    }
}

/// The patterns of one split: `data_files` may be one or several of them, which then are the train
/// split, or say for each split which.
fn patterns(config: &Yaml<'_>, split: &str) -> Option<Vec<Pattern>> {
    let files = config.as_mapping_get("data_files")?;
    let folder = config.as_mapping_get("data_dir").and_then(Yaml::as_str);
    let paths = match files.as_vec().map(Vec::as_slice) {
        Some(each @ [first, ..]) if first.as_mapping_get("path").is_some() => {
            let is_split =
                |it: &&Yaml<'_>| it.as_mapping_get("split").and_then(Yaml::as_str) == Some(split);
            texts(each.iter().find(is_split)?.as_mapping_get("path")?)
        }
        _ if files.as_mapping().is_some() => texts(files.as_mapping_get(split)?),
        _ if split == "train" => texts(files),
        _ => return None,
    };
    let below = |path: &str| match folder {
        Some(folder) => format!("{}/{path}", folder.trim_end_matches('/')),
        None => path.trim_start_matches("./").to_owned(),
    };
    paths.into_iter().map(|path| Pattern::new(&below(path)).ok()).collect()
}

/// A text, or all texts of a list.
fn texts<'y>(value: &'y Yaml<'_>) -> Vec<&'y str> {
    match value.as_vec() {
        Some(values) => values.iter().filter_map(Yaml::as_str).collect(),
        None => value.as_str().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "---\n\
        language:\n- ko\n\
        dataset_info:\n- config_name: copa\n  features:\n  - name: label\n    dtype:\n      \
        class_label:\n        names:\n          '0': alternative_1\n\
        configs:\n\
        - config_name: copa\n  data_files:\n  - split: train\n    path: copa/train-*\n  \
        - split: test\n    path:\n    - copa/test-*\n    - more/*.jsonl\n\
        - config_name: wic\n  data_dir: words\n  data_files: '*.csv'\n  default: true\n\
        - config_name: map\n  data_files:\n    test: '**/all.json'\n\
        ---\n# Words\n";

    fn found(config: Option<&str>, stems: &[&str]) -> Option<Vec<String>> {
        let names = [
            "README.md",
            "copa/train-00000-of-00001.parquet",
            "copa/test-00000-of-00001.parquet",
            "more/a.jsonl",
            "more/deep/b.jsonl",
            "words/a.csv",
            "deep/er/all.json",
        ];
        files(CARD, config, &names.map(str::to_owned), stems)
    }

    #[test]
    fn the_card_names_files_by_part_and_split() {
        let train = found(Some("copa"), &["train"]).unwrap();
        assert_eq!(train, ["copa/train-00000-of-00001.parquet"]);
        let test = found(Some("copa"), &["validation", "test"]).unwrap();
        assert_eq!(test, ["copa/test-00000-of-00001.parquet", "more/a.jsonl"]);
        assert_eq!(found(Some("map"), &["test"]).unwrap(), ["deep/er/all.json"]);
    }

    #[test]
    fn without_a_name_the_part_that_is_meant_then_is_taken() {
        assert_eq!(found(None, &["train"]).unwrap(), ["words/a.csv"]);
    }

    #[test]
    fn what_the_card_does_not_say_is_left_to_names() {
        assert_eq!(found(Some("boolq"), &["train"]), None);
        assert_eq!(found(Some("copa"), &["dev"]), None);
        for card in ["", "# No card\n", "---\nconfigs: [\n---\n", "---\nconfigs: 3\n---\n"] {
            assert_eq!(files(card, None, &["train.csv".to_owned()], &["train"]), None, "{card:?}");
        }
    }
}
