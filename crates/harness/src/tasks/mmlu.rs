//! MMLU (Hendrycks et al. 2021, <https://arxiv.org/abs/2009.03300>): exam questions on 57 subjects
//! with four answers each. A subject is a task; its shots are the first questions of its dev split,
//! in their order.

use super::nested;
use super::splits;
use crate::error::HarnessError;
use crate::metrics::Metric;
use crate::mode::Mode;
use crate::row_files::Split;
use crate::rows::Row;
use crate::source::DataSource;
use crate::task::{Asked, Choice, Document, Drawing, Task};

/// The name of all subjects together, and of the group they are averaged in.
pub const NAME: &str = "mmlu";

const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// The subjects, in alphabetical order.
pub const SUBJECTS: [&str; 57] = [
    "abstract_algebra",
    "anatomy",
    "astronomy",
    "business_ethics",
    "clinical_knowledge",
    "college_biology",
    "college_chemistry",
    "college_computer_science",
    "college_mathematics",
    "college_medicine",
    "college_physics",
    "computer_security",
    "conceptual_physics",
    "econometrics",
    "electrical_engineering",
    "elementary_mathematics",
    "formal_logic",
    "global_facts",
    "high_school_biology",
    "high_school_chemistry",
    "high_school_computer_science",
    "high_school_european_history",
    "high_school_geography",
    "high_school_government_and_politics",
    "high_school_macroeconomics",
    "high_school_mathematics",
    "high_school_microeconomics",
    "high_school_physics",
    "high_school_psychology",
    "high_school_statistics",
    "high_school_us_history",
    "high_school_world_history",
    "human_aging",
    "human_sexuality",
    "international_law",
    "jurisprudence",
    "logical_fallacies",
    "machine_learning",
    "management",
    "marketing",
    "medical_genetics",
    "miscellaneous",
    "moral_disputes",
    "moral_scenarios",
    "nutrition",
    "philosophy",
    "prehistory",
    "professional_accounting",
    "professional_law",
    "professional_medicine",
    "professional_psychology",
    "public_relations",
    "security_studies",
    "sociology",
    "us_foreign_policy",
    "virology",
    "world_religions",
];

/// The subject that a task `mmlu_SUBJECT` is about.
pub fn subject(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("mmlu_")?;
    SUBJECTS.into_iter().find(|&subject| subject == name)
}

/// One task for each of `subjects`, from files whose rows say in a column `subject` what they are
/// about.
pub fn load(subjects: &[&str], mode: Mode, data: &DataSource) -> Result<Vec<Task>, HarnessError> {
    let spec = splits::spec("mmlu", "cais/mmlu", Some("all"));
    let dev = data.split(&spec, &["mmlu_dev", "dev"])?;
    let test = data.split(&spec, &["mmlu_test", "test"])?;
    subjects.iter().map(|subject| task(subject, mode, &dev, &test)).collect()
}

fn task(subject: &str, mode: Mode, dev: &Split, test: &Split) -> Result<Task, HarnessError> {
    let today = mode == Mode::LmEval;
    let words = subject.replace('_', " ");
    Ok(Task {
        name: format!("{}{subject}", if today { "mmlu_" } else { "hendrycksTest-" }),
        mode,
        version: if today { "1.0" } else { "1" }.to_owned(),
        group: Some(NAME.to_owned()),
        description: format!(
            "The following are multiple choice questions (with answers) about {words}.\n\n"
        ),
        pool: about(subject, dev)?,
        documents: about(subject, test)?,
        drawing: Drawing::First,
        metrics: metrics(mode),
        data: [("test", test), ("dev", dev)]
            .map(|(name, it)| (name.to_owned(), it.sha256.clone()))
            .to_vec(),
    })
}

/// The first leaderboard wrote down both; with choices of one letter they are the same.
fn metrics(mode: Mode) -> Vec<Metric> {
    match mode {
        Mode::LmEval => vec![Metric::Accuracy],
        Mode::LeaderboardV1 | Mode::Polyglot => vec![Metric::Accuracy, Metric::AccuracyNormalised],
    }
}

fn about(subject: &str, split: &Split) -> Result<Vec<Document>, HarnessError> {
    let mut documents = Vec::new();
    for row in &split.rows {
        if row.text("subject")? == subject {
            documents.push(document(row)?);
        }
    }
    if documents.is_empty() {
        let what = format!("{}: the subject {subject}", split.path.display());
        return Err(HarnessError::NothingToScore { what });
    }
    Ok(documents)
}

fn document(row: &Row) -> Result<Document, HarnessError> {
    let question = row.text("question")?.trim();
    let choices = nested::texts(row, "choices", Some(row.value("choices")?), "four texts")?;
    let [a, b, c, d] = choices[..] else { return Err(row.bad("choices", "four texts")) };
    let keys = ["0", "1", "2", "3", "A", "B", "C", "D"];
    let gold = row.one_of("answer", &keys, "0 to 3, or A to D")? % LETTERS.len();
    Ok(Document {
        text: format!("{question}\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer:"),
        target: format!(" {}", LETTERS[gold]),
        asked: Asked::Choices { choices: LETTERS.map(|it| Choice::new(" ", it)).to_vec(), gold },
        row: row.fields().clone().into(),
    })
}
