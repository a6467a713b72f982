//! The loop over steps: log, evaluate, save, stop when asked to, give the model out at the end.

use crate::error::TrainError;
use crate::record::StepRecord;
use crate::trainer::Trainer;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a run came to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All steps are done; the model stands in the output folder.
    Finished {
        /// The last checkpoint, of the same model.
        checkpoint: PathBuf,
    },
    /// It was asked to stop; `--resume` goes on from here.
    Stopped {
        /// The checkpoint to go on from; none if no step was done.
        checkpoint: Option<PathBuf>,
    },
}

/// Takes all steps that are left. `report` sees every log line; `stop` may be set at any time, by a
/// signal for example, and is looked at after each step.
pub fn run(
    trainer: &mut Trainer,
    report: &mut dyn FnMut(&StepRecord),
    stop: &AtomicBool,
) -> Result<RunEnd, TrainError> {
    while trainer.steps_done() < trainer.settings().steps {
        if stop.load(Ordering::Relaxed) {
            return stopped(trainer);
        }
        let mut record = trainer.step()?;
        if evaluation_is_due(trainer) {
            record.eval_loss = trainer.evaluate()?;
        }
        trainer.record(&record)?;
        report(&record);
        if is_due(trainer.steps_done(), trainer.settings().save_every) {
            trainer.save()?;
        }
    }
    Ok(RunEnd::Finished { checkpoint: trainer.finish()? })
}

fn stopped(trainer: &mut Trainer) -> Result<RunEnd, TrainError> {
    let checkpoint = match trainer.steps_done() {
        0 => None,
        _ => Some(trainer.save()?),
    };
    Ok(RunEnd::Stopped { checkpoint })
}

fn evaluation_is_due(trainer: &Trainer) -> bool {
    let done = trainer.steps_done();
    done == trainer.settings().steps || is_due(done, trainer.settings().eval_every)
}

fn is_due(done: u64, every: Option<u64>) -> bool {
    every.is_some_and(|every| done.is_multiple_of(every))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_due_at_every_multiple_or_never() {
        let due: Vec<u64> = (1..=9).filter(|&done| is_due(done, Some(3))).collect();
        assert_eq!(due, [3, 6, 9]);
        assert!(!is_due(5, None));
    }
}
