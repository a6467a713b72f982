//! Training: a model folder and packed rows in, a log, checkpoints and a better model folder out.
//!
//! ```text
//! settings --begin--> model + data + moments
//!                           |
//!        +---- batches -> loss and gradients -> norm -> adamw ----+     one step (trainer)
//!        |                                                        |
//!        +------------------ record -> log -----------------------+     all steps (run)
//!                               |
//!                               +--> checkpoints --> the model
//! ```
//!
//! Read in this order: [`Trainer::step`] (one step), [`run`] (the loop), [`TrainSettings`] (what a
//! run is), `batches` and `order` (which rows when), `adamw` (the update), `checkpoints` and
//! `state` (how a run survives being killed), [`estimate`] (what it will need).
//!
//! Three promises, each held by a test: the numbers follow PyTorch's in f64
//! (`tests/against_pytorch.rs`); a run that was stopped or killed and resumed is bit for bit the run
//! that never was (`tests/resume.rs`); neither the number of threads nor `recompute` changes a bit.
//!
//! ```no_run
//! use kollama_kernels::Device;
//! use kollama_trainer::{TrainSettings, Trainer, run};
//! use std::{path::Path, sync::atomic::AtomicBool};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = TrainSettings::read(Path::new("train.toml"))?;
//! let mut trainer = Trainer::resume(settings, &Device::cpu(2)?, None)?;
//! run(&mut trainer, &mut |record| println!("{record:?}"), &AtomicBool::new(false))?;
//! # Ok(())
//! # }
//! ```

mod adamw;
mod batches;
mod begin;
mod checkpoints;
mod durable;
mod error;
mod estimate;
mod fingerprint;
mod guard;
mod moments;
mod order;
mod record;
mod run;
mod schedule;
mod settings;
mod state;
mod trained;
mod trainer;

pub use error::{LastGood, TrainError};
pub use estimate::{Estimate, estimate};
pub use record::StepRecord;
pub use run::{RunEnd, run};
pub use schedule::{FINAL_SHARE, learning_rate};
pub use settings::{DtypeChoice, Order, RecomputeChoice, Schedule, TrainOnly, TrainSettings};
pub use trainer::Trainer;
