//! A recipe, stage by stage. Each stage writes one folder of the run and is skipped while it is
//! done from the same inputs; a stage of training that was cut off goes on where it was.

use super::{corpus, learning, model, train};
use crate::choices::StoredType;
use crate::cli::Run as Flags;
use crate::comparison;
use crate::plan;
use crate::recipe::{Base, Data, Recipe};
use crate::stages::{Stages, content_hash, text_hash};
use crate::staging::must_be_free;
use crate::usage::usage;
use anyhow::{Context, Result, bail, ensure};
use kollama_kernels::Device;
use kollama_tokenizer::{LearnRules, Tokenizer};
use kollama_trainer::TrainSettings;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The stage whose result is shown at the end.
const COMPARISON: &str = "comparison";

/// Writes the folder that it is given.
type Work<'a> = Box<dyn Fn(&Path) -> Result<()> + 'a>;

/// One piece of a run: reads files, writes the folder `out`.
struct Stage<'a> {
    name: &'static str,
    /// Everything in the recipe that the result depends on.
    settings: String,
    /// Files and folders it reads, those of earlier stages too.
    reads: Vec<PathBuf>,
    out: PathBuf,
    /// A stage that goes on from what it left when it was cut off.
    resumes: bool,
    work: Work<'a>,
}

/// Which stages of a recipe are run, and what may be given up for it.
#[derive(Default)]
pub struct Scope<'a> {
    /// The first stage that is done again, done or not.
    pub from: Option<&'a str>,
    /// The last stage.
    pub to: Option<&'a str>,
    /// Whether a training may be replaced because its inputs have changed.
    pub replaces_training: bool,
}

/// Runs (or only plans) a recipe.
pub fn run(flags: &Flags, threads: usize) -> Result<()> {
    let recipe = Recipe::read(&flags.recipe)?;
    let base = plan::validate(&recipe)
        .with_context(|| format!("in the recipe {}", flags.recipe.display()))?;
    if flags.check {
        return plan::print(&recipe, base, threads);
    }
    let folder = flags.out.clone().unwrap_or_else(|| Path::new("runs").join(&recipe.name));
    let scope =
        Scope { from: flags.from.as_deref(), to: flags.to.as_deref(), replaces_training: false };
    perform(&recipe, &folder, (&Device::cpu(threads)?, threads), &scope)
}

/// Runs the stages of a recipe in `folder`, with a device and as many threads for texts.
pub fn perform(
    recipe: &Recipe,
    folder: &Path,
    machine: (&Device, usize),
    scope: &Scope<'_>,
) -> Result<()> {
    let list = stages_of(recipe, folder, machine)?;
    let names: Vec<&str> = list.iter().map(|stage| stage.name).collect();
    let last = scope.to.map_or(Ok(list.len() - 1), |name| position(&names, name))?;
    let first = scope.from.map(|name| position(&names, name)).transpose()?;
    if first.is_some_and(|first| first > last) {
        usage(format!("--from {} comes after --to {}", names[first.unwrap_or(0)], names[last]))?;
    }
    let mut record = Stages::open(folder)?;
    for stage in &list[first.unwrap_or(last + 1)..=last] {
        if record.knows(stage.name) {
            remove(&stage.out)?;
            record.forget(stage.name)?;
        }
    }
    for (index, stage) in list[..=last].iter().enumerate() {
        let place = format!("[{}/{}]", index + 1, list.len());
        do_stage(stage, &place, folder, &mut record, scope.replaces_training)
            .with_context(|| format!("stage {}", stage.name))?;
    }
    match &list[last] {
        Stage { name: COMPARISON, out, .. } => comparison::show(out),
        _ => Ok(()),
    }
}

fn position(names: &[&str], name: &str) -> Result<usize> {
    match names.iter().position(|&known| known == name) {
        Some(position) => Ok(position),
        None => usage(format!("no stage {name:?}; this recipe has {}", names.join(", "))),
    }
}

