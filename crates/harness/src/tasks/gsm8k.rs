//! GSM8K (Cobbe et al. 2021, <https://arxiv.org/abs/2110.14168>): word problems of school whose
//! solution the model writes; the number behind `####` is the answer.

use super::splits::{self, Places, Splits};
use crate::answers;
use crate::error::HarnessError;
use crate::metrics::Metric;
use crate::mode::Mode;
use crate::rows::Row;
use crate::source::DataSource;
use crate::task::{Asked, Document, Judge, Task};

/// Its name.
pub const NAME: &str = "gsm8k";

/// What the harnesses allow an answer unless a task says otherwise.
const NEW_TOKENS: usize = 256;

/// `gsm8k`.
pub fn load(mode: Mode, data: &DataSource) -> Result<Task, HarnessError> {
    let places = Places {
        spec: splits::spec("gsm8k", "openai/gsm8k", Some("main")),
        scored: ("test", &["test"]),
        train: &["train"],
        // Nothing: its solved examples are needed, and a second look says that they are missing.
        stand_in: Some(("train", &["train"])),
    };
    let splits = Splits::read(&places, mode, data)?;
    let task = splits.task(NAME, mode, ["0", "3.0"], |row| document(mode, row))?;
    let metrics: &[&'static str] = match mode {
        Mode::LmEval => &[answers::STRICT, answers::FLEXIBLE],
        Mode::LeaderboardV1 | Mode::Polyglot => &[answers::ACCURACY],
    };
    Ok(Task { metrics: metrics.iter().map(|name| Metric::Written(name)).collect(), ..task })
}

fn document(mode: Mode, row: &Row) -> Result<Document, HarnessError> {
    let (question, answer) = (row.text("question")?, row.text("answer")?);
    if answers::final_number(answer).is_none() {
        return Err(row.bad("answer", "a solution that ends in #### and a number"));
    }
    let (stop, judge): (&[&str], Judge) = match mode {
        Mode::LmEval => (&["Question:", "</s>", "<|im_end|>"], Judge::StrictAndFlexibleNumber),
        Mode::LeaderboardV1 | Mode::Polyglot => {
            (&[":", "Question:", "Question"], Judge::FinalNumber)
        }
    };
    Ok(Document {
        text: format!("Question: {question}\nAnswer:"),
        target: format!(" {answer}"),
        asked: Asked::Written {
            stop: stop.iter().map(|&stop| stop.to_owned()).collect(),
            max_new_tokens: NEW_TOKENS,
            answers: vec![vec![answer.to_owned()]],
            judge,
        },
        row: row.fields().clone().into(),
    })
}
