//! One TOML file is one run. An unknown field is an error; paths count from the recipe's folder,
//! and `$KOLLAMA_DATA` at the beginning of a path stands for the folder of test data.

use anyhow::{Context, Result, bail};
use kollama_trainer::TrainSettings;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// A whole run: where the model comes from, how it is extended, what it reads, how it is measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Names the folder of the run.
    pub name: String,
    /// The model to teach.
    pub base: Base,
    /// How its vocabulary grows.
    pub tokenizer: Extension,
    /// What new rows start as.
    pub model: NewRows,
    /// What it reads.
    pub data: Data,
    /// How it learns: the words of `kollama train` (`learning_rate` for `--lr`).
    pub train: toml::Table,
    /// How before and after are compared.
    pub comparison: Comparison,
}

/// Either a model folder, or how to make a small one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// A Hugging Face folder with weights and tokenizer.
    pub model: Option<PathBuf>,
    /// What the model is (or shall be): a name known to `kollama model init`, or a config.json.
    pub config: String,
    /// Seed of the random weights of a model made here.
    #[serde(default)]
    pub seed: u64,
    /// Tokenizer of a model made here …
    pub tokenizer: Option<PathBuf>,
    /// … or how many pieces to learn for it from `data.sources`.
    pub vocab_size: Option<usize>,
    /// What a model made here reads.
    pub data: Option<Data>,
    /// How a model made here learns.
    pub train: Option<toml::Table>,
}

/// How the vocabulary grows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Texts in the new language.
    pub corpus: Vec<PathBuf>,
    /// Ids in the result, the old ones included.
    pub vocab_size: usize,
    /// Unicode script that a new piece must hold a character of.
    #[serde(default = "hangul")]
    pub script: String,
}

/// What new rows start as.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRows {
    /// `mean-of-pieces`, `mean` or `random`.
    pub init: crate::choices::RowInit,
    /// Seed of the random draws.
    #[serde(default)]
    pub seed: u64,
}

/// Texts and the rows they are packed into.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Files and folders.
    pub sources: Vec<PathBuf>,
    /// Ids in a row.
    pub sequence_length: usize,
    /// `join` (one stream) or `confine` (attention inside each document).
    #[serde(default)]
    pub documents: crate::choices::Documents,
}

/// How before and after are compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Texts that were not learned from, by language.
    pub held_out: Vec<HeldOut>,
    /// At most this many bytes of each are measured.
    pub bytes: usize,
    /// A sentence shown in both tokenisations.
    pub example: String,
    /// Texts to continue.
    pub prompts: Vec<String>,
    /// Length of the continuations.
    pub max_new_tokens: usize,
    /// Tasks of `kollama eval`, if any.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// Shots of the tasks.
    #[serde(default)]
    pub shots: Vec<usize>,
    /// Where their data lies.
    pub task_data: Option<PathBuf>,
    /// Documents of each task; all if left out.
    pub limit: Option<usize>,
}

/// Texts in one language that were not learned from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// The language.
    pub name: String,
    /// Files and folders.
    pub sources: Vec<PathBuf>,
}

fn hangul() -> String {
    "Hangul".to_owned()
}

impl Recipe {
    /// Reads a recipe and resolves its paths.
    pub fn read(path: &Path) -> Result<Recipe> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the recipe {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Recipe::parse(&text, folder).with_context(|| format!("in the recipe {}", path.display()))
    }

