//! KoBEST v1.0 (Kim et al. 2022, <https://arxiv.org/abs/2204.04541>): Korean benchmarks as
//! tab-separated files, here with the prompts of the `polyglot` branch of lm-evaluation-harness.
//! Blanks in a prompt are part of the protocol: published scores depend on them.

use crate::error::HarnessError;
use crate::metrics::Metric;
use crate::mode::Mode;
use crate::rows::Row;
use crate::source::{DataSource, DataSpec};
use crate::task::{Asked, Choice, Document, Drawing, Task};

/// Which of two sentences is the cause or the result of a third one.
pub const COPA: &str = "kobest_copa";
/// Whether a sentence, negated by hand in the test split, is meant well.
pub const SENTINEG: &str = "kobest_sentineg";

const METRICS: &[Metric] = &[Metric::Accuracy, Metric::MacroF1];

/// Turns a row into what the model reads.
type Parse = fn(&Row) -> Result<Document, HarnessError>;

/// `kobest_copa` from `COPA/{train,test}.tsv[.zst]`.
pub fn copa(mode: Mode, data: &DataSource) -> Result<Task, HarnessError> {
    task(COPA, mode, data, "COPA", copa_document)
}

/// `kobest_sentineg` from `SentiNeg/{train,test}.tsv[.zst]`.
pub fn sentineg(mode: Mode, data: &DataSource) -> Result<Task, HarnessError> {
    task(SENTINEG, mode, data, "SentiNeg", sentineg_document)
}

fn copa_document(row: &Row) -> Result<Document, HarnessError> {
    const CONNECTORS: [&str; 2] = ["왜냐하면", "그래서"];
    let asked = row.one_of("question", &["원인", "결과"], "원인 or 결과")?;
    let premise = row.text("sentence")?;
    let text = format!("{premise} {}", CONNECTORS[asked]);
    let gold = row.one_of("Answer", &["1", "2"], "1 or 2")?;
    Ok(document(row, text, [row.text("1")?, row.text("2")?], gold))
}

fn sentineg_document(row: &Row) -> Result<Document, HarnessError> {
    let text = format!("문장: {} 긍부정:", row.text("Text")?);
    Ok(document(row, text, ["부정", "긍정"], row.one_of("Label", &["0", "1"], "0 or 1")?))
}

fn document(row: &Row, text: String, choices: [&str; 2], gold: usize) -> Document {
    Document {
        text,
        target: format!(" {}", choices[gold]),
        asked: Asked::Choices { choices: choices.map(|it| Choice::new(" ", it)).to_vec(), gold },
        row: row.fields().clone().into(),
    }
}

fn task(
    name: &str,
    mode: Mode,
    data: &DataSource,
    folder: &str,
    parse: Parse,
) -> Result<Task, HarnessError> {
    let folders = vec![folder.to_owned(), format!("kobest/{folder}")];
    let spec = DataSpec { folders, quotes: false, ..DataSpec::default() };
    let [pool, test] = [data.split(&spec, &["train"])?, data.split(&spec, &["test"])?];
    Ok(Task {
        name: name.to_owned(),
        mode,
        version: "0".to_owned(),
        group: Some("kobest".to_owned()),
        description: String::new(),
        pool: pool.rows.iter().map(parse).collect::<Result<_, _>>()?,
        documents: test.rows.iter().map(parse).collect::<Result<_, _>>()?,
        drawing: Drawing::Sampled { skips_itself: false },
        metrics: METRICS.to_vec(),
        data: vec![("train".to_owned(), pool.sha256), ("test".to_owned(), test.sha256)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    const COPA_ROWS: &str = "ID\tsentence\tquestion\t1\t2\tAnswer\r\n\
        1\t비가 온다. \t결과 \t길이 젖는다.\t\"해\"가 난다.\t1\r\n\
        2\t길이 젖었다.\t원인\t해가 난다. \t비가 왔다.\t2\r\n";

    fn read(load: fn(Mode, &DataSource) -> Result<Task, HarnessError>, data: &Path) -> Task {
        load(Mode::Polyglot, &DataSource::folder(data)).unwrap()
    }

    fn refused(data: &Path) -> String {
        copa(Mode::Polyglot, &DataSource::folder(data)).unwrap_err().to_string()
    }

    fn asked(document: &Document) -> (&str, Vec<&str>, usize) {
        let Asked::Choices { choices, gold } = &document.asked else { panic!("no choices") };
        (&document.text, choices.iter().map(|it| it.continuation.as_str()).collect(), *gold)
    }

    #[test]
    fn copa_asks_with_a_connector_and_keeps_every_blank() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("COPA");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("train.tsv"), COPA_ROWS).unwrap();
        fs::write(folder.join("test.tsv"), COPA_ROWS).unwrap();
        let task = read(copa, data.path());
        let result = ("비가 온다.  그래서", vec![" 길이 젖는다.", " \"해\"가 난다."], 0);
        let cause = ("길이 젖었다. 왜냐하면", vec![" 해가 난다. ", " 비가 왔다."], 1);
        assert_eq!([asked(&task.pool[0]), asked(&task.pool[1])], [result, cause]);
        assert_eq!(task.documents, task.pool);
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
        let task = read(sentineg, data.path());
        assert_eq!(task.pool[0].solved(), "문장: 좋아요 긍부정: 긍정");
        assert_eq!(task.documents[0].solved(), "문장: 안 좋아요 긍부정: 부정");
    }

    #[test]
    fn a_missing_split_says_what_was_looked_for_and_where() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("COPA");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("train.tsv"), COPA_ROWS).unwrap();
        let message = refused(data.path());
        assert!(message.starts_with("no test split"), "{message}");
        assert!(message.contains("test.{") && message.contains("--data"), "{message}");
    }

    #[test]
    fn a_question_that_is_neither_cause_nor_result_names_its_line() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("COPA");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("train.tsv"), COPA_ROWS.replace("원인", "이유")).unwrap();
        fs::write(folder.join("test.tsv"), COPA_ROWS).unwrap();
        let message = refused(data.path());
        assert!(message.contains("train.tsv:3: column \"question\" holds \"이유\""), "{message}");
    }
}
