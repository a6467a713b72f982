//! Tasks to results: tables on stdout; results, samples, tables and charts in a folder.

use super::held::{self, Purpose};
use super::{eval_diff, eval_report};
use crate::choices::{Fewshot, Mode, Preset};
use crate::cli::{Eval, EvalVerb, Evaluated as Flags, Held};
use crate::comparison::read_texts;
use crate::progress::{Progress, Unit};
use crate::usage::usage;
use anyhow::{Context, Result};
use kollama_engine::{Scorer, Tokens};
use kollama_harness::evaluate::Model;
use kollama_harness::mode::Mode as Protocol;
use kollama_harness::shots::{Asking, Fewshot as Choosing};
use kollama_harness::{
    DataSource, HarnessError, Perplexity, RequestCache, Summary, Task, evaluate, perplexity,
    preset, samples, tasks, whole_file,
};
use kollama_kernels::Device;
use kollama_tokenizer::Tokenizer;

/// The task that is running text instead of questions.
const PERPLEXITY: &str = "perplexity";
/// What a shell calls a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// What is asked of a model.
struct Plan {
    mode: Protocol,
    /// Each task with its numbers of shots, each once.
    tasks: Vec<(String, Vec<usize>)>,
}

/// Evaluates, or compares two evaluations.
pub fn eval(eval: &Eval, device: &Device) -> Result<()> {
    match (&eval.verb, &eval.measured) {
        (Some(EvalVerb::Diff { a, b, json }), _) => eval_diff::diff(a, b, *json),
        (None, Some(flags)) => run(flags, &eval.held, device),
        (None, None) => usage("give --model and --tasks or --preset; see `kollama eval --help`"),
    }
}

fn run(flags: &Flags, held: &Held, device: &Device) -> Result<()> {
    let plan = plan(flags)?;
    let loaded = load(&plan, flags)?;
    if let Some(folder) = &flags.out {
        whole_file::prepare(folder)?;
    }
    let words = Tokenizer::open(&flags.model)?;
    let (llama, kept) = held::open(&flags.model, held, Purpose::Measure, device)?;
    let record = eval_report::model_record(&flags.model, &llama, device)?;
    let mut scorer = Scorer::with_cache(llama, words.eos_id(), kept)?;
    scorer.set_sharing(!flags.no_share);
    let mut cache = cache(flags, &scorer)?;
    let mut summaries = Vec::new();
    let mut read = None;
    for (task, shots) in &loaded {
        for &shots in *shots {
            let (tokenizer, scorer, cache) = (&words, &mut scorer, cache.as_mut());
            summaries.push(ask(task, shots, flags, &mut Model { tokenizer, scorer, cache })?);
        }
    }
    if plan.tasks.iter().any(|(name, _)| name == PERPLEXITY) {
        read = Some(measure(flags, &words, &mut scorer)?);
    }
    tell_work(&scorer, cache.as_ref());
    eval_report::report(flags, &record, &summaries, read.as_ref())
}

/// The data of every task, before a model is opened: what is missing shows at once.
fn load<'a>(plan: &'a Plan, flags: &Flags) -> Result<Vec<(Task, &'a [usize])>> {
    let data = flags.data.as_deref().map_or_else(DataSource::hub, DataSource::folder);
    let mut loaded = Vec::new();
    for (name, shots) in plan.tasks.iter().filter(|(name, _)| name != PERPLEXITY) {
        let tasks = tasks::load(name, plan.mode, &data).with_context(|| name.clone())?;
        loaded.extend(tasks.into_iter().map(|task| (task, shots.as_slice())));
    }
    Ok(loaded)
}

/// The file of known scores, where there is to be one. From then on a stopped run says how to go on.
fn cache(flags: &Flags, scorer: &Scorer) -> Result<Option<RequestCache>> {
    let in_out = flags.out.as_deref().map(|folder| folder.join("requests.cache"));
    let Some(path) = flags.cache_file.clone().or(in_out) else { return Ok(None) };
    let cache = RequestCache::open(&path, scorer)?;
    let stopped = move || {
        eprintln!("\nstopped; the same command goes on from {}", path.display());
        std::process::exit(INTERRUPTED);
    };
    ctrlc::set_handler(stopped).context("cannot listen for Ctrl-C")?;
    Ok(Some(cache))
}

