//! The data of the leaderboard's tasks in all shapes that are read: those of the hub, of the original
//! releases and of copies that are ready to be scored, and what is said of data that is none of them.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

use kollama_harness::task::{Asked, Choice, Drawing};
use kollama_harness::{Asking, DataSource, Document, Mode, Task, shots, tasks};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MODES: [Mode; 2] = [Mode::LeaderboardV1, Mode::LmEval];

/// A folder with these files, each of one JSON value a line.
fn folder(files: &[(&str, Vec<Value>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, rows) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    }
    folder
}

fn load(name: &str, mode: Mode, folder: &Path) -> Task {
    tasks::load(name, mode, &DataSource::folder(folder)).unwrap().remove(0)
}

fn refused(name: &str, files: &[(&str, Vec<Value>)]) -> String {
    let folder = folder(files);
    let data = DataSource::folder(folder.path());
    tasks::load(name, Mode::LmEval, &data).unwrap_err().to_string()
}

/// What is read and asked, without the row behind it.
fn asked(documents: &[Document]) -> Vec<(String, String, Asked)> {
    documents.iter().map(|it| (it.text.clone(), it.target.clone(), it.asked.clone())).collect()
}

fn names(task: &Task) -> Vec<&str> {
    task.data.iter().map(|(name, _)| name.as_str()).collect()
}

fn hub_arc(question: &str, key: &str) -> Value {
    let choices = json!({"text": ["a", "b", "c"], "label": ["1", "2", "3"]});
    json!({"id": "x", "question": question, "choices": choices, "answerKey": key})
}

fn original_arc(question: &str, key: &str) -> Value {
    let choices = ["a", "b", "c"].iter().zip(["1", "2", "3"]);
    let choices: Vec<Value> = choices.map(|(t, l)| json!({"text": t, "label": l})).collect();
    json!({"id": "x", "question": {"stem": question, "choices": choices}, "answerKey": key})
}

#[test]
fn arc_reads_the_hub_and_the_original_release_alike() {
    let hub = folder(&[
        ("train.jsonl", vec![hub_arc("Q?", "1")]),
        ("test.jsonl", vec![hub_arc("R?", "3")]),
    ]);
    let original = folder(&[
        ("arc/ARC-Challenge-Dev.jsonl", vec![original_arc("Q?", "1")]),
        ("arc/ARC-Challenge-Test.jsonl", vec![original_arc("R?", "3")]),
    ]);
    for mode in MODES {
        let (hub, original) =
            [hub.path(), original.path()].map(|it| load("arc_challenge", mode, it)).into();
        assert_eq!(asked(&hub.documents), asked(&original.documents));
        assert_eq!(asked(&hub.pool), asked(&original.pool));
        assert_eq!(hub.pool[0].solved(), "Question: Q?\nAnswer: a");
        assert_eq!(hub.documents[0].target, " c");
        assert_eq!(names(&hub), ["test", "train"]);
        assert_eq!(names(&original), ["test", "validation, in place of train"]);
        assert_eq!(original.drawing, Drawing::Sampled { skips_itself: false });
    }
}

fn hub_hellaswag() -> Value {
    json!({"activity_label": "Baking", "ctx_a": "A cake is shown.", "ctx_b": "the Man",
           "endings": ["eats it.", "sings.", "[header] runs.", "sits."], "label": "2"})
}

#[test]
fn hellaswag_reads_the_hub_and_a_text_of_six_lines_an_item() {
    let hub = folder(&[
        ("train.jsonl", vec![hub_hellaswag()]),
        ("validation.jsonl", vec![hub_hellaswag()]),
    ]);
    let lines = "Baking: A cake is shown. the Man\n2\neats it.\nsings.\n[header] runs.\nsits.\n";
    let text = tempfile::tempdir().unwrap();
    fs::write(text.path().join("hellaswag_val_full.txt"), lines.repeat(2)).unwrap();
    for mode in MODES {
        let (hub, text) = [hub.path(), text.path()].map(|it| load("hellaswag", mode, it)).into();
        assert_eq!(asked(&hub.documents), asked(&text.documents[..1]));
        assert_eq!(hub.documents[0].text, "Baking: A cake is shown. The man");
        assert_eq!(hub.documents[0].target, "  runs.", "what was in brackets leaves its blank");
        assert_eq!(text.drawing, Drawing::Sampled { skips_itself: true });
        assert_eq!(names(&text), ["validation, also in place of train"]);
    }
}

