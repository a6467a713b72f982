//! One flat struct says what a training run is; an unknown field is an error. Nothing here opens
//! the model or the data: what can only be known from them is checked when a run starts.

use crate::error::TrainError;
use kollama_kernels::DType;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The ids of a step are held in memory; nobody trains with more than this.
const MOST_TOKENS_OF_A_STEP: u64 = 1 << 32;

/// A training run. Field names are the words of the command line and of a recipe's `[train]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Folder of the model that the run begins with.
    pub model: PathBuf,
    /// Folder of packed rows.
    pub data: PathBuf,
    /// Folder of the run: log, checkpoints and at the end the model.
    pub out: PathBuf,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Rows of a micro-batch: what is in memory at once.
    pub batch_size: usize,
    /// Tokens of a row; must be what the data was packed with.
    pub sequence_length: usize,
    /// Micro-batches of a step; a step takes `batch_size · accumulate` rows.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// How the learning rate moves after the warm-up.
    #[serde(default)]
    pub schedule: Schedule,
    /// Steps in which the learning rate rises to its highest.
    #[serde(default)]
    pub warmup_steps: u64,
    /// Decoupled decay of matrices; norms do not decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// Decay of AdamW's first moment.
    #[serde(default = "beta1")]
    pub beta1: f64,
    /// Decay of AdamW's second moment.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// Added to the root of AdamW's second moment.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Largest global gradient norm that is not scaled down; none: never scaled.
    #[serde(default)]
    pub clip: Option<f64>,
    /// In which order rows are taken.
    #[serde(default)]
    pub order: Order,
    /// What weights and activations are computed as.
    #[serde(default)]
    pub dtype: DtypeChoice,
    /// Whether activations are kept or computed again.
    #[serde(default)]
    pub recompute: RecomputeChoice,
    /// Which weights learn.
    #[serde(default)]
    pub train_only: TrainOnly,
    /// With [`TrainOnly::NewRows`]: rows below this one stay as they are. Left out, it is read from
    /// `kollama_base_vocab_size` in the model's config.json.
    #[serde(default)]
    pub base_vocab_size: Option<usize>,
    /// Of the row order.
    #[serde(default)]
    pub seed: u64,
    /// Steps between checkpoints; none: only at the end and when stopped.
    #[serde(default)]
    pub save_every: Option<u64>,
    /// Checkpoints that are kept.
    #[serde(default = "two")]
    pub keep: usize,
    /// Folder of packed rows that are never learned from.
    #[serde(default)]
    pub eval_data: Option<PathBuf>,
    /// Steps between evaluations; none: only after the last step.
    #[serde(default)]
    pub eval_every: Option<u64>,
    /// Where log lines go; none: `train.jsonl` in `out`.
    #[serde(default)]
    pub log: Option<PathBuf>,
}

/// How the learning rate moves after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays where the warm-up ended.
    #[default]
    Constant,
    /// Half a cosine down to a tenth (Loshchilov and Hutter 2017, without restarts).
    Cosine,
    /// A straight line down to a tenth.
    Linear,
}

/// In which order the rows of the data are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Every row once per epoch, each epoch in another order, by seed.
    #[default]
    Shuffled,
    /// As they stand in the file, again from the first after the last.
    Sequential,
}

/// What forward and backward compute with. The weights that AdamW updates, its moments, gradients
/// and every sum are f32 in any case, and so are checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DtypeChoice {
    /// Single precision.
    #[default]
    F32,
    /// Weights rounded to bf16 after each step, and activations as they are made: half the memory of
    /// the activations, and faster where the processor multiplies bf16.
    Bf16,
}

impl DtypeChoice {
    /// What matrices and activations are as they compute.
    pub fn of_matrices(self) -> DType {
        match self {
            DtypeChoice::F32 => DType::F32,
            DtypeChoice::Bf16 => DType::Bf16,
        }
    }
}

