//! One step of training: read [`Trainer::step`] first. How a run begins and goes on again is told
//! below it; the loop over steps is in `run.rs`.

use crate::adamw::{Optimizer, clip_factor};
use crate::batches::counted;
use crate::begin::{self, Beginning, Plan};
use crate::checkpoints::{Checkpoints, TRAINER_FOLDER, publish};
use crate::durable::failed;
use crate::error::{LastGood, TrainError};
use crate::guard::{first_not_finite, weight_not_finite};
use crate::moments;
use crate::record::{self, Log, StepRecord};
use crate::schedule::learning_rate;
use crate::settings::{RecomputeChoice, TrainSettings};
use crate::state::State;
use kollama_kernels::ops::Before;
use kollama_kernels::{AdamW, DType, Device};
use kollama_llama::{Master, Parameters, Recompute, Tape, TrainBatch, copy_companions};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// A run: the model, what AdamW remembers of it, and how far it is.
pub struct Trainer {
    settings: TrainSettings,
    master: Master,
    gradients: Parameters,
    optimizer: Optimizer,
    tape: Tape,
    plan: Plan,
    checkpoints: Checkpoints,
    log: Log,
    step: u64,
    tokens: u64,
}

impl Trainer {
    /// One optimiser step: rows to loss to gradients to new weights.
    ///
    /// The loss is the sum of −log p over all counted labels of all micro-batches, divided by their
    /// number; so labels are counted before anything is computed.
    ///
    /// # Errors
    /// If all steps are done, if no label counts, or if a number is NaN or infinite; the weights
    /// are then as they were.
    pub fn step(&mut self) -> Result<StepRecord, TrainError> {
        let begin = Instant::now();
        let batches = self.next_batches()?;
        let counted = self.counted(&batches)? as f64;
        let scale = (1.0 / counted) as f32;
        let mut loss = 0.0;
        let mut before = Before::Nothing;
        for batch in &batches {
            let (tape, gradients) = (&mut self.tape, &mut self.gradients);
            loss += self.master.model.loss_and_gradients(batch, scale, tape, gradients, before);
            before = Before::Others;
        }
        loss /= counted;
        let grad_norm = self.guarded_norm(loss)?;
        let lr = learning_rate(&self.settings, self.step);
        let update = self.update(lr, grad_norm);
        self.optimizer.update(&mut self.master, &self.gradients, update);
        self.master.model.device.finish()?;
        self.step += 1;
        self.tokens += self.settings.tokens_per_step();
        let speed = self.settings.tokens_per_step() as f64 / begin.elapsed().as_secs_f64();
        Ok(StepRecord {
            step: self.step,
            loss,
            grad_norm,
            lr,
            tokens: self.tokens,
            tokens_per_second: (speed * 10.0).round() / 10.0,
            eval_loss: None,
        })
    }

    /// Mean of −log p over all counted labels of the evaluation data; none without such data.
    ///
    /// # Errors
    /// If the data cannot be read, if none of its labels counts, or if the mean is NaN or infinite.
    pub fn evaluate(&mut self) -> Result<Option<f64>, TrainError> {
        let Some(evaluation) = &self.plan.evaluation else { return Ok(None) };
        let (mut loss, mut labels) = (0.0, 0);
        for batch in evaluation.once() {
            let batch = batch?;
            loss += self.master.model.loss(&batch, &mut self.tape);
            labels += counted(std::slice::from_ref(&batch));
        }
        match labels {
            0 => Err(TrainError::NothingToEvaluate { data: evaluation.folder().into() }),
            _ if !loss.is_finite() => Err(self.diverged(self.step, "the evaluation loss".into())?),
            _ => Ok(Some(loss / labels as f64)),
        }
    }

    /// Writes a checkpoint of this step and returns its folder.
    ///
    /// # Errors
    /// If it cannot be written, or if a weight or a moment is NaN or infinite: a spoilt checkpoint
    /// must not push out a good one.
    pub fn save(&mut self) -> Result<PathBuf, TrainError> {
        self.guard_weights()?;
        self.log.sync()?;
        // The checkpoint that a run goes on from is removed in time; the newest one never is.
        let newest = self.checkpoints.newest()?;
        let companions = newest.as_ref().unwrap_or(&self.plan.source);
        self.checkpoints.save(self.step, |folder| {
            self.master.save(folder)?;
            copy_companions(companions, folder)?;
            let inner = folder.join(TRAINER_FOLDER);
            fs::create_dir_all(&inner).map_err(failed("create", &inner))?;
            moments::write(&self.optimizer, &inner.join(moments::FILE))?;
            State::write(self.step, self.tokens, &self.plan.pinned, folder)
        })
    }

    /// Writes a checkpoint of this step and gives its model out as the model of the run.
    pub fn finish(&mut self) -> Result<PathBuf, TrainError> {
        let checkpoint = self.save()?;
        publish(&checkpoint, &self.settings.out)?;
        Ok(checkpoint)
    }

    /// Adds a line to the log.
    pub fn record(&mut self, record: &StepRecord) -> Result<(), TrainError> {
        self.log.append(record)
    }