#[test]
fn todays_lm_eval_leaves_the_document_out_of_a_train_split_too() {
    let mut other = hub_hellaswag();
    other["label"] = json!("0");
    let hub = folder(&[
        ("train.jsonl", vec![hub_hellaswag(), other]),
        ("validation.jsonl", vec![hub_hellaswag()]),
    ]);
    let shown = |mode| {
        let task = load("hellaswag", mode, hub.path());
        let asking = Asking { shots: 1, ..Asking::default() };
        shots::prompts(&task, &asking).unwrap().remove(0).text
    };
    assert!(shown(Mode::LmEval).starts_with("Baking: A cake is shown. The man eats it.\n\n"));
    // CPython: one document leaves Random(42) as it is; its sample(range(2), 1) is [0].
    assert!(shown(Mode::LeaderboardV1).starts_with("Baking: A cake is shown. The man  runs.\n\n"));
}

#[test]
fn winogrande_reads_sentences_with_a_blank_and_sentences_cut_there() {
    let hub = json!({"sentence": "Ann met Bea, so _ waved . ", "option1": "Ann", "option2": "Bea",
                     "answer": "2"});
    let cut = json!({"context_options": ["Ann met Bea, so Ann", "Ann met Bea, so Bea"],
                     "continuation": "waved .", "gold": 1});
    let hub = folder(&[("winogrande/validation.jsonl", vec![hub])]);
    let cut = folder(&[("winogrande_dev.llmfoundry.jsonl", vec![cut])]);
    let (hub, cut) = [hub.path(), cut.path()].map(|it| load("winogrande", Mode::LmEval, it)).into();
    assert_eq!(asked(&hub.documents), asked(&cut.documents));
    assert_eq!(hub.documents[0].solved(), "Ann met Bea, so Bea waved .");
    let contexts: Vec<_> = hub.documents[0].choices().iter().map(|it| it.context.clone()).collect();
    assert_eq!(contexts, [Some("Ann met Bea, so Ann".into()), Some("Ann met Bea, so Bea".into())]);
}

fn mmlu(subject: &str, answer: Value) -> Value {
    json!({"subject": subject, "question": " Q? ", "choices": ["w", "x", "y", "z"], "answer": answer})
}

#[test]
fn mmlu_is_a_task_for_each_subject_with_the_first_of_its_own_examples() {
    let folder = folder(&[
        ("mmlu_dev.jsonl", vec![mmlu("virology", json!(0)), mmlu("anatomy", json!("B"))]),
        ("mmlu_test.jsonl", vec![mmlu("anatomy", json!(2)), mmlu("virology", json!("D"))]),
    ]);
    let asking = Asking { shots: 1, ..Asking::default() };
    let expected = "The following are multiple choice questions (with answers) about anatomy.\n\n\
        Q?\nA. w\nB. x\nC. y\nD. z\nAnswer: B\n\nQ?\nA. w\nB. x\nC. y\nD. z\nAnswer:";
    for (mode, name) in MODES.into_iter().zip(["hendrycksTest-anatomy", "mmlu_anatomy"]) {
        let task = load("mmlu_anatomy", mode, folder.path());
        assert_eq!((task.name.as_str(), task.group.as_deref()), (name, Some("mmlu")));
        assert_eq!(shots::prompts(&task, &asking).unwrap()[0].text, expected);
        let more = shots::prompts(&task, &Asking { shots: 2, ..asking }).unwrap_err().to_string();
        assert!(more.contains("2 shots asked for, but only 1"), "{more}");
    }
    let all = tasks::load("mmlu", Mode::LmEval, &DataSource::folder(folder.path()));
    let message = all.unwrap_err().to_string();
    assert!(message.contains("the subject abstract_algebra holds nothing"), "{message}");
}

fn truthfulqa(one: Value, several: Value) -> Value {
    json!({"question": "Q?", "mc1_targets": one, "mc2_targets": several})
}