/// How much was read, and how much of it was saved.
fn tell_work(scorer: &Scorer, cache: Option<&RequestCache>) {
    let Tokens { plain, read } = scorer.tokens();
    let known = cache.map_or(0, RequestCache::answered);
    let known = if known == 0 { String::new() } else { format!("{known} scores were known; ") };
    if plain > 0 {
        let share = plain as f64 / read as f64;
        eprintln!("{known}{read} tokens read, {share:.2} times fewer than request by request");
    } else if !known.is_empty() {
        eprintln!("{known}nothing was left to read");
    }
}

/// One task at one number of shots; its samples are written at once, so that their texts can go.
fn ask(task: &Task, shots: usize, flags: &Flags, model: &mut Model<'_>) -> Result<Summary> {
    let fewshot = match flags.fewshot {
        Fewshot::Sampled => Choosing::Drawn,
        Fewshot::Fixed => Choosing::Fixed,
    };
    let asking = Asking { shots, limit: flags.limit, fewshot };
    let mut progress = Progress::new(&format!("{} {shots}-shot", task.name), 0, Unit::Items);
    let mut tell = |done, total| progress.at_of(done as u64, total as u64);
    let result = evaluate(task, &asking, model, &mut tell)?;
    let (cut, all) = (result.cut_documents(), result.samples.len());
    let note = if cut == 0 {
        String::new()
    } else {
        let left = result.effective_shots();
        format!("{cut} of {all} prompts CUT to the window, {left:.1} of {shots} examples left")
    };
    progress.finish(&note);
    if let Some(folder) = &flags.out {
        samples::write(folder, &result)?;
    }
    Ok(Summary::of(&result))
}

fn plan(flags: &Flags) -> Result<Plan> {
    let plan = match flags.preset {
        Some(preset) => planned(preset),
        None => Plan {
            mode: match flags.mode {
                Mode::Polyglot => Protocol::Polyglot,
                Mode::LeaderboardV1 => Protocol::LeaderboardV1,
                Mode::LmEval => Protocol::LmEval,
            },
            tasks: once(&flags.tasks).into_iter().map(|name| (name, once(&flags.shots))).collect(),
        },
    };
    for (name, _) in plan.tasks.iter().filter(|(name, _)| name != PERPLEXITY) {
        match tasks::check(name) {
            Err(error @ HarnessError::UnknownTask { .. }) => {
                return usage(format!("{error}, {PERPLEXITY}"));
            }
            checked => checked?,
        }
    }
    Ok(plan)
}

fn planned(preset: Preset) -> Plan {
    let preset = match preset {
        Preset::Llama2KoCard => &preset::LLAMA_2_KO_CARD,
        Preset::OpenLlmLeaderboard => &preset::OPEN_LLM_LEADERBOARD,
    };
    let tasks = preset.tasks.iter().map(|(name, shots)| ((*name).to_owned(), shots.to_vec()));
    Plan { mode: preset.mode, tasks: tasks.collect() }
}

/// Each item once, in the order given.
fn once<T: Clone + PartialEq>(items: &[T]) -> Vec<T> {
    let mut seen: Vec<T> = Vec::new();
    for item in items {
        if !seen.contains(item) {
            seen.push(item.clone());
        }
    }
    seen
}

fn measure(flags: &Flags, words: &Tokenizer, scorer: &mut Scorer) -> Result<Perplexity> {
    let Some(data) = &flags.data else {
        return usage("perplexity needs texts: give --data FILE|DIR");
    };
    let texts = read_texts(std::slice::from_ref(data), usize::MAX, flags.limit)?;
    let mut progress = Progress::new(PERPLEXITY, 0, Unit::Items);
    let mut tell = |done, total| progress.at_of(done as u64, total as u64);
    let measured = perplexity(&texts, words, scorer, &mut tell)?;
    progress.finish("");
    Ok(measured)
}