/// Whether activations are kept for the backward pass or computed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecomputeChoice {
    /// Everything is kept.
    #[default]
    None,
    /// Only the input of each layer is kept: less memory, a third more work, the same numbers.
    Layer,
}

/// Which weights learn; the rest stays bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainOnly {
    /// Every weight.
    #[default]
    All,
    /// In the input and output embedding, the rows from `base_vocab_size` on.
    NewRows,
    /// The input and output embedding whole.
    Embeddings,
}

impl TrainSettings {
    /// Reads settings from a TOML file and checks them.
    pub fn read(path: &Path) -> Result<TrainSettings, TrainError> {
        let text = fs::read_to_string(path).map_err(|source| TrainError::Io {
            action: "read",
            path: path.into(),
            source,
        })?;
        TrainSettings::from_toml(&text).map_err(|error| match error {
            TrainError::SettingsText { source, .. } => {
                TrainError::SettingsText { path: path.into(), source }
            }
            other => other,
        })
    }

    /// The same from text.
    pub fn from_toml(text: &str) -> Result<TrainSettings, TrainError> {
        let settings: TrainSettings = toml::from_str(text).map_err(|source| {
            TrainError::SettingsText { path: "settings".into(), source: Box::new(source) }
        })?;
        settings.check()?;
        Ok(settings)
    }

    /// Refuses values that no run can have.
    pub fn check(&self) -> Result<(), TrainError> {
        let counts = [
            ("steps", self.steps),
            ("batch_size", self.batch_size as u64),
            ("sequence_length", self.sequence_length as u64),
            ("accumulate", self.accumulate as u64),
            ("keep", self.keep as u64),
            ("save_every", self.save_every.unwrap_or(1)),
            ("eval_every", self.eval_every.unwrap_or(1)),
        ];
        for (field, count) in counts {
            expect(field, count > 0, count, "at least 1")?;
        }
        let tokens = [self.batch_size, self.accumulate, self.sequence_length]
            .into_iter()
            .try_fold(1, usize::checked_mul)
            .filter(|&tokens| tokens as u64 <= MOST_TOKENS_OF_A_STEP);
        let found = format!("{} with batch_size {}", self.accumulate, self.batch_size);
        expect("accumulate", tokens.is_some(), found, "at most 2^32 tokens in a step")?;
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let share = |x: f64| (0.0..1.0).contains(&x);
        // AdamW computes in 32 bits, where a number above 0 may be 0 and one below 1 may be 1.
        let used = |x: f64| f64::from(x as f32);
        let above_0 = "a number above 0, from 1e-45 to 3.4e38";
        let (rate, epsilon) = (self.learning_rate, self.epsilon);
        expect("learning_rate", positive(used(rate)), rate, above_0)?;
        expect("epsilon", positive(used(epsilon)), epsilon, above_0)?;
        for (field, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            expect(field, share(used(beta)), beta, "at least 0 and below 1, at most 0.9999999")?;
        }
        let decay = self.weight_decay;
        let decays = decay >= 0.0 && used(decay).is_finite();
        expect("weight_decay", decays, decay, "0 or more, at most 3.4e38")?;
        let clip = self.clip.unwrap_or(1.0);
        expect("clip", positive(clip), clip, "a number above 0; leave it out to never clip")?;
        let warmup = self.warmup_steps;
        expect("warmup_steps", warmup <= self.steps, warmup, "not more than steps")?;
        let evaluates = self.eval_every.is_none() || self.eval_data.is_some();
        expect("eval_every", evaluates, "no eval_data", "eval_data beside it")
    }

    /// Rows of one optimiser step.
    pub fn rows_per_step(&self) -> usize {
        self.batch_size * self.accumulate
    }

    /// Tokens of one optimiser step.
    pub fn tokens_per_step(&self) -> u64 {
        self.rows_per_step() as u64 * self.sequence_length as u64
    }

    /// Where log lines go.
    pub fn log_file(&self) -> PathBuf {
        self.log.clone().unwrap_or_else(|| self.out.join("train.jsonl"))
    }
}

