//! Task files on small folders: the six that are part of the program read every trap of their data
//! and word it as each mode does; one of a user works alike, and what is wrong with it is one clear
//! error.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

use kollama_harness::task::{Asked, Document};
use kollama_harness::{Asking, DataSource, Fewshot, Mode, Task, shots, tasks};
use std::fs;
use std::path::Path;

/// CRLF, blanks that belong to the text, quotes that are none, a blank after a word of choice.
const COPA: &str = "ID\tsentence\tquestion\t1\t2\tAnswer\r\n\
    1\t비가 온다. \t결과 \t길이 젖는다.\t\"해\"가 난다.\t1\r\n\
    2\t길이 젖었다.\t원인\t해가 난다. \t비가 왔다.\t2\r\n";

fn write(data: &Path, folder: &str, files: &[(&str, &str)]) {
    fs::create_dir_all(data.join(folder)).unwrap();
    for (name, text) in files {
        fs::write(data.join(folder).join(name), text).unwrap();
    }
}

fn load(name: &str, mode: Mode, data: &Path) -> Task {
    tasks::load(name, mode, &DataSource::folder(data)).unwrap().remove(0)
}

fn refused(name: &str, data: &Path) -> String {
    tasks::load(name, Mode::Polyglot, &DataSource::folder(data)).unwrap_err().to_string()
}

fn asked(document: &Document) -> (&str, Vec<&str>, usize) {
    let Asked::Choices { choices, gold } = &document.asked else { panic!("no choices") };
    (&document.text, choices.iter().map(|it| it.continuation.as_str()).collect(), *gold)
}

#[test]
fn copa_keeps_every_blank_and_lm_eval_has_one_more() {
    let data = tempfile::tempdir().unwrap();
    write(data.path(), "COPA", &[("train.tsv", COPA), ("test.tsv", COPA)]);
    let task = load("kobest_copa", Mode::Polyglot, data.path());
    let result = ("비가 온다.  그래서", vec![" 길이 젖는다.", " \"해\"가 난다."], 0);
    let cause = ("길이 젖었다. 왜냐하면", vec![" 해가 난다. ", " 비가 왔다."], 1);
    assert_eq!([asked(&task.documents[0]), asked(&task.documents[1])], [result, cause]);
    assert_eq!(task.pool, task.documents);
    assert_eq!(task.pool[0].solved(), "비가 온다.  그래서 길이 젖는다.");
    let today = load("kobest_copa", Mode::LmEval, data.path());
    assert_eq!(today.documents[1].text, "길이 젖었다.  왜냐하면");
    assert_eq!((task.version.as_str(), today.version.as_str()), ("0", "1.0"));
}

#[test]
fn the_columns_of_the_hub_serve_as_those_of_the_tables() {
    let data = tempfile::tempdir().unwrap();
    let row = r#"{"premise": "비가 온다.", "question": "결과", "alternative_1": "젖는다.",
        "alternative_2": "마른다.", "label": 1}"#
        .replace('\n', "");
    write(data.path(), "COPA", &[("train.jsonl", &row), ("test.jsonl", &row)]);
    let task = load("kobest_copa", Mode::Polyglot, data.path());
    assert_eq!(asked(&task.documents[0]), ("비가 온다. 그래서", vec![" 젖는다.", " 마른다."], 1));
}

#[test]
fn boolq_ends_its_text_with_a_blank_and_reads_true_in_any_case() {
    let data = tempfile::tempdir().unwrap();
    let rows = "ID\tText\tQuestion\tAnswer\r\n1\t\"글\"\t물음\tTRUE\r\n2\t글\t물음\tFalse\r\n";
    write(data.path(), "kobest/BoolQ", &[("train.tsv", rows), ("test.tsv", rows)]);
    let task = load("kobest_boolq", Mode::Polyglot, data.path());
    let (text, choices, gold) = asked(&task.documents[0]);
    assert_eq!((text, gold), ("\"글\" 질문: 물음 답변: ", 1));
    assert_eq!(choices, [" 아니오", " 예"]);
    assert_eq!(task.documents[1].solved(), "글 질문: 물음 답변:  아니오");
}

#[test]
fn sentineg_scores_the_negated_sentence_of_a_test_split_with_other_columns() {
    let data = tempfile::tempdir().unwrap();
    let train = "ID\tText\tLabel\r\n1\t좋아요\t1\r\n";
    let test = "ID\tLabel_origin\tText_origin\tLabel\tText\r\n9\t1\t좋아요\t0\t안 좋아요\r\n";
    write(data.path(), "SentiNeg", &[("train.tsv", train), ("test.tsv", test)]);
    let task = load("kobest_sentineg", Mode::Polyglot, data.path());
    assert_eq!(task.pool[0].solved(), "문장: 좋아요 긍부정: 긍정");
    assert_eq!(task.documents[0].solved(), "문장: 안 좋아요 긍부정: 부정");
}

