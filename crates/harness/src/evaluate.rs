//! A task, a model and a number of shots to a result: the other files in their order.

use crate::error::HarnessError;
use crate::generation;
use crate::metrics::{self, Measured, Outcome};
use crate::mode::Mode;
use crate::request_cache::RequestCache;
use crate::requests::{self, Fingerprint};
use crate::scored;
pub use crate::scored::{Sample, Written};
use crate::shots::{self, Asking, Prompt};
use crate::task::{Asked, Document, Task};
use kollama_engine::{Score, ScoreRequest, Scorer, Tokenizer};

/// Resamples behind the standard error of a metric that is no plain mean; takes about a second for
/// 1,000 documents.
pub const BOOTSTRAP_ITERATIONS: usize = 100_000;

/// Ids that are handed to the scorer at once: 256 MiB of them. Most tasks have less in all, so
/// whatever their requests share is read once; the largest need bounded memory.
const IDS_AT_ONCE: usize = 1 << 26;

/// What a model did on a task, with all that is needed to know whether two results compare.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskResult {
    /// Name of the task.
    pub task: String,
    /// The protocol; its seeds are [`Mode::seeds`].
    pub mode: Mode,
    /// Version of the task.
    pub version: String,
    /// The group it is averaged with, where there is one.
    pub group: Option<String>,
    /// Solved examples before each question, how they were chosen, and the limit on documents.
    pub asking: Asking,
    /// Positions of the model; longer requests lost their beginning.
    pub window: usize,
    /// Fingerprint of the tokenizer.
    pub tokenizer: String,
    /// SHA-256 over the texts of all requests ([`requests::texts_fingerprint`]).
    pub prompts_sha256: String,
    /// SHA-256 over the ids of all requests ([`requests::fingerprint`]).
    pub requests_sha256: String,
    /// Each split that was read, with the SHA-256 of its file.
    pub data: Vec<(String, String)>,
    /// All documents of the split, of which a limit leaves the first ones.
    pub documents: usize,
    /// One number for each metric of the task.
    pub metrics: Vec<Measured>,
    /// Other metrics to print beside them ([`metrics::beside`]).
    pub beside: Vec<Measured>,
    /// The documents in the order of scoring.
    pub samples: Vec<Sample>,
}

/// The model that is asked, and its words.
pub struct Model<'a> {
    /// Texts to ids.
    pub tokenizer: &'a Tokenizer,
    /// Ids to likelihoods.
    pub scorer: &'a mut Scorer,
    /// Likelihoods that are known already, and keep those that are new.
    pub cache: Option<&'a mut RequestCache>,
}

impl TaskResult {
    /// How many documents the model saw without their beginning.
    pub fn cut_documents(&self) -> usize {
        self.samples.iter().filter(|sample| sample.is_cut).count()
    }

    /// Shots that were still whole, on average over all documents.
    pub fn effective_shots(&self) -> f64 {
        let whole: usize = self.samples.iter().map(|sample| sample.effective_shots).sum();
        whole as f64 / self.samples.len() as f64
    }
}

impl Model<'_> {
    fn score(
        &mut self,
        requests: &[ScoreRequest],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Score>, HarnessError> {
        match &mut self.cache {
            Some(cache) => cache.score(self.scorer, requests, progress),
            None => Ok(self.scorer.score(requests, progress)?),
        }
    }
}

