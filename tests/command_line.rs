//! The contract of the command line: names, flags and JSON shapes that others may build on.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod program;

use program::{Answer, TRAIN, Workplace, real_data};
use serde_json::{Value, json};

// Help

/// Every command that does something, with the words that lead to it.
fn commands(place: &Workplace, words: &str) -> Vec<String> {
    let help = place.done(&format!("{words} --help")).out;
    let Some((_, listed)) = help.split_once("Commands:\n") else { return vec![words.to_owned()] };
    let listed = listed.lines().take_while(|line| !line.is_empty());
    // A name stands two blanks in; the lines of its description stand further in.
    let names =
        listed.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names =
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.flat_map(|name| commands(place, &format!("{words} {name}"))).collect()
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let place = Workplace::new();
    let all = commands(&place, "");
    for known in [" train", " tokenizer encode", " corpus pack", " model extend", " bench roof"] {
        assert!(all.iter().any(|words| words == known), "{known} is not in {all:?}");
    }
    for words in all {
        let help = place.done(&format!("{words} --help")).out;
        let example = help.split_once("Example").unwrap_or_else(|| panic!("{words}: {help}")).1;
        assert!(example.contains(&format!("kollama{words}")), "{words}: {example}");
    }
}

#[test]
fn the_version_is_told() {
    let answer = Workplace::new().done("--version");
    assert_eq!(answer.out, format!("kollama {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_not_there_yet_says_so_and_fails() {
    let place = Workplace::with_rows();
    let before = place.contents();
    for line in [
        "card --run run --out card",
        "model export-gguf model --out model.gguf",
        "corpus clean english.txt",
        "corpus dedup english.txt",
    ] {
        let Answer { code, out, err } = place.run(line);
        assert_eq!((code, out.as_str()), (Some(1), ""), "kollama {line}: {err}");
        assert!(err.starts_with("kollama: ") && err.contains("not supported"), "{err}");
    }
    assert_eq!(place.contents(), before);
}

// Tokenizers

#[test]
fn encode_gives_ids_and_tokens_and_adds_no_mark_of_the_beginning_unless_asked() {
    let place = Workplace::with_tokenizer();
    let encode = "tokenizer encode --tokenizer tok --json";
    let Answer { out, err, .. } = place.run_with(encode, "the harbour");
    assert_eq!(err, "");
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(keys(&object), ["ids", "tokens"]);
    assert_eq!(pieces(&object).concat(), "▁the▁harbour");
    assert_eq!(object["ids"].as_array().unwrap().len(), pieces(&object).len());
    let with_mark = place.run_with(&format!("{encode} --add-bos"), "the harbour").json();
    assert_eq!(pieces(&with_mark), [vec!["<s>"], pieces(&object)].concat());
    assert_eq!(with_mark["ids"][0], 1);
}

#[test]
fn encode_takes_several_texts_or_one_a_line() {
    let place = Workplace::with_tokenizer();
    let texts = ["the sea", "  two blanks before", "바다\t바람", "", "tail \r"];
    place.write("texts", texts.map(|text| format!("{text}\n")).concat());
    let encode = "tokenizer encode --tokenizer tok --json";
    let from_file = place.done(&format!("{encode} --input texts")).json_lines();
    assert_eq!(from_file.len(), texts.len());
    let input = texts.join("\n");
    let from_standard_input = place.fed(&format!("{encode} --input -"), &input).json_lines();
    assert_eq!(from_file, from_standard_input, "the last line needs no end");
    for (text, expected) in texts.iter().zip(&from_file) {
        assert_eq!(place.run_with(&format!("{encode} --"), text).json(), *expected, "{text:?}");
    }
    let two = place.done(&format!("{encode} the sea")).json_lines();
    assert_eq!(two.iter().map(|line| pieces(line).concat()).collect::<Vec<_>>(), ["▁the", "▁sea"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Workplace::with_tokenizer();
    place.write("texts", "the sea was calm\n".repeat(20_000));
    let encode = "\"$KOLLAMA\" tokenizer encode --tokenizer tok --input texts --json";
    let answer = place.shell(&format!("{{ {encode}; echo $? > code; }} | head -n 1"));
    assert_eq!((answer.json_lines().len(), answer.err.as_str()), (1, ""));
    assert_eq!(place.read("code"), b"0\n");
}

#[test]
fn encode_without_json_shows_the_tokens() {
    let place = Workplace::with_tokenizer();
    let object = place.run_with("tokenizer encode --tokenizer tok --json", "the sea").json();
    let shown = place.run_with("tokenizer encode --tokenizer tok", "the sea").out;
    assert_eq!(shown, pieces(&object).join(" ") + "\n");
}

#[test]
fn learning_leaves_a_report_that_says_what_was_learned_and_how() {
    let place = Workplace::with_tokenizer();
    let extend = "tokenizer extend --base tok --corpus korean.txt --vocab-size 400";
    place.done(&format!("{extend} --out larger --min-frequency 3 --max-piece-length 4"));
    let read = |name: &str| String::from_utf8(place.read(name)).unwrap();
    let report: Value = serde_json::from_str(&read("larger/tokenizer_report.json")).unwrap();
    assert_eq!(report["settings"]["command"], "extend");
    assert_eq!(report["settings"]["min_frequency"], 3);
    assert_eq!(report["settings"]["max_piece_length"], 4);
    assert_eq!(report["corpus"]["words_dropped"], 0);
    assert_eq!(report["reachability"]["reached"], report["reachability"]["new_pieces"]);
    let source = &report["sources"][0];
    let share = |when: &str| source[format!("tokens_per_character_{when}")].as_f64().unwrap();
    assert!(share("after") < share("before"), "{source}");
    let saved = |list: &str| report[list][0]["tokens_saved"].as_u64().unwrap();
    assert!(saved("most_useful") > saved("least_useful"));
    let markdown = read("larger/tokenizer_report.md");
    let best = report["most_useful"][0]["piece"].as_str().unwrap();
    assert!(markdown.contains(best), "{markdown}");
    place.done("tokenizer train --corpus korean.txt --vocab-size 500 --out new");
    let report: Value = serde_json::from_str(&read("new/tokenizer_report.json")).unwrap();
    assert_eq!(report["settings"]["command"], "train");
    for wrong in ["--min-frequency 0", "--max-piece-length 1", "--pieces-may-cross-space maybe"] {
        assert_eq!(place.run(&format!("{extend} --out other {wrong}")).code, Some(2), "{wrong}");
    }
}

#[test]
fn what_was_encoded_is_decoded_to_the_same_text() {
    let place = Workplace::with_tokenizer();
    place.done("tokenizer extend --base tok --corpus korean.txt --vocab-size 400 --out larger");
    let texts = [
        "안녕하세요, 오늘은 날씨가 좋네요.",
        " one blank before",
        "   three",
        "한글 and English 섞어서 🙂",
        "각 (decomposed)",
        "ends with blanks  ",
        "\ttab\u{0}nul\u{200b}zero width",
        "▁the mark itself",
        "<s> is only text here </s>",
    ];
    for tokenizer in ["tok", "larger", "tok/tokenizer.model", "larger/tokenizer.json"] {
        let input = texts.join("\n");
        let encode = format!("tokenizer encode --tokenizer {tokenizer} --input - --json");
        let encoded = place.fed(&encode, &input).json_lines();
        let ids: String = encoded.iter().map(|object| format!("{}\n", object["ids"])).collect();
        let decode = format!("tokenizer decode --tokenizer {tokenizer}");
        let decoded = place.fed(&format!("{decode} --json"), &ids).json_lines();
        // The mark and the blank that it stands for are one and the same to a Llama tokenizer.
        let expected = texts.map(|text| json!({ "text": text.replace('▁', " ") }));
        assert_eq!(decoded, expected, "{tokenizer}");
        assert_eq!(place.fed(&decode, "[]\n").out, "\n");
    }
}

#[test]
fn decode_gives_one_object_a_line_or_plain_text() {
    let place = Workplace::with_tokenizer();
    let ids =
        place.run_with("tokenizer encode --tokenizer tok --json", "the sea").json()["ids"].take();
    place.write("ids.jsonl", format!("{ids}\n{ids}\n"));
    let decode = "tokenizer decode --tokenizer tok --input ids.jsonl";
    let objects = place.done(&format!("{decode} --json")).json_lines();
    assert_eq!(objects, [json!({ "text": "the sea" }), json!({ "text": "the sea" })]);
    assert_eq!(place.done(decode).out, "the sea\nthe sea\n");
}

#[test]
fn an_extended_tokenizer_keeps_every_old_id_and_needs_fewer_tokens() {
    let place = Workplace::with_tokenizer();
    place.done("tokenizer extend --base tok --corpus korean.txt --vocab-size 420 --out larger");
    let read = |folder: &str| -> Value {
        serde_json::from_slice(&place.read(&format!("{folder}/tokenizer.json"))).unwrap()
    };
    let (old, new) = (read("tok"), read("larger"));
    let (old, new) = (&old["model"]["vocab"], &new["model"]["vocab"]);
    assert_eq!((old.as_object().unwrap().len(), new.as_object().unwrap().len()), (320, 420));
    for (piece, id) in old.as_object().unwrap() {
        assert_eq!(new[piece], *id, "{piece}");
    }
    let compared = place.run_with("tokenizer compare tok larger", "시장 아침").out;
    let counts: Vec<usize> = compared
        .lines()
        .filter_map(|line| line.trim().split_once(" tokens, ")?.0.parse().ok())
        .collect();
    assert!(counts.len() == 2 && counts[1] < counts[0], "{compared}");
}

#[test]
fn the_page_of_a_comparison_holds_the_texts_escaped_and_asks_nobody_for_anything() {
    let place = Workplace::with_tokenizer();
    place.done("tokenizer extend --base tok --corpus korean.txt --vocab-size 420 --out larger");
    let text = "</script><script>alert('시장')</script> & 😀\n아침";
    let compare = "tokenizer compare tok larger --corpus korean.txt --html page.html --";
    let table = place.run_with(compare, text).out;
    assert!(table.contains("MB/s"), "{table}");
    let page = String::from_utf8(place.read("page.html")).unwrap();
    for request in ["http:", "https:", "//", "url(", "@import", "fetch(", "src="] {
        // The script's own comments begin with two strokes and a star; no line begins with two.
        assert!(!page.contains(request), "{request}");
    }
    assert!(!page.contains("alert('시장')</script>"), "a text ends an element");
    let json = page.split("id=\"comparison\">").nth(1).unwrap().split("</script>").next().unwrap();
    let comparison: Value = serde_json::from_str(json).unwrap();
    assert_eq!(comparison["tokenizers"][1], json!({"name": "larger", "size": 420}));
    assert!(
        comparison["corpora"][0]["tokens"][0].as_u64()
            > comparison["corpora"][0]["tokens"][1].as_u64()
    );
    let shown = comparison["texts"].as_array().unwrap();
    assert!(shown.len() > 1 && shown[0]["text"] == text, "lines of the corpus come after the text");
    for one in shown {
        for side in one["sides"].as_array().unwrap() {
            let parts = side["parts"].as_array().unwrap();
            let joined: String = parts.iter().map(|part| part["text"].as_str().unwrap()).collect();
            assert_eq!(joined.replace('▁', " "), format!(" {}", one["text"].as_str().unwrap()));
        }
    }
}

// Models

#[test]
fn a_model_is_described_as_one_object() {
    let place = Workplace::with_model();
    let info = place.done("model info model --json").json();
    assert_eq!(info["vocab_size"], 320);
    assert_eq!(info["tokenizer_ids"], 320);
    assert_eq!(info["num_key_value_heads"], 2);
    let layer = 32 * (32 + 16 + 16 + 32) + 3 * 32 * 48 + 2 * 32;
    assert_eq!(info["parameters"], 2 * 320 * 32 + 2 * layer + 32);
    let verified = place.done("model verify model").out;
    assert!(verified.contains("21 tensors") && verified.contains("320 rows"), "{verified}");
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_gives_others() {
    let place = Workplace::with_model();
    for (seed, out) in [(1, "again"), (2, "other")] {
        let init = "model init --config config.json --tokenizer tok";
        place.done(&format!("{init} --seed {seed} --out {out}"));
    }
    let [model, again, other] = ["model", "again", "other"]
        .map(|folder| place.read(&format!("{folder}/model.safetensors")));
    assert!(model == again && model != other);
}

#[test]
fn weights_may_be_stored_in_half_the_size() {
    let place = Workplace::with_model();
    let init = "model init --config config.json --tokenizer tok --seed 1 --dtype bf16 --out half";
    place.done(init);
    let bytes =
        |folder| place.done(&format!("model info {folder} --json")).json()["bytes"].as_u64();
    assert_eq!(bytes("model"), bytes("half").map(|half| 2 * half));
    place.done("model verify half");
    let generate = "generate --model half --prompt sea --max-new-tokens 8 --json";
    assert_eq!(place.done(generate).out, place.done(&format!("{generate} --weights bf16")).out);
    // Widened, the values are the same; what they are multiplied with is no longer rounded.
    let score = "score --model half --input scores.jsonl";
    place.write("scores.jsonl", "{\"context\":\"sea\",\"continuation\":\" and sky\"}\n");
    let logprob = |weights| {
        let answer = place.done(&format!("{score} --weights {weights}")).json();
        answer["logprob"].as_f64().unwrap()
    };
    let (exact, rounded) = (logprob("f32"), logprob("bf16"));
    assert!(exact != rounded && ((exact - rounded) / exact).abs() < 1e-3, "{exact}, {rounded}");
}

#[test]
fn a_quantized_folder_writes_and_scores_but_does_not_train() {
    let place = Workplace::with_rows();
    for to in ["q8", "q4"] {
        place.done(&format!("model quantize model --to {to} --out {to}"));
        let told = place.done(&format!("model info {to} --json")).json();
        assert!(told["dtype"].as_str().unwrap().contains(&to.to_uppercase()), "{told}");
        place.done(&format!("model verify {to}"));
        let generate = "generate --prompt sea --max-new-tokens 8 --json";
        let quantized_before = place.done(&format!("{generate} --model {to}")).out;
        let while_reading = place.done(&format!("{generate} --model model --weights {to}")).out;
        assert_eq!(quantized_before, while_reading);
        place.done(&format!("{generate} --model {to} --cache q8"));
        let Answer { code, err, .. } =
            place.run(&TRAIN.replace("--model model", &format!("--model {to}")));
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(&format!("quantized to {to}")), "{err}");
        assert!(err.contains("take the model that they were made of"), "{err}");
    }
}

// Generating and scoring

const GENERATE: &str = "generate --model model --prompt sea --max-new-tokens 12";

#[test]
fn generate_gives_one_object_or_the_text_alone() {
    let place = Workplace::with_model();
    let object = place.done(&format!("{GENERATE} --json")).json();
    assert_eq!(keys(&object), ["text", "ids", "prompt_tokens", "finish_reason"]);
    let ids = object["ids"].as_array().unwrap().len();
    assert!((1..=12).contains(&ids), "{object}");
    assert_eq!(object["finish_reason"], if ids == 12 { "length" } else { "stop" });
    let text = object["text"].as_str().unwrap();
    assert_eq!(place.done(GENERATE).out, format!("{text}\n"));
    let from_standard_input = GENERATE.replace("--prompt sea", "--json");
    assert_eq!(place.fed(&from_standard_input, "sea").json(), object);
}

#[test]
fn the_likeliest_text_is_the_same_each_time_and_with_any_number_of_threads() {
    let place = Workplace::with_model();
    let once = place.done(&format!("{GENERATE} --json")).out;
    for threads in ["", "--threads 1", "--threads 2", "--threads 3"] {
        assert_eq!(place.done(&format!("{GENERATE} --json {threads}")).out, once, "{threads}");
    }
}

#[test]
fn the_same_seed_draws_the_same_text_and_another_draws_another() {
    let place = Workplace::with_model();
    let draw = |seed: u32| {
        let flags = "--temperature 1.5 --top-p 0.98 --top-k 300 --min-p 0.001";
        place.done(&format!("{GENERATE} {flags} --json --seed {seed}")).json()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7)["ids"], draw(8)["ids"]);
}

#[test]
fn generation_stops_before_a_string() {
    let place = Workplace::with_model();
    let whole = place.done(&format!("{GENERATE} --json")).json();
    let text = whole["text"].as_str().unwrap();
    let middle: String = text.chars().skip(3).take(2).collect();
    let cut = place.run_with(&format!("{GENERATE} --json --stop"), &middle).json();
    assert_eq!(cut["finish_reason"], "stop");
    let expected = &text[..text.find(&middle).unwrap()];
    assert_eq!(cut["text"], expected, "{whole}");
}

#[test]
fn score_answers_every_line_in_order() {
    let place = Workplace::with_model();
    let encode = |text| {
        let answer = place.run_with("tokenizer encode --tokenizer tok --json", text);
        answer.json()["ids"].take()
    };
    let (context, continuation) = (encode("the sea"), encode("was calm"));
    let with_texts = json!({ "context": "the sea", "continuation": "was calm" });
    let with_ids = json!({ "context_ids": context, "continuation_ids": continuation });
    let empty = json!({ "context": "", "continuation": "was calm" });
    let input = format!("{with_texts}\n{with_ids}\n{empty}\n");
    let answers = place.fed("score --model model", &input).json_lines();
    assert_eq!(answers.len(), 3);
    for answer in &answers {
        assert_eq!(keys(answer), ["logprob", "is_greedy", "num_tokens"]);
        assert!(answer["logprob"].as_f64().unwrap() < 0.0 && answer["is_greedy"].is_boolean());
        assert_eq!(answer["num_tokens"], continuation.as_array().unwrap().len());
    }
    assert_eq!(answers[0], answers[1], "texts are encoded one by one, without <s>");
    place.write("questions.jsonl", input);
    let from_file = place.done("score --model model --input questions.jsonl").json_lines();
    assert_eq!(from_file, answers);
}

#[test]
fn what_the_model_writes_by_itself_is_scored_as_greedy() {
    let place = Workplace::with_model();
    let written = place.done(&format!("{GENERATE} --json")).json();
    let prompt = place.run_with("tokenizer encode --tokenizer tok --add-bos --json", "sea").json();
    assert_eq!(written["prompt_tokens"], prompt["ids"].as_array().unwrap().len());
    let mut other = written["ids"].clone();
    other[0] = json!(if other[0] == 5 { 6 } else { 5 });
    let lines = [&written["ids"], &other].map(|ids| {
        format!("{}\n", json!({ "context_ids": prompt["ids"], "continuation_ids": ids }))
    });
    let scored = place.fed("score --model model", &lines.concat()).json_lines();
    assert_eq!(scored[0]["is_greedy"], true);
    assert_eq!(scored[1]["is_greedy"], false);
}

// Training

#[test]
fn a_training_run_logs_the_fields_of_the_contract_and_keeps_standard_output_clean() {
    let place = Workplace::with_rows();
    let line = format!("{TRAIN} --accumulate 2 --log steps.jsonl");
    let Answer { out, err, .. } = place.done(&line);
    assert_eq!(out, "");
    assert!(err.contains("training: done"), "{err}");
    let log = String::from_utf8(place.read("steps.jsonl")).unwrap();
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2);
    for (record, step) in records.iter().zip(1..) {
        let expected = ["step", "loss", "grad_norm", "lr", "tokens", "tokens_per_second"];
        assert_eq!(keys(record), expected);
        assert_eq!(record["step"], step);
        assert_eq!(record["tokens"], step * 2 * 2 * 16);
        assert_eq!(record["lr"], 1e-2);
    }
    assert!(!place.path("run/train.jsonl").exists());
    place.done("model verify run");
}

#[test]
fn gradients_that_are_accumulated_are_those_of_one_large_batch() {
    let place = Workplace::with_rows();
    let line = format!("{TRAIN} --order sequential --clip 1");
    place.done(&line.replace("--batch-size 2", "--batch-size 4"));
    let halves = line.replace("--out run", "--out halves --accumulate 2 --recompute layer");
    place.done(&halves);
    let losses = |run: &str| -> Vec<f64> {
        let log = String::from_utf8(place.read(&format!("{run}/train.jsonl"))).unwrap();
        let loss = |line| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap();
        log.lines().map(loss).collect()
    };
    let (whole, halves) = (losses("run"), losses("halves"));
    assert!(whole.iter().zip(&halves).all(|(a, b)| (a - b).abs() < 1e-5), "{whole:?} {halves:?}");
}

#[test]
fn rows_tokenised_elsewhere_are_trained_on_in_their_order() {
    let place = Workplace::with_model();
    let row = |first: u32| {
        let ids: Vec<u32> = (first..first + 8).collect();
        let labels: Vec<i64> = (first + 1..first + 9).map(i64::from).collect();
        json!({ "ids": ids, "labels": labels })
    };
    place.write("ids.jsonl", format!("{}\n{}\n", row(10), row(100)));
    place.done("corpus pack --ids ids.jsonl --vocab-size 320 --out rows");
    let train = "train --model model --data rows --steps 2 --batch-size 1 --sequence-length 8 \
                 --lr 1e-2 --order sequential";
    place.done(&format!("{train} --out run"));
    let log = String::from_utf8(place.read("run/train.jsonl")).unwrap();
    let first: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let questions: String = (10..18u32)
        .map(|id| {
            let context: Vec<u32> = (10..=id).collect();
            format!("{}\n", json!({ "context_ids": context, "continuation_ids": [id + 1] }))
        })
        .collect();
    let scores = place.fed("score --model model", &questions).json_lines();
    let mean = scores.iter().map(|score| score["logprob"].as_f64().unwrap()).sum::<f64>() / 8.0;
    let loss = first["loss"].as_f64().unwrap();
    assert!((loss + mean).abs() < 1e-4, "the loss {loss} of the first row, scored {}", -mean);
}

#[test]
fn only_new_rows_learn_when_only_they_are_to() {
    let place = Workplace::with_rows();
    place.done("tokenizer extend --base tok --corpus korean.txt --vocab-size 340 --out larger");
    place.done("model extend --base model --tokenizer larger --out grown");
    place.done("corpus pack korean.txt --tokenizer larger --sequence-length 16 --out korean");
    let line = TRAIN.replace("--model model --data rows", "--model grown --data korean");
    place.done(&format!("{line} --train-only new-rows"));
    let [before, after] = ["grown", "run"]
        .map(|folder| program::Tensors::read(&place.path(folder).join("model.safetensors")));
    for name in before.header.as_object().unwrap().keys().filter(|name| *name != "__metadata__") {
        let (before, after) = (before.bytes(name), after.bytes(name));
        let old_rows = 320 * 32 * 4;
        if ["model.embed_tokens.weight", "lm_head.weight"].contains(&name.as_str()) {
            assert_eq!(before[..old_rows], after[..old_rows], "{name}");
            assert_ne!(before[old_rows..], after[old_rows..], "{name}");
        } else {
            assert_eq!(before, after, "{name}");
        }
    }
}

// Evaluation

#[test]
fn the_perplexity_of_a_text_is_told_as_json_and_as_a_table() {
    let place = Workplace::with_model();
    place.write("text.txt", "the sea was calm and the boats came in");
    let eval = "eval --model model --tasks perplexity --data text.txt";
    let object = place.done(&format!("{eval} --json --out results")).json();
    let read = &object["perplexity"];
    assert_eq!(read["bytes"], 38);
    let bits = read["bits_per_byte"].as_f64().unwrap();
    let expected = -read["logprob"].as_f64().unwrap() / 38.0 / std::f64::consts::LN_2;
    assert!((bits - expected).abs() < 1e-9);
    let table = place.done(eval).out;
    assert!(table.contains(&format!("{bits:.4}")), "{table}");
    assert!(place.path("results/perplexity.json").exists());
}

// A real model

#[test]
fn a_real_model_writes_what_its_reference_writes() {
    let Some(data) = real_data("stories260k") else { return };
    let place = Workplace::new();
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(data.join(name)).unwrap()).unwrap()
    };
    let from_bos = read("greedy_from_bos.json")["ids"].take();
    let expected = read("expected.json");
    let greedy = expected["greedy"].as_array().unwrap();
    let cases = greedy.iter().map(|case| (case["prompt"].as_str().unwrap(), &case["greedy_ids"]));
    for (prompt, ids) in cases.chain([("", &from_bos)]) {
        let ids = ids.as_array().unwrap();
        let prompt_tokens = place
            .run_with(&format!("{} --json --add-bos --", encode_line(&data)), prompt)
            .json()["ids"]
            .as_array()
            .map_or(1, |ids| if prompt.is_empty() { 1 } else { ids.len() });
        let new = ids.len() - prompt_tokens;
        let model = data.join("hf");
        let line =
            format!("generate --model {} --max-new-tokens {new} --json --prompt", model.display());
        let written = place.run_with(&line, prompt).json();
        assert_eq!(written["prompt_tokens"], prompt_tokens);
        assert_eq!(written["ids"].as_array().unwrap()[..], ids[prompt_tokens..], "{prompt}");
    }
}

