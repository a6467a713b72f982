//! How a run begins or goes on: everything is checked against everything before anything large is
//! loaded or anything is written. Takes no step.

use crate::adamw::Optimizer;
use crate::batches::Batches;
use crate::checkpoints::{CONFIG, TRAINER_FOLDER};
use crate::error::TrainError;
use crate::fingerprint;
use crate::guard::weight_not_finite;
use crate::moments;
use crate::settings::{TrainOnly, TrainSettings};
use crate::state::{Pinned, State, bad};
use crate::trained::Trained;
use kollama_kernels::{DType, Device};
use kollama_llama::{BASE_VOCAB_SIZE, LlamaConfig, Master};
use std::path::{Path, PathBuf};

/// What is known before weights are loaded.
pub struct Plan {
    /// Folder of the weights to begin with: the model's, or a checkpoint's.
    pub source: PathBuf,
    /// What to learn from.
    pub batches: Batches,
    /// What never to learn from.
    pub evaluation: Option<Batches>,
    /// What must not differ when the run goes on later.
    pub pinned: Pinned,
    trained: Trained,
    state: Option<State>,
}

/// A run that is ready for its next step.
pub struct Beginning {
    /// What was known before.
    pub plan: Plan,
    /// The model, every weight finite.
    pub master: Master,
    /// What AdamW remembers.
    pub optimizer: Optimizer,
    /// Steps done.
    pub step: u64,
    /// Tokens read.
    pub tokens: u64,
}

impl Beginning {
    /// From the checkpoint, or from the model of the settings.
    pub fn prepare(
        settings: &TrainSettings,
        device: &Device,
        tokenizer: Option<&str>,
        checkpoint: Option<PathBuf>,
    ) -> Result<Beginning, TrainError> {
        if checkpoint.is_none() {
            refuse_another_model(settings)?;
        }
        let plan = Plan::new(settings, tokenizer, checkpoint)?;
        if let Some(state) = &plan.state {
            state.check_same_run(&plan.pinned, &plan.source)?;
            state.check_files(&plan.source)?;
        }
        let master = open_model(&plan.source, device, settings.dtype.of_matrices())?;
        let mut optimizer = Optimizer::new(&master.model.parameters, plan.trained)?;
        let (step, tokens) = match &plan.state {
            Some(state) => {
                let path = plan.source.join(TRAINER_FOLDER).join(moments::FILE);
                moments::read(&mut optimizer, &path)
                    .map_err(|why| bad(&plan.source, &path, why))?;
                (state.step, state.tokens)
            }
            None => (0, 0),
        };
        Ok(Beginning { plan, master, optimizer, step, tokens })
    }
}

impl Plan {
    fn new(
        settings: &TrainSettings,
        tokenizer: Option<&str>,
        checkpoint: Option<PathBuf>,
    ) -> Result<Plan, TrainError> {
        let state = checkpoint.as_deref().map(State::read).transpose()?;
        let source = checkpoint.unwrap_or_else(|| settings.model.clone());
        let config = LlamaConfig::read(&source)?;
        let batches = Batches::open(settings)?;
        let evaluation = Batches::open_evaluation(settings)?;
        for data in [Some(&batches), evaluation.as_ref()].into_iter().flatten() {
            data.check_fits(config.vocab_size, tokenizer)?;
        }
        let trained = trained(settings, &config)?;
        let first_model = first_model(settings, state.as_ref())?;
        let pinned = Pinned::new(settings, &batches, first_model, trained);
        Ok(Plan { source, batches, evaluation, pinned, trained, state })
    }
}

/// Refuses to begin a run where there is one.
pub fn refuse_another_run(settings: &TrainSettings) -> Result<(), TrainError> {
    let out = &settings.out;
    let places = [out.join("checkpoints"), settings.log_file()];
    match places.into_iter().find(|place| place.exists()) {
        Some(found) => Err(TrainError::RunExists { out: out.clone(), found }),
        None => Ok(()),
    }
}

/// Refuses to begin a run where there is a model, which would be replaced at its end.
fn refuse_another_model(settings: &TrainSettings) -> Result<(), TrainError> {
    match settings.out.join(CONFIG).exists() {
        true => Err(TrainError::ModelExists { out: settings.out.clone() }),
        false => Ok(()),
    }
}

/// Fingerprint of the model that the run begins or began with. That model may be gone when the run
/// goes on, since a checkpoint holds all that is needed of it.
fn first_model(settings: &TrainSettings, state: Option<&State>) -> Result<String, TrainError> {
    match state.and_then(|state| state.pinned.model()) {
        Some(began_with) if !settings.model.exists() => Ok(began_with.to_owned()),
        _ => fingerprint::of_model(&settings.model),
    }
}

fn trained(settings: &TrainSettings, config: &LlamaConfig) -> Result<Trained, TrainError> {
    let vocab_size = config.vocab_size;
    let from_config = || config.other_fields.get(BASE_VOCAB_SIZE)?.as_u64();
    let base = settings.base_vocab_size.or_else(|| from_config().map(|base| base as usize));
    let first_new_row = match (settings.train_only, base) {
        (TrainOnly::All | TrainOnly::Embeddings, _) => 0,
        (TrainOnly::NewRows, Some(base)) if base < vocab_size => base,
        (TrainOnly::NewRows, Some(base)) => {
            return Err(TrainError::NoNewRows { base, vocab_size });
        }
        (TrainOnly::NewRows, None) => {
            let config = settings.model.join(CONFIG);
            return Err(TrainError::BaseVocabularyUnknown { config });
        }
    };
    Ok(Trained::new(settings.train_only, first_new_row))
}

fn open_model(folder: &Path, device: &Device, dtype: DType) -> Result<Master, TrainError> {
    let master = Master::open(folder, device, dtype)?;
    match weight_not_finite(&master)? {
        Some((tensor, row)) => {
            Err(TrainError::WeightNotFinite { folder: folder.into(), tensor, row })
        }
        None => Ok(master),
    }
}