#[test]
fn truthfulqa_asks_one_true_choice_and_several_together_or_apart() {
    let of_the_hub = |labels: [u8; 3]| json!({"choices": ["a", "b", "c"], "labels": labels});
    let hub = folder(&[(
        "validation.jsonl",
        vec![truthfulqa(of_the_hub([1, 0, 0]), of_the_hub([1, 0, 1]))],
    )]);
    let original = folder(&[(
        "mc_task.jsonl",
        vec![truthfulqa(json!({"a": 1, "b": 0, "c": 0}), json!({"a": 1, "b": 0, "c": 1}))],
    )]);
    let choices = ["a", "b", "c"].map(|it| Choice::new(" ", it)).to_vec();
    let several = |apart, choices, is_true: [bool; 3]| Asked::ManyTrue {
        apart,
        choices,
        is_true: is_true.to_vec(),
    };
    for folder in [hub.path(), original.path()] {
        let of = |name, mode| load(name, mode, folder).documents.remove(0).asked;
        let one = Asked::Choices { choices: choices.clone(), gold: 0 };
        assert_eq!(of("truthfulqa_mc1", Mode::LmEval), one);
        let expected = several(0, choices.clone(), [true, false, true]);
        assert_eq!(of("truthfulqa_mc2", Mode::LmEval), expected);
        let both = several(3, [choices.clone(), choices.clone()].concat(), [true, false, false]);
        assert_eq!(of("truthfulqa_mc", Mode::LeaderboardV1), both);
    }
    let task = load("truthfulqa_mc2", Mode::LmEval, hub.path());
    let message = shots::prompts(&task, &Asking { shots: 1, ..Asking::default() }).unwrap_err();
    assert!(message.to_string().contains("truthfulqa_mc2"), "{message}");
}

fn drop_row(number: &str, spans: Value, others: Value) -> Value {
    let date = json!({"day": "", "month": "May", "year": "1987"});
    json!({"passage": "P.", "question": "Q?", "validated_answers": others,
           "answer": {"number": number, "date": date, "spans": spans}})
}

#[test]
fn drop_takes_numbers_before_spans_before_dates_and_no_answer_twice() {
    let others = json!({"number": ["3", ""], "date": [{}, {}], "spans": [[], ["a b", "c"]]});
    let none = json!({"number": [], "date": [], "spans": []});
    let rows = vec![
        drop_row("3", json!(["x"]), others),
        drop_row("", json!(["x", "y"]), none.clone()),
        drop_row("", json!([]), none),
    ];
    let folder = folder(&[("drop/validation.jsonl", rows)]);
    let task = load("drop", Mode::LeaderboardV1, folder.path());
    let answers = |document: &Document| match &document.asked {
        Asked::Written { answers, .. } => answers.clone(),
        _ => panic!("an answer is written"),
    };
    let answers: Vec<_> = task.documents.iter().map(answers).collect();
    let expected =
        [vec![vec!["3"], vec!["a b", "c"]], vec![vec!["x", "y"]], vec![vec!["May 1987"]]];
    assert_eq!(answers, expected);
    assert_eq!(task.documents[1].solved(), "Passage: P.\nQuestion: Q?\nAnswer: x, y");
    let today = load("drop", Mode::LmEval, folder.path());
    assert_eq!(today.documents[1].solved(), "P. Q?number,date,spans");
}

#[test]
fn a_split_that_is_nowhere_is_named_with_the_places_looked_at() {
    for name in ["arc_challenge", "hellaswag", "mmlu", "truthfulqa_mc1", "winogrande", "drop"] {
        let message = refused(name, &[]);
        assert!(message.contains("--data"), "{name}: {message}");
    }
    let solution = json!({"question": "Q", "answer": "#### 1"});
    let message = refused("gsm8k", &[("gsm8k/test.jsonl", vec![solution])]);
    assert!(message.starts_with("no train split"), "{message}");
    let message = refused("arc_challenge", &[("test.jsonl", vec![hub_arc("Q", "1")])]);
    assert!(message.starts_with("no validation or ARC-Challenge-Dev split"), "{message}");
}

#[test]
fn an_empty_split_is_named() {
    let message = refused("winogrande", &[("winogrande/validation.jsonl", vec![])]);
    assert!(message.contains("validation.jsonl: no rows"), "{message}");
}

