//! KoBEST v1.0 (Kim et al. 2022, <https://arxiv.org/abs/2204.04541>): Korean benchmarks as
//! tab-separated files, here with the prompts of the `polyglot` branch of lm-evaluation-harness.
//! Blanks in a prompt are part of the protocol: published scores depend on them.

use crate::error::HarnessError;
use crate::metrics::Metric;
use crate::rows::Row;
use crate::source::{DataSource, DataSpec};
use crate::task::{Document, Task};
use std::path::Path;

/// Which of two sentences is the cause or the result of a third one.
pub const COPA: &str = "kobest_copa";
/// Whether a sentence, negated by hand in the test split, is meant well.
pub const SENTINEG: &str = "kobest_sentineg";

const METRICS: &[Metric] = &[Metric::Accuracy, Metric::MacroF1];

/// Turns a row into what the model reads.
type Parse = fn(&Row) -> Result<Document, HarnessError>;

/// `kobest_copa` from `COPA/{train,test}.tsv[.zst]`.
pub fn copa(data: &Path) -> Result<Task, HarnessError> {
    task(COPA, data, "COPA", copa_document)
}

/// `kobest_sentineg` from `SentiNeg/{train,test}.tsv[.zst]`.
pub fn sentineg(data: &Path) -> Result<Task, HarnessError> {
    task(SENTINEG, data, "SentiNeg", sentineg_document)
}

fn copa_document(row: &Row) -> Result<Document, HarnessError> {
    const CONNECTORS: [&str; 2] = ["왜냐하면", "그래서"];
    let asked = row.one_of("question", &["원인", "결과"], "원인 or 결과")?;
    let premise = row.text("sentence")?;
    Ok(Document {
        text: format!("{premise} {}", CONNECTORS[asked]),
        choices: vec![format!(" {}", row.text("1")?), format!(" {}", row.text("2")?)],
        gold: row.one_of("Answer", &["1", "2"], "1 or 2")?,
    })
}

fn sentineg_document(row: &Row) -> Result<Document, HarnessError> {
    Ok(Document {
        text: format!("문장: {} 긍부정:", row.text("Text")?),
        choices: vec![" 부정".to_owned(), " 긍정".to_owned()],
        gold: row.one_of("Label", &["0", "1"], "0 or 1")?,
    })
}

fn task(name: &'static str, data: &Path, folder: &str, parse: Parse) -> Result<Task, HarnessError> {
    let data = DataSource::folder(data);
    let folders = vec![folder.to_owned(), format!("kobest/{folder}")];
    let spec = DataSpec { folders, quotes: false, ..DataSpec::default() };
    let split = |stem: &str| -> Result<Vec<Document>, HarnessError> {
        data.split(&spec, &[stem])?.rows.iter().map(parse).collect()
    };
    Ok(Task {
        name,
        version: 0,
        pool: split("train")?,
        documents: split("test")?,
        metrics: METRICS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const COPA_ROWS: &str = "ID\tsentence\tquestion\t1\t2\tAnswer\r\n\
        1\t비가 온다. \t결과 \t길이 젖는다.\t\"해\"가 난다.\t1\r\n\
        2\t길이 젖었다.\t원인\t해가 난다. \t비가 왔다.\t2\r\n";

    fn document(text: &str, choices: [&str; 2], gold: usize) -> Document {
        Document { text: text.to_owned(), choices: choices.map(str::to_owned).to_vec(), gold }
    }

    #[test]
    fn copa_asks_with_a_connector_and_keeps_every_blank() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("COPA");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("train.tsv"), COPA_ROWS).unwrap();
        fs::write(folder.join("test.tsv"), COPA_ROWS).unwrap();
        let task = copa(data.path()).unwrap();
        let result = document("비가 온다.  그래서", [" 길이 젖는다.", " \"해\"가 난다."], 0);
        let cause = document("길이 젖었다. 왜냐하면", [" 해가 난다. ", " 비가 왔다."], 1);
        assert_eq!(task.pool, [result.clone(), cause.clone()]);
        assert_eq!(task.documents, [result, cause]);
        assert_eq!(task.pool[0].solved(), "비가 온다.  그래서 길이 젖는다.");
    }

    #[test]
    fn sentineg_scores_the_negated_sentence_of_a_test_split_with_other_columns() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("kobest").join("SentiNeg");
        fs::create_dir_all(&folder).unwrap();
        let train = "ID\tText\tLabel\r\n1\t좋아요\t1\r\n";
        let test = "ID\tLabel_origin\tText_origin\tLabel\tText\r\n9\t1\t좋아요\t0\t안 좋아요\r\n";
        fs::write(folder.join("train.tsv"), train).unwrap();
        let packed = zstd::encode_all(test.as_bytes(), 0).unwrap();
        fs::write(folder.join("test.tsv.zst"), packed).unwrap();
        let task = sentineg(data.path()).unwrap();
        assert_eq!(task.pool[0].solved(), "문장: 좋아요 긍부정: 긍정");
        assert_eq!(task.documents[0].solved(), "문장: 안 좋아요 긍부정: 부정");
    }

    #[test]
    fn a_missing_split_says_what_was_looked_for_and_where() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("COPA");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("train.tsv"), COPA_ROWS).unwrap();
        let message = copa(data.path()).unwrap_err().to_string();
        assert!(message.starts_with("no test split"), "{message}");
        assert!(message.contains("test.tsv.zst, ") && message.contains("--data"), "{message}");
    }

    #[test]
    fn a_question_that_is_neither_cause_nor_result_names_its_line() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("COPA");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("train.tsv"), COPA_ROWS.replace("원인", "이유")).unwrap();
        let message = copa(data.path()).unwrap_err().to_string();
        assert!(message.contains("train.tsv:3: column \"question\" holds \"이유\""), "{message}");
    }
}