#[test]
fn nsmc_is_quoted_and_loses_the_blanks_before_marks() {
    let data = tempfile::tempdir().unwrap();
    let rows = "id\tdocument\tlabel\n1\t\"그는 \"\"왕\"\" 이다 . .\"\t1\n2\t\t0\n";
    write(data.path(), "nsmc", &[("ratings_train.txt", rows), ("ratings_test.txt", rows)]);
    let task = load("nsmc", Mode::Polyglot, data.path());
    let expected = ("그는\"왕\"이다..", vec![" (부정)", " (긍정)"], 1);
    assert_eq!(asked(&task.documents[0]), expected);
    assert_eq!(task.documents[1].solved(), " (부정)", "a review may be empty");
}

#[test]
fn what_data_lacks_or_has_too_much_of_is_named_with_its_place() {
    let data = tempfile::tempdir().unwrap();
    let copa = |train: &str, test: &str| {
        write(data.path(), "COPA", &[("train.tsv", train), ("test.tsv", test)]);
        refused("kobest_copa", data.path())
    };
    let message = copa(COPA, &COPA.replace("원인", "이유"));
    let expected = "test.tsv:3: kobest_copa.toml, text: \"이유\" is none of \"원인\", \"결과\"";
    assert!(message.ends_with(expected), "{message}");
    let message = copa(&COPA.replace("Answer", "answer"), COPA);
    assert!(message.contains("train.tsv:2: no column \"Answer or label\", only"), "{message}");
    let message = copa(&COPA.replace("sentence", "satz"), COPA);
    assert!(message.contains("no column \"premise or sentence\", only \"ID\""), "{message}");
    let message = copa(COPA, &COPA.replace("\t2\r\n", "\t3\r\n"));
    assert!(message.ends_with("column \"Answer\" holds \"3\", expected 1 or 2"), "{message}");
    let message = copa(COPA, COPA.lines().next().unwrap());
    assert!(message.contains("test.tsv") && message.contains("no row"), "{message}");
    fs::remove_file(data.path().join("COPA/test.tsv")).unwrap();
    let message = refused("kobest_copa", data.path());
    assert!(message.starts_with("no test split") && message.contains("--data"), "{message}");
}

/// The worked example of `docs/evaluation.md`.
#[test]
fn the_example_of_a_task_file_asks_what_its_text_says() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/tasks");
    let path = recipes.join("capitals.toml");
    let task = load(path.to_str().unwrap(), Mode::LmEval, &recipes);
    assert_eq!((task.name.as_str(), task.documents.len()), ("capitals", 6));
    let asking = Asking { shots: 2, limit: Some(1), fewshot: Fewshot::Drawn };
    let prompt = shots::prompts(&task, &asking).unwrap().remove(0);
    assert!(prompt.text.starts_with("나라의 수도를 고르시오.\n\n나라: "), "{}", prompt.text);
    assert!(prompt.text.ends_with("\n\n나라: 대한민국\n수도:"), "{}", prompt.text);
    assert_eq!(prompt.shots.len(), 2);
    assert_eq!(prompt.text.matches("대한민국").count(), 1, "it is not among its own shots");
    let (_, choices, gold) = asked(&task.documents[0]);
    assert_eq!((choices, gold), (vec![" 부산", " 서울", " 인천"], 1));
}

#[test]
fn all_tasks_of_a_group_come_under_its_name() {
    let data = tempfile::tempdir().unwrap();
    let message = refused("kobest", data.path());
    assert!(message.contains("BoolQ"), "the first of five is looked for: {message}");
}

#[test]
fn a_task_file_with_a_mistake_is_refused_before_any_data_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    fs::write(&path, "name = \"mine\"\n[task]\ntext = \"a\"\nchoice = [\"b\"]\n").unwrap();
    let message = tasks::check(path.to_str().unwrap()).unwrap_err().to_string();
    assert!(message.contains("mine.toml:4: unknown field `choice`"), "{message}");
    let message = tasks::check("nowhere.toml").unwrap_err().to_string();
    assert!(message.starts_with("nowhere.toml: cannot be read"), "{message}");
    fs::write(
        &path,
        "name = \"mine\"\n[task]\ntext = \"a\\n{{ b\"\nchoices = [\"b\"]\ngold = \"c\"\n",
    )
    .unwrap();
    let message = tasks::check(path.to_str().unwrap()).unwrap_err().to_string();
    assert!(message.contains("mine.toml: text, line 2: "), "{message}");
}
