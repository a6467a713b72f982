//! Train, or resume: settings from flags, progress to stderr, Ctrl-C to a checkpoint.

use super::tokenizer_if_there;
use crate::choices::{Order, Recompute, Schedule, StoredType, TrainOnly};
use crate::cli::Train as Flags;
use crate::progress::{Progress, Unit};
use crate::usage::usage;
use anyhow::{Context, Result, bail};
use kollama_kernels::Device;
use kollama_trainer::{DtypeChoice, RecomputeChoice, RunEnd, StepRecord, TrainSettings, Trainer};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the first Ctrl-C or TERM; training looks at it after each step.
static STOP: AtomicBool = AtomicBool::new(false);
/// Whether anyone looks at [`STOP`].
static TRAINING: AtomicBool = AtomicBool::new(false);
/// What a shell calls a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// Trains as the flags say.
pub fn train(flags: Flags, device: &Device) -> Result<()> {
    let resume = flags.resume;
    let settings = settings(flags);
    if let Err(error) = settings.check() {
        return usage(error.to_string());
    }
    run(&settings, resume, device)
}

/// Runs settings to their last step, or to Ctrl-C, which leaves a checkpoint to resume from.
pub fn run(settings: &TrainSettings, resume: bool, device: &Device) -> Result<()> {
    let words = tokenizer_if_there(&settings.model)?.map(|words| words.fingerprint());
    let begin = if resume { Trainer::resume } else { Trainer::start };
    let mut trainer = begin(settings.clone(), device, words.as_deref())?;
    let mut progress = Progress::new("training", settings.steps, Unit::Items);
    let mut last = String::new();
    let mut tell = |record: &StepRecord| {
        last = summary(record);
        progress.at(record.step, &last);
    };
    stop_on_signals()?;
    TRAINING.store(true, Ordering::SeqCst);
    let end = kollama_trainer::run(&mut trainer, &mut tell, &STOP);
    TRAINING.store(false, Ordering::SeqCst);
    let end = end?;
    progress.finish(&last);
    if let RunEnd::Stopped { .. } = end {
        let (done, all) = (trainer.steps_done(), settings.steps);
        bail!(
            "stopped after step {done} of {all}: the same command with --resume goes on from \
             there (a recipe goes on by itself)"
        );
    }
    Ok(())
}

fn summary(record: &StepRecord) -> String {
    let evaluated =
        record.eval_loss.map(|loss| format!(", held out {loss:.4}")).unwrap_or_default();
    let rate = record.tokens_per_second;
    format!("loss {:.4}{evaluated}, {rate:.0} tokens/s", record.loss)
}

/// The first signal lets training end with a checkpoint; the second, or one while nothing trains,
/// ends the program.
fn stop_on_signals() -> Result<()> {
    let handler = || {
        if !TRAINING.load(Ordering::SeqCst) || STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED);
        }
    };
    match ctrlc::set_handler(handler) {
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(error).context("cannot listen for Ctrl-C"),
    }
}

fn settings(flags: Flags) -> TrainSettings {
    TrainSettings {
        model: flags.model,
        data: flags.data,
        out: flags.out,
        steps: flags.steps,
        batch_size: flags.batch_size,
        sequence_length: flags.sequence_length,
        accumulate: flags.accumulate,
        learning_rate: flags.lr,
        schedule: match flags.schedule {
            Schedule::Constant => kollama_trainer::Schedule::Constant,
            Schedule::Cosine => kollama_trainer::Schedule::Cosine,
            Schedule::Linear => kollama_trainer::Schedule::Linear,
        },
        warmup_steps: flags.warmup_steps,
        weight_decay: flags.weight_decay,
        beta1: flags.beta1,
        beta2: flags.beta2,
        epsilon: flags.epsilon,
        clip: flags.clip,
        order: match flags.order {
            Order::Shuffled => kollama_trainer::Order::Shuffled,
            Order::Sequential => kollama_trainer::Order::Sequential,
        },
        dtype: match flags.dtype {
            StoredType::F32 => DtypeChoice::F32,
            StoredType::Bf16 => DtypeChoice::Bf16,
        },
        recompute: match flags.recompute {
            Recompute::None => RecomputeChoice::None,
            Recompute::Layer => RecomputeChoice::Layer,
        },
        train_only: match flags.train_only {
            TrainOnly::All => kollama_trainer::TrainOnly::All,
            TrainOnly::NewRows => kollama_trainer::TrainOnly::NewRows,
            TrainOnly::Embeddings => kollama_trainer::TrainOnly::Embeddings,
        },
        base_vocab_size: flags.base_vocab_size,
        seed: flags.seed,
        save_every: flags.save_every,
        keep: 2,
        eval_data: flags.eval_data,
        eval_every: flags.eval_every,
        log: flags.log,
    }
}
