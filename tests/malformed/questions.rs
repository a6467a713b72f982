//! Questions that a model cannot answer.

use crate::program::Workplace;
use crate::{assert_is_one_message, refuses, refuses_usage};

#[test]
fn an_id_beyond_the_vocabulary_is_not_decoded() {
    let place = Workplace::with_tokenizer();
    for (input, expected) in [
        ("[320]\n", ["line 1", "320"]),
        ("[-1]\n", ["line 1", "JSON array of ids"]),
        ("5 6\n", ["line 1", "JSON array of ids"]),
    ] {
        let answer = place.feed("tokenizer decode --tokenizer tok", input);
        assert_is_one_message(&answer, &expected);
        assert!(answer.err.contains("standard input"), "{}", answer.err);
    }
}

#[test]
fn an_input_that_is_not_utf8_is_refused_by_line() {
    let place = Workplace::with_model();
    place.write("input", b"\"a\"\n\xff\n");
    for line in
        ["tokenizer encode --tokenizer tok --input input", "score --model model --input input"]
    {
        let answer = place.run(line);
        assert_eq!(answer.code, Some(1));
        assert!(answer.err.starts_with("kollama: input, line "), "{}", answer.err);
    }
    let answer = place.run("tokenizer encode --tokenizer tok --input input");
    assert!(answer.err.contains("line 2: not UTF-8"), "{}", answer.err);
}

#[test]
fn a_question_that_cannot_be_scored_is_refused_by_line() {
    let place = Workplace::with_model();
    for (bad, expected) in [
        ("not json", "expected"),
        ("{\"context\":\"a\"}", "continuation"),
        ("{\"context\":\"a\",\"continuation\":\"b\",\"continuation_ids\":[5]}", "continuation_ids"),
        ("{\"context\":\"a\",\"contination\":\"b\"}", "contination"),
        ("{\"context_ids\":[1],\"continuation_ids\":[320]}", "320"),
        ("{\"context_ids\":[1],\"continuation_ids\":[]}", "at least one token"),
    ] {
        place.write("questions.jsonl", format!("\n{bad}\n"));
        refuses(
            &place,
            "score --model model --input questions.jsonl",
            &["questions.jsonl, line 2", expected],
        );
    }
    refuses(&place, "score --model model --input nowhere.jsonl", &["nowhere.jsonl"]);
    let good = "{\"context\":\"a\",\"continuation\":\"b\"}";
    let answer = place.feed("score --model model", &format!("{good}\n{good}\nnot json\n"));
    assert_eq!((answer.code, answer.json_lines().len()), (Some(1), 2), "{}", answer.err);
}

#[test]
fn what_cannot_be_generated_is_refused_by_name() {
    let place = Workplace::with_model();
    for (flags, expected) in [
        ("--max-new-tokens 1000", "128 positions"),
        ("--max-new-tokens 18446744073709551615", "128 positions"),
    ] {
        refuses(&place, &format!("generate --model model --prompt a {flags}"), &[expected]);
    }
    for (flags, expected) in [
        ("--max-new-tokens 0", "max-new-tokens"),
        ("--temperature=-1", "temperature"),
        ("--temperature nan", "temperature"),
        ("--top-p 1.5", "top_p"),
        ("--min-p=-0.1", "min_p"),
        ("--repetition-penalty 0", "repetition_penalty"),
    ] {
        refuses_usage(&place, &format!("generate --model model --prompt a {flags}"), &[expected]);
    }
}

#[test]
fn an_evaluation_without_its_data_is_refused() {
    let place = Workplace::with_model();
    let eval = "eval --model model --data";
    refuses_usage(&place, &format!("{eval} . --tasks kobest_cop"), &["kobest_cop", "kobest_copa"]);
    refuses(
        &place,
        &format!("{eval} . --tasks kobest_copa"),
        &["kobest_copa: no test split", "./COPA", "--data"],
    );
    refuses(&place, &format!("{eval} nowhere --tasks perplexity"), &["nowhere"]);
    std::fs::create_dir(place.path("COPA")).unwrap();
    for split in ["train", "test"] {
        place.write(&format!("COPA/{split}.tsv"), "premise\tquestion\n가\t원인\n");
    }
    refuses(
        &place,
        &format!("{eval} . --tasks kobest_copa"),
        &["kobest_copa", "COPA/test.tsv:2", "no column", "premise"],
    );
}