    /// The same from text; paths count from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Recipe> {
        let mut recipe: Recipe = toml::from_str(text)?;
        recipe.for_each_path(&mut |path| *path = resolved(path, folder));
        if recipe.base.config.ends_with(".json") {
            let path = resolved(Path::new(&recipe.base.config), folder);
            recipe.base.config = path.display().to_string();
        }
        recipe.check()?;
        Ok(recipe)
    }

    fn check(&self) -> Result<()> {
        let base = &self.base;
        if base.model.is_some() {
            let extra =
                base.tokenizer.is_some() || base.vocab_size.is_some() || base.train.is_some();
            if extra {
                bail!("[base] names a model, so it must not also say how to make one");
            }
        } else if base.data.is_none() || base.train.is_none() {
            bail!("[base] needs either `model` or `data` and `train` to make one");
        } else if base.tokenizer.is_some() == base.vocab_size.is_some() {
            bail!("[base] needs exactly one of `tokenizer` and `vocab_size`");
        }
        self.settings(&self.train, &self.data, ["model", "data", "out"].map(Path::new))?;
        if let (Some(train), Some(data)) = (&base.train, &base.data) {
            let places = ["model", "data", "out"].map(Path::new);
            self.settings(train, data, places).context("in [base.train]")?;
        }
        Ok(())
    }

    /// The settings of a `[train]` table once model, data and out are known.
    pub fn settings(
        &self,
        table: &toml::Table,
        data: &Data,
        [model, packed, out]: [&Path; 3],
    ) -> Result<TrainSettings> {
        let mut table = table.clone();
        for (field, path) in [("model", model), ("data", packed), ("out", out)] {
            table.insert(field.to_owned(), path.display().to_string().into());
        }
        let length = i64::try_from(data.sequence_length).context("sequence_length")?;
        table.insert("sequence_length".to_owned(), length.into());
        let text = toml::to_string(&table)?;
        TrainSettings::from_toml(&text).context("in [train]")
    }

    fn for_each_path(&mut self, visit: &mut dyn FnMut(&mut PathBuf)) {
        let base = &mut self.base;
        base.model.iter_mut().for_each(&mut *visit);
        base.tokenizer.iter_mut().for_each(&mut *visit);
        base.data.iter_mut().flat_map(|data| &mut data.sources).for_each(&mut *visit);
        self.tokenizer.corpus.iter_mut().for_each(&mut *visit);
        self.data.sources.iter_mut().for_each(&mut *visit);
        let comparison = &mut self.comparison;
        comparison.held_out.iter_mut().flat_map(|text| &mut text.sources).for_each(&mut *visit);
        comparison.task_data.iter_mut().for_each(&mut *visit);
    }
}

fn resolved(path: &Path, folder: &Path) -> PathBuf {
    match path.strip_prefix("$KOLLAMA_DATA") {
        Ok(rest) => test_data().join(rest),
        Err(_) => without_detours(&folder.join(path)),
    }
}

/// `a/../b` is `b`: only for people who read the path; links on the way are not looked at.
fn without_detours(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        let goes_back = part == Component::ParentDir
            && matches!(whole.components().next_back(), Some(Component::Normal(_)));
        if goes_back {
            whole.pop();
        } else {
            whole.push(part);
        }
        whole
    })
}

/// `KOLLAMA_DATA`, or where a checkout has it beside itself.
fn test_data() -> PathBuf {
    std::env::var_os("KOLLAMA_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_of_the_project_is_read() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes")).unwrap();
        let paths = folder.map(|entry| entry.unwrap().path());
        for path in paths.filter(|path| path.is_file()) {
            Recipe::read(&path).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }

    #[test]
    fn an_unknown_field_of_train_is_named() {
        let text =
            include_str!("../recipes/quickstart.toml").replace("warmup_steps", "warmupsteps");
        let error = Recipe::parse(&text, Path::new("")).unwrap_err();
        assert!(format!("{error:#}").contains("warmupsteps"), "{error:#}");
    }

    #[test]
    fn paths_count_from_the_folder_of_the_recipe() {
        assert_eq!(resolved(Path::new("a/b"), Path::new("recipes")), Path::new("recipes/a/b"));
        assert_eq!(resolved(Path::new("/a"), Path::new("recipes")), Path::new("/a"));
        assert_eq!(resolved(Path::new("../a"), Path::new("recipes")), Path::new("a"));
        assert_eq!(resolved(Path::new("../../a"), Path::new("recipes")), Path::new("../a"));
    }
}