/// Asks a model what `asking` says of a task.
///
/// `progress` hears how many requests are done and how many there are. The result depends on
/// nothing but the arguments: not on threads, and not on which requests share a batch.
pub fn evaluate(
    task: &Task,
    asking: &Asking,
    model: &mut Model<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<TaskResult, HarnessError> {
    let prompts = shots::prompts(task, asking)?;
    let prompts_sha256 = requests::texts_fingerprint(task, &prompts);
    let mut asked = Fingerprint::default();
    let mut samples = score(task, prompts, IDS_AT_ONCE, model, &mut asked, progress)?;
    write_answers(task, &mut samples, model, &mut asked, progress)?;
    let outcomes: Vec<Outcome> = samples.iter().map(|sample| sample.outcome.clone()).collect();
    let all = [task.metrics.clone(), metrics::beside(&task.metrics)].concat();
    let mut measured = metrics::measure(&all, &outcomes, BOOTSTRAP_ITERATIONS);
    let beside = measured.split_off(task.metrics.len());
    Ok(TaskResult {
        task: task.name.clone(),
        mode: task.mode,
        version: task.version.clone(),
        group: task.group.clone(),
        asking: *asking,
        window: model.scorer.window(),
        tokenizer: model.tokenizer.fingerprint(),
        prompts_sha256,
        requests_sha256: asked.finish(),
        data: task.data.clone(),
        documents: task.documents.len(),
        metrics: measured,
        beside,
        samples,
    })
}

/// Scores the choices of all documents, about `ids_at_once` ids at a time.
fn score(
    task: &Task,
    prompts: Vec<Prompt>,
    ids_at_once: usize,
    model: &mut Model<'_>,
    asked: &mut Fingerprint,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Sample>, HarnessError> {
    let choices = |prompt: &Prompt| task.documents[prompt.document].choices().len();
    let total = prompts.iter().map(choices).sum();
    let (mut done, mut samples) = (0, Vec::with_capacity(prompts.len()));
    let mut prompts = prompts.into_iter();
    loop {
        let (own, requests) = next_slice(task, &mut prompts, ids_at_once, model.tokenizer)?;
        if own.is_empty() {
            return Ok(samples);
        }
        requests.iter().for_each(|request| asked.add(request));
        let scores = model.score(&requests, &mut |now| progress(done + now, total))?;
        done += requests.len();
        let window = model.scorer.window();
        samples.extend(scored::samples(task, own, &requests, &scores, model.tokenizer, window));
    }
}

/// The next prompts and their requests, until there are `ids_at_once` ids.
fn next_slice(
    task: &Task,
    prompts: &mut impl Iterator<Item = Prompt>,
    ids_at_once: usize,
    tokenizer: &Tokenizer,
) -> Result<(Vec<Prompt>, Vec<ScoreRequest>), HarnessError> {
    let (mut own, mut requests, mut ids) = (Vec::new(), Vec::new(), 0);
    while ids < ids_at_once
        && let Some(prompt) = prompts.next()
    {
        let new = requests::of_prompt(task, &prompt, tokenizer)?;
        ids += new.iter().map(|it| it.context.len() + it.continuation.len()).sum::<usize>();
        requests.extend(new);
        own.push(prompt);
    }
    Ok((own, requests))
}

/// Lets the model write where documents ask for it.
fn write_answers(
    task: &Task,
    samples: &mut [Sample],
    model: &Model<'_>,
    asked: &mut Fingerprint,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), HarnessError> {
    let document = |sample: &Sample| &task.documents[sample.prompt.document];
    let writes = |sample: &Sample| matches!(document(sample).asked, Asked::Written { .. });
    let writing: Vec<(&Document, &str)> = samples
        .iter()
        .filter(|sample| writes(sample))
        .map(|sample| (document(sample), sample.prompt.text.as_str()))
        .collect();
    if writing.is_empty() {
        return Ok(());
    }
    let mut tell = |done| progress(done, writing.len());
    let answers =
        generation::answers(task.mode, &writing, model.tokenizer, model.scorer, &mut tell)?;
    for (sample, answer) in samples.iter_mut().filter(|sample| writes(sample)).zip(answers) {
        asked.add(&answer.request);
        sample.take(answer, model.tokenizer);
    }
    Ok(())
}

#[cfg(test)]
#[allow(dead_code, reason = "other tests need the rest of it")]
#[path = "../tests/small_kobest/mod.rs"]
mod small_kobest;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::DataSource;
    use crate::tasks;

    #[test]
    fn slices_hold_whole_documents_and_together_all_requests_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        small_kobest::write(folder.path());
        let data = DataSource::folder(folder.path());
        let task = tasks::load("kobest_copa", Mode::Polyglot, &data).unwrap().remove(0);
        let tokenizer = small_kobest::tokenizer(folder.path());
        let asking = Asking { shots: small_kobest::SHOTS, ..Asking::default() };
        let mut prompts = shots::prompts(&task, &asking).unwrap().into_iter();
        let (mut all, mut documents) = (Vec::new(), Vec::new());
        loop {
            let (own, requests) = next_slice(&task, &mut prompts, 500, &tokenizer).unwrap();
            if own.is_empty() {
                break;
            }
            assert_eq!(requests.len(), 2 * own.len());
            documents.push(own.len());
            all.extend(requests);
        }
        assert_eq!(all, small_kobest::requests_by_hand());
        assert!(documents.len() > 1 && documents.iter().any(|&count| count > 1), "{documents:?}");
    }
}
