//! What tables and result files need of an evaluated task: everything but its documents, so that the
//! texts of a long run need not stay in memory.

use crate::evaluate::TaskResult;
use crate::figure::Cut;
use crate::metrics::Measured;
use crate::mode::Mode;
use crate::samples;
use crate::shots::Asking;

/// A task at one number of shots.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Name of the task.
    pub task: String,
    /// The protocol.
    pub mode: Mode,
    /// Version of the task.
    pub version: String,
    /// The group it is averaged with, where there is one.
    pub group: Option<String>,
    /// Number of shots, how they were chosen, and the limit.
    pub asking: Asking,
    /// All documents of the split.
    pub documents: usize,
    /// Documents scored, and what of them was cut.
    pub cut: Cut,
    /// Positions of the model.
    pub window: usize,
    /// Fingerprint of the tokenizer.
    pub tokenizer: String,
    /// Each split that was read, with the SHA-256 of its file.
    pub data: Vec<(String, String)>,
    /// The metrics of the task.
    pub metrics: Vec<Measured>,
    /// What is printed beside them.
    pub beside: Vec<Measured>,
    /// How many requests were scored.
    pub requests: usize,
    /// SHA-256 over their texts.
    pub prompts_sha256: String,
    /// SHA-256 over their ids.
    pub requests_sha256: String,
    /// SHA-256 over the hashes of its samples, as lm-evaluation-harness takes it.
    pub task_sha256: String,
}

impl Summary {
    /// Of a task whose samples may now go.
    pub fn of(result: &TaskResult) -> Summary {
        let requests = |sample: &crate::evaluate::Sample| sample.scores.len().max(1);
        Summary {
            task: result.task.clone(),
            mode: result.mode,
            version: result.version.clone(),
            group: result.group.clone(),
            asking: result.asking,
            documents: result.documents,
            cut: Cut {
                documents: result.samples.len(),
                cut_documents: result.cut_documents(),
                shots_left: result.effective_shots(),
            },
            window: result.window,
            tokenizer: result.tokenizer.clone(),
            data: result.data.clone(),
            metrics: result.metrics.clone(),
            beside: result.beside.clone(),
            requests: result.samples.iter().map(requests).sum(),
            prompts_sha256: result.prompts_sha256.clone(),
            requests_sha256: result.requests_sha256.clone(),
            task_sha256: samples::task_hash(result),
        }
    }
}