fn do_stage(
    stage: &Stage<'_>,
    place: &str,
    folder: &Path,
    record: &mut Stages,
    replaces_training: bool,
) -> Result<()> {
    let inputs = inputs_hash(stage, folder, record)?;
    if record.is_done(stage.name, &inputs) && stage.out.exists() {
        eprintln!("{place} {}: done before", stage.name);
        return Ok(());
    }
    eprintln!("{place} {}", stage.name);
    make_way(stage, &inputs, record, replaces_training)?;
    record.begin(stage.name, inputs)?;
    let began = Instant::now();
    (stage.work)(&stage.out)?;
    ensure!(stage.out.exists(), "it ended without its result; run the recipe again to go on");
    record.done(stage.name, began.elapsed().as_secs_f64())
}

/// Removes what an earlier run of the stage has left, unless it can go on from there. What no run
/// has made is never touched, and hours of training are not given up without being told to.
fn make_way(
    stage: &Stage<'_>,
    inputs: &str,
    record: &Stages,
    replaces_training: bool,
) -> Result<()> {
    let Stage { name, out, resumes, .. } = stage;
    if !record.knows(name) {
        return must_be_free(out);
    }
    if *resumes && record.is_begun(name, inputs) {
        return Ok(());
    }
    if *resumes && !replaces_training && out.exists() {
        bail!(
            "{} was trained from other inputs or settings; \
             `--from {name}` removes it and trains anew",
            out.display()
        );
    }
    remove(out)
}

/// Files from outside by their content, folders of this run by the inputs they were made from.
fn inputs_hash(stage: &Stage<'_>, folder: &Path, record: &Stages) -> Result<String> {
    let mut parts = vec![stage.settings.clone()];
    for path in &stage.reads {
        let name = path.strip_prefix(folder).ok().and_then(Path::to_str);
        match name.and_then(|name| record.inputs_of(name)) {
            Some(inputs) => parts.push(inputs.to_owned()),
            None => parts.push(content_hash(std::slice::from_ref(path))?),
        }
    }
    Ok(text_hash(parts.iter().map(String::as_str)))
}

fn remove(path: &Path) -> Result<()> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn stages_of<'a>(
    recipe: &'a Recipe,
    folder: &Path,
    (device, threads): (&'a Device, usize),
) -> Result<Vec<Stage<'a>>> {
    let mut stages = Vec::new();
    let base = match &recipe.base.model {
        Some(model) => model.clone(),
        None => base_stages(recipe, folder, (device, threads), &mut stages)?,
    };
    let at = |name: &str| folder.join(name);
    stages.push(extend_tokenizer(recipe, base.clone(), at("tokenizer")));
    stages.push(extend_model(recipe, base.clone(), at("tokenizer"), at("model")));
    stages.push(pack("data", &recipe.data, at("model"), at("data"), threads));
    let places = [at("model"), at("data"), at("train")];
    let settings = recipe.settings(&recipe.train, &recipe.data, places.each_ref().map(|p| &**p))?;
    stages.push(learn("train", settings, device));
    stages.push(compare(recipe, base, at("train"), at("comparison"), device));
    Ok(stages)
}

/// The stages that make a base model, where the recipe names none.
fn base_stages<'a>(
    recipe: &'a Recipe,
    folder: &Path,
    (device, threads): (&'a Device, usize),
    stages: &mut Vec<Stage<'a>>,
) -> Result<PathBuf> {
    let base = &recipe.base;
    let (Some(data), Some(table)) = (&base.data, &base.train) else {
        bail!("[base] needs `data` and `train`");
    };
    let at = |name: &str| folder.join(name);
    let words = match (&base.tokenizer, base.vocab_size) {
        (Some(tokenizer), _) => tokenizer.clone(),
        (None, Some(size)) => {
            stages.push(learn_tokenizer(data, size, at("base-tokenizer")));
            at("base-tokenizer")
        }
        (None, None) => bail!("[base] needs `tokenizer` or `vocab_size`"),
    };
    stages.push(init_model(base, words, at("base-init")));
    stages.push(pack("base-data", data, at("base-init"), at("base-data"), threads));
    let places = [at("base-init"), at("base-data"), at("base")];
    let settings = recipe.settings(table, data, places.each_ref().map(|path| &**path))?;
    stages.push(learn("base", settings, device));
    Ok(at("base"))
}

