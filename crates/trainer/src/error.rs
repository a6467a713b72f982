//! What can stop a run: which file, field, tensor or step, what was expected and what to do.

use kollama_corpus::CorpusError;
use kollama_kernels::KernelError;
use kollama_llama::LlamaError;
use std::path::PathBuf;

/// Why a run does not start, does not resume or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The text of the settings is not TOML, lacks a field or holds an unknown one.
    #[error("{path}: {source}")]
    SettingsText {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// A setting has a value that no run can have.
    #[error("{field} = {found}: expected {expected}")]
    BadSetting {
        /// Name of the setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Only new rows are to learn, but nobody says where they begin.
    #[error(
        "train_only = new-rows needs base_vocab_size: {config} has no `kollama_base_vocab_size` \
         (a model made by `model extend` has one)"
    )]
    BaseVocabularyUnknown {
        /// The model's config.json.
        config: PathBuf,
    },
    /// Only new rows are to learn, but there are none.
    #[error("base_vocab_size = {base}, but the model has {vocab_size} rows: no row is new")]
    NoNewRows {
        /// Rows that stay as they are.
        base: usize,
        /// Rows of the model.
        vocab_size: usize,
    },
    /// The model's weights or files.
    #[error(transparent)]
    Model(#[from] LlamaError),
    /// The packed data.
    #[error(transparent)]
    Data(#[from] CorpusError),
    /// The device said no.
    #[error(transparent)]
    Device(#[from] KernelError),
    /// A file of the run could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The data is packed in rows of another length than asked for.
    #[error(
        "{data} is packed in rows of {packed} tokens, but sequence_length is {asked}: use \
         {packed}, or pack the data again with {asked}"
    )]
    SequenceLength {
        /// Folder of the data.
        data: PathBuf,
        /// Tokens of its rows.
        packed: usize,
        /// What the settings ask for.
        asked: usize,
    },
    /// The data may hold ids that the model has no row for.
    #[error(
        "{data} was packed with {data_size} ids, but the model has only {model_size}: extend the \
         model, or pack the data with the model's tokenizer"
    )]
    VocabularyTooSmall {
        /// Folder of the data.
        data: PathBuf,
        /// Ids that the data may hold.
        data_size: usize,
        /// Rows of the model's embedding.
        model_size: usize,
    },
    /// No row of the evaluation data has a label that counts.
    #[error("{data}: no label is counted (all are -100), so there is nothing to evaluate")]
    NothingToEvaluate {
        /// Folder of the evaluation data.
        data: PathBuf,
    },
    /// A row holds an id or a label that no packed row may hold.
    #[error(
        "{data}, row {row}: {found} is not below {vocab_size}; the file is damaged: pack again"
    )]
    DamagedRow {
        /// Folder of the data.
        data: PathBuf,
        /// Number of the row, from 0.
        row: usize,
        /// The id or label.
        found: i64,
        /// What it has to be below.
        vocab_size: usize,
    },
    /// Every label of a step is masked, so its loss is not defined.
    #[error(
        "step {step}: no label of its {rows} rows is counted (all are -100): take rows with such \
         masks out of the data, or raise batch_size or accumulate"
    )]
    NothingCounted {
        /// The step, from 1.
        step: u64,
        /// Rows of the step.
        rows: usize,
    },
    /// A weight is NaN or infinite before the first step.
    #[error("{tensor}, row {row}: a weight is NaN or infinite; {folder} cannot be trained")]
    WeightNotFinite {
        /// Folder the weights were read from.
        folder: PathBuf,
        /// Hugging Face name of the tensor.
        tensor: String,
        /// First row with such a weight.
        row: usize,
    },
    /// Loss, gradient or weights became NaN or infinite; nothing was saved.
    #[error("step {step}: {what} is NaN or infinite; {}", .last_good.hint())]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// `the loss`, the gradient of a tensor, or a tensor and its row.
        what: String,
        /// The newest checkpoint.
        last_good: LastGood,
    },
    /// The output folder holds something already.
    #[error(
        "{found} is there already: go on with --resume, or choose another --out than {out} (or \
         another --log)"
    )]
    RunExists {
        /// Folder of the run.
        out: PathBuf,
        /// What was found.
        found: PathBuf,
    },
    /// What stands where the log is to go on is no log of a run.
    #[error("{path} {problem}, and a log would replace it: choose another --log")]
    NoLog {
        /// The file.
        path: PathBuf,
        /// What it is instead, with the line where there is one.
        problem: String,
    },
    /// The output folder holds a model that no run in it has made.
    #[error("{out} holds a model, but no run: choose another --out")]
    ModelExists {
        /// The folder.
        out: PathBuf,
    },
    /// A run is to go on with settings, data or a model that it did not begin with.
    #[error(
        "cannot resume {checkpoint}: the run began with {field} = {began_with}, now it is {now}"
    )]
    ResumeMismatch {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// What differs.
        field: String,
        /// Its value in the checkpoint.
        began_with: String,
        /// Its value now.
        now: String,
    },
    /// A checkpoint cannot be read.
    #[error("{path}: {reason}; remove {checkpoint} to resume from the one before it")]
    BadCheckpoint {
        /// The checkpoint's folder.
        checkpoint: PathBuf,
        /// The file in it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// All steps of the run are done.
    #[error("all {steps} steps are done; raise steps to train longer")]
    NoStepsLeft {
        /// Steps of the run.
        steps: u64,
    },
}

/// Where to go back to after a divergence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood(pub Option<PathBuf>);

impl LastGood {
    fn hint(&self) -> String {
        match &self.0 {
            Some(path) => format!(
                "the last good checkpoint is {}; continue from it with a lower learning rate, \
                 with clipping or with other data",
                path.display()
            ),
            None => "there is no checkpoint yet; begin again with a lower learning rate, with \
                     clipping or with other data"
                .into(),
        }
    }
}