#[test]
fn a_real_model_scores_what_its_reference_scores() {
    let Some(data) = real_data("stories260k") else { return };
    let place = Workplace::new();
    let expected: Value =
        serde_json::from_slice(&std::fs::read(data.join("expected.json")).unwrap()).unwrap();
    for case in expected["loglikelihood"].as_array().unwrap() {
        let context = case["context"].as_str().unwrap();
        let encode = format!("{} --json --add-bos", encode_line(&data));
        let context_ids = place.run_with(&encode, context).json()["ids"].take();
        let question =
            json!({ "context_ids": context_ids, "continuation_ids": case["continuation_ids"] });
        let line = format!("score --model {}", data.join("hf").display());
        let scored = place.fed(&line, &format!("{question}\n")).json();
        let (found, wanted) = (&scored["logprob"], &case["loglikelihood"]);
        let difference = found.as_f64().unwrap() - wanted.as_f64().unwrap();
        assert!(difference.abs() < 1e-3, "{context}: {found}, the reference says {wanted}");
        assert_eq!(scored["is_greedy"], case["is_greedy"]);
    }
}

fn encode_line(data: &std::path::Path) -> String {
    format!("tokenizer encode --tokenizer {}", data.join("hf").display())
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn pieces(encoded: &Value) -> Vec<&str> {
    encoded["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect()
}