/// One row with `column` set to `value`, or without it, and the error it is answered with.
fn spoilt(name: &str, file: &str, row: &Value, column: &str, value: Option<Value>) -> String {
    let (good, mut row) = (row.clone(), row.clone());
    let fields = row.as_object_mut().unwrap();
    match value {
        Some(value) => fields.insert(column.to_owned(), value),
        None => fields.remove(column),
    };
    let message = refused(name, &[(file, vec![row]), ("train.jsonl", vec![good])]);
    assert!(message.contains(&format!("{file}:1: ")), "{name}, {column}: {message}");
    assert!(message.contains(&format!("column {column:?}")), "{name}, {column}: {message}");
    message
}

#[test]
fn a_missing_column_and_a_label_out_of_range_name_file_row_and_column() {
    let targets = json!({"choices": ["a", "b"], "labels": [1, 0]});
    let none = json!({"number": [], "date": [], "spans": []});
    let cut = json!({"context_options": ["a", "b"], "continuation": "c", "gold": 1});
    let sentence = json!({"sentence": "a _ b", "option1": "c", "option2": "d", "answer": "1"});
    let solution = json!({"question": "Q", "answer": "#### 1"});
    let cases = [
        (
            "arc_challenge",
            "test.jsonl",
            hub_arc("Q", "1"),
            vec![
                ("choices", json!({"text": ["a"], "label": ["A", "B"]})),
                ("choices", json!({"text": [], "label": []})),
                ("answerKey", json!("D")),
                ("question", json!(3)),
            ],
        ),
        (
            "hellaswag",
            "validation.jsonl",
            hub_hellaswag(),
            vec![("label", json!("4")), ("endings", json!(["a", 1])), ("ctx_b", json!(null))],
        ),
        (
            "winogrande",
            "validation.jsonl",
            sentence,
            vec![("sentence", json!("no blank")), ("answer", json!("3"))],
        ),
        (
            "winogrande",
            "dev.jsonl",
            cut,
            vec![("context_options", json!(["a"])), ("gold", json!(2))],
        ),
        (
            "truthfulqa_mc1",
            "validation.jsonl",
            truthfulqa(targets.clone(), targets.clone()),
            vec![
                ("mc1_targets", json!({"choices": ["a", "b"], "labels": [0, 1]})),
                ("mc1_targets", json!({"choices": ["a", "b"], "labels": [1]})),
                ("mc1_targets", json!({"a": 2})),
            ],
        ),
        (
            "truthfulqa_mc2",
            "validation.jsonl",
            truthfulqa(targets.clone(), targets),
            vec![("mc2_targets", json!({})), ("mc2_targets", json!("a"))],
        ),
        (
            "drop",
            "validation.jsonl",
            drop_row("1", json!([]), none),
            vec![
                ("answer", json!({"number": 1, "spans": [], "date": {}})),
                ("validated_answers", json!({"number": ["1"], "spans": [], "date": []})),
                ("passage", json!([])),
            ],
        ),
    ];
    for (name, file, row, spoils) in cases {
        for (column, value) in spoils {
            let message = spoilt(name, file, &row, column, Some(value));
            assert!(message.contains("expected "), "{name}, {column}: {message}");
            // Without it, a row of Winogrande is one of the other kind.
            if column != "context_options" {
                let message = spoilt(name, file, &row, column, None);
                assert!(message.contains("no column"), "{name}, {column}: {message}");
            }
        }
    }
    let message = spoilt("gsm8k", "test.jsonl", &solution, "answer", Some(json!("no number")));
    assert!(message.contains("####"), "{message}");
}

#[test]
fn a_text_of_hellaswag_that_ends_within_an_item_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "Baking: A cake.\n2\na\nb\nc\nd\nBaking: A cake.\n2\na\n";
    fs::write(folder.path().join("hellaswag_val_full.txt"), lines).unwrap();
    let data = DataSource::folder(folder.path());
    let message = tasks::load("hellaswag", Mode::LmEval, &data).unwrap_err().to_string();
    assert!(
        message.contains("hellaswag_val_full.txt:7: ") && message.contains("four endings"),
        "{message}"
    );
}