    /// What the run was asked to do.
    pub fn settings(&self) -> &TrainSettings {
        &self.settings
    }

    /// The model as it is now.
    pub fn master(&self) -> &Master {
        &self.master
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Number of weights that learn.
    pub fn trained_weights(&self) -> u64 {
        self.optimizer.trained_weights()
    }

    fn next_batches(&self) -> Result<Vec<TrainBatch>, TrainError> {
        if self.step >= self.settings.steps {
            return Err(TrainError::NoStepsLeft { steps: self.settings.steps });
        }
        self.plan.batches.of_step(self.step)
    }

    fn counted(&self, batches: &[TrainBatch]) -> Result<u64, TrainError> {
        match counted(batches) {
            0 => {
                let rows = self.settings.rows_per_step();
                Err(TrainError::NothingCounted { step: self.step + 1, rows })
            }
            counted => Ok(counted),
        }
    }

    /// The gradient norm of a step whose numbers are all finite.
    fn guarded_norm(&self, loss: f64) -> Result<f64, TrainError> {
        let norm = self.optimizer.gradient_norm(&self.gradients);
        let what = match norm.not_finite {
            _ if !loss.is_finite() => "the loss".into(),
            Some(tensor) => format!("the gradient of {tensor}"),
            None => return Ok(norm.value),
        };
        Err(self.diverged(self.step + 1, what)?)
    }

    /// The update itself may overflow, which the loss shows only one step later.
    fn guard_weights(&self) -> Result<(), TrainError> {
        let moments = || first_not_finite(self.optimizer.named());
        match weight_not_finite(&self.master)?.or_else(moments) {
            Some((tensor, row)) => Err(self.diverged(self.step, format!("{tensor}, row {row},"))?),
            None => Ok(()),
        }
    }

    fn diverged(&self, step: u64, what: String) -> Result<TrainError, TrainError> {
        let last_good = LastGood(self.checkpoints.newest()?);
        Ok(TrainError::Diverged { step, what, last_good })
    }

    fn update(&self, learning_rate: f64, grad_norm: f64) -> AdamW {
        AdamW {
            learning_rate: learning_rate as f32,
            beta1: self.settings.beta1 as f32,
            beta2: self.settings.beta2 as f32,
            epsilon: self.settings.epsilon as f32,
            weight_decay: self.settings.weight_decay as f32,
            gradient_scale: clip_factor(grad_norm, self.settings.clip) as f32,
            step: self.step + 1,
        }
    }
}

/// How a run begins, and how it goes on.
impl Trainer {
    /// Begins a run in a folder that holds none. `tokenizer` is the fingerprint of the model's.
    ///
    /// # Errors
    /// If settings, model and data do not fit each other, or the output folder holds a run.
    pub fn start(
        settings: TrainSettings,
        device: &Device,
        tokenizer: Option<&str>,
    ) -> Result<Trainer, TrainError> {
        settings.check()?;
        begin::refuse_another_run(&settings)?;
        Trainer::assemble(settings, device, tokenizer, None)
    }

    /// Goes on from the newest checkpoint of the run in the output folder, or begins it.
    ///
    /// # Errors
    /// As [`Trainer::start`]; if the checkpoint is damaged, or began with other settings, other data
    /// or another model; if the log file is no log.
    pub fn resume(
        settings: TrainSettings,
        device: &Device,
        tokenizer: Option<&str>,
    ) -> Result<Trainer, TrainError> {
        settings.check()?;
        record::read(&settings.log_file())?;
        let checkpoints = Checkpoints::of_run(&settings.out, settings.keep);
        checkpoints.clean()?;
        let checkpoint = checkpoints.newest()?;
        Trainer::assemble(settings, device, tokenizer, checkpoint)
    }

    fn assemble(
        settings: TrainSettings,
        device: &Device,
        tokenizer: Option<&str>,
        checkpoint: Option<PathBuf>,
    ) -> Result<Trainer, TrainError> {
        let Beginning { plan, master, optimizer, step, tokens } =
            Beginning::prepare(&settings, device, tokenizer, checkpoint)?;
        let rows = settings.batch_size * settings.sequence_length;
        let (config, dtype) = (&master.model.config, settings.dtype.of_matrices());
        let tape = Tape::new(config, device, rows, recompute(&settings), dtype)?;
        let gradients = Parameters::zeros(config, device, DType::F32)?;
        let checkpoints = Checkpoints::of_run(&settings.out, settings.keep);
        fs::create_dir_all(&settings.out).map_err(failed("create", &settings.out))?;
        let log = Log::open(&settings.log_file(), step)?;
        Ok(Trainer {
            settings,
            master,
            gradients,
            optimizer,
            tape,
            plan,
            checkpoints,
            log,
            step,
            tokens,
        })
    }
}

fn recompute(settings: &TrainSettings) -> Recompute {
    match settings.recompute {
        RecomputeChoice::None => Recompute::None,
        RecomputeChoice::Layer => Recompute::Layer,
    }
}