fn expect(
    field: &'static str,
    holds: bool,
    found: impl ToString,
    expected: &'static str,
) -> Result<(), TrainError> {
    match holds {
        true => Ok(()),
        false => Err(TrainError::BadSetting { field, found: found.to_string(), expected }),
    }
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.95
}

fn epsilon() -> f64 {
    1e-8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "model = 'm'\ndata = 'd'\nout = 'o'\nsteps = 10\nbatch_size = 2\n\
                            sequence_length = 8\nlearning_rate = 1e-3\n";

    fn message(extra: &str) -> String {
        TrainSettings::from_toml(&format!("{SMALLEST}{extra}\n")).unwrap_err().to_string()
    }

    #[test]
    fn what_is_left_out_has_the_documented_default() {
        let settings = TrainSettings::from_toml(SMALLEST).unwrap();
        assert_eq!((settings.beta1, settings.beta2, settings.epsilon), (0.9, 0.95, 1e-8));
        assert_eq!((settings.accumulate, settings.keep, settings.clip), (1, 2, None));
        assert_eq!(settings.train_only, TrainOnly::All);
        assert_eq!(settings.log_file(), Path::new("o/train.jsonl"));
    }

    #[test]
    fn the_words_of_the_command_line_are_read() {
        let text = "schedule = 'cosine'\norder = 'sequential'\nrecompute = 'layer'\n\
                    train_only = 'new-rows'\ndtype = 'bf16'\n";
        let settings = TrainSettings::from_toml(&format!("{SMALLEST}{text}")).unwrap();
        assert_eq!(settings.schedule, Schedule::Cosine);
        assert_eq!(settings.order, Order::Sequential);
        assert_eq!(settings.recompute, RecomputeChoice::Layer);
        assert_eq!(settings.train_only, TrainOnly::NewRows);
        assert_eq!(settings.dtype, DtypeChoice::Bf16);
    }

    #[test]
    fn settings_survive_being_written_and_read() {
        let settings = TrainSettings::from_toml(&format!("{SMALLEST}clip = 0.7\n")).unwrap();
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(TrainSettings::from_toml(&text).unwrap(), settings);
    }

    #[test]
    fn an_unknown_field_is_refused_by_name_and_line() {
        let message = message("learnig_rate_decay = 1");
        assert!(message.contains("learnig_rate_decay") && message.contains("line 8"), "{message}");
    }

    #[test]
    fn values_that_no_run_can_have_are_refused_by_name() {
        for (text, field) in [
            ("accumulate = 0", "accumulate"),
            ("accumulate = 1000000000000000", "accumulate"),
            ("beta2 = 1.0", "beta2"),
            ("beta2 = 0.99999999", "beta2 = 0.99999999: expected"),
            ("beta1 = 0.99999999", "beta1"),
            ("epsilon = 1e-50", "epsilon"),
            ("weight_decay = 1e39", "weight_decay"),
            ("clip = 0.0", "clip"),
            ("clip = nan", "clip"),
            ("weight_decay = -0.1", "weight_decay"),
            ("warmup_steps = 11", "warmup_steps"),
            ("save_every = 0", "save_every"),
            ("eval_every = 5", "eval_every"),
            ("keep = 0", "keep"),
        ] {
            assert!(message(text).contains(field), "{text}: {}", message(text));
        }
    }

    #[test]
    fn a_learning_rate_that_is_nothing_or_infinite_in_32_bits_is_refused() {
        for rate in [1e-50, 1e39] {
            let settings = TrainSettings::from_toml(SMALLEST).unwrap();
            let error = TrainSettings { learning_rate: rate, ..settings }.check().unwrap_err();
            assert!(error.to_string().starts_with("learning_rate = "), "{error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let message = TrainSettings::read(Path::new("/no/such.toml")).unwrap_err().to_string();
        assert!(message.contains("/no/such.toml"), "{message}");
    }
}