fn learn_tokenizer(data: &Data, vocab_size: usize, out: PathBuf) -> Stage<'_> {
    Stage {
        name: "base-tokenizer",
        settings: vocab_size.to_string(),
        reads: data.sources.clone(),
        out,
        resumes: false,
        work: Box::new(move |out| {
            learning::train(&data.sources, vocab_size, &LearnRules::default(), out)
        }),
    }
}

fn init_model(base: &Base, words: PathBuf, out: PathBuf) -> Stage<'_> {
    Stage {
        name: "base-init",
        settings: format!("{} {}", base.config, base.seed),
        reads: vec![words.clone()],
        out,
        resumes: false,
        work: Box::new(move |out| {
            model::init(&base.config, &words, base.seed, StoredType::F32, out)
        }),
    }
}

fn extend_tokenizer(recipe: &Recipe, base: PathBuf, out: PathBuf) -> Stage<'_> {
    let extension = &recipe.tokenizer;
    Stage {
        name: "tokenizer",
        settings: format!("{} {}", extension.vocab_size, extension.script),
        reads: std::iter::once(base.clone()).chain(extension.corpus.iter().cloned()).collect(),
        out,
        resumes: false,
        work: Box::new(move |out| {
            let (corpus, size) = (&extension.corpus, extension.vocab_size);
            let rules = LearnRules::default();
            learning::extend(&base, corpus, size, &extension.script, &rules, out)
        }),
    }
}

fn extend_model(recipe: &Recipe, base: PathBuf, words: PathBuf, out: PathBuf) -> Stage<'_> {
    let rows = &recipe.model;
    Stage {
        name: "model",
        settings: format!("{:?} {}", rows.init, rows.seed),
        reads: vec![base.clone(), words.clone()],
        out,
        resumes: false,
        work: Box::new(move |out| model::extend(&base, &words, rows.init, rows.seed, out)),
    }
}

fn pack<'a>(
    name: &'static str,
    data: &'a Data,
    model: PathBuf,
    out: PathBuf,
    threads: usize,
) -> Stage<'a> {
    Stage {
        name,
        settings: format!("{} {:?}", data.sequence_length, data.documents),
        reads: std::iter::once(model.clone()).chain(data.sources.iter().cloned()).collect(),
        out,
        resumes: false,
        work: Box::new(move |out| {
            let words = Tokenizer::open(&model)?;
            corpus::pack(&data.sources, &words, data.sequence_length, data.documents, out, threads)
        }),
    }
}

fn learn<'a>(name: &'static str, settings: TrainSettings, device: &'a Device) -> Stage<'a> {
    Stage {
        name,
        settings: toml::to_string(&settings).unwrap_or_default(),
        reads: vec![settings.model.clone(), settings.data.clone()],
        out: settings.out.clone(),
        resumes: true,
        work: Box::new(move |_| train::run(&settings, true, device)),
    }
}

fn compare<'a>(
    recipe: &'a Recipe,
    base: PathBuf,
    taught: PathBuf,
    out: PathBuf,
    device: &'a Device,
) -> Stage<'a> {
    let held_out =
        recipe.comparison.held_out.iter().flat_map(|texts| texts.sources.iter().cloned());
    let tasks = recipe.comparison.task_data.iter().cloned();
    Stage {
        name: COMPARISON,
        settings: toml::to_string(&recipe.comparison).unwrap_or_default(),
        reads: [base.clone(), taught.clone()].into_iter().chain(held_out).chain(tasks).collect(),
        out,
        resumes: false,
        work: Box::new(move |out| {
            comparison::compare(&recipe.comparison, [&base, &taught], out, device)
        }),
    }
}
