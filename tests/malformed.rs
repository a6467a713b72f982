//! What the program says to what it cannot work with: one clear error that names the culprit, exit
//! code 1 (2 for a wrong use of the command line), no panic, and nothing left behind.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod program;

use program::{Answer, PROGRAM, TRAIN, Tensors, Workplace};
use serde_json::{Value, json};

/// What every refusal has in common; `expected` are parts of the message, on any of its lines.
fn assert_is_a_refusal(answer: &Answer, code: i32, expected: &[&str]) {
    let Answer { code: found, out, err } = answer;
    assert_eq!(*found, Some(code), "{err}\n{out}");
    assert!(!err.contains("panicked"), "{err}");
    assert_eq!(out, "", "a result beside the error: {err}");
    for part in expected {
        assert!(err.contains(part), "{part:?} is not in: {err}");
    }
}

/// Runs what has to fail, on the machine's side of the door: code 1, and the folder as before.
fn refuses(place: &Workplace, line: &str, expected: &[&str]) {
    let before = place.contents();
    let answer = place.run(line);
    assert_is_one_message(&answer, expected);
    assert_eq!(place.contents(), before, "kollama {line}: {}", answer.err);
}

/// The same for a wrong use of the command line: code 2.
fn refuses_usage(place: &Workplace, line: &str, expected: &[&str]) {
    let before = place.contents();
    assert_is_a_refusal(&place.run(line), 2, expected);
    assert_eq!(place.contents(), before, "kollama {line}");
}

fn assert_is_one_message(answer: &Answer, expected: &[&str]) {
    assert_is_a_refusal(answer, 1, expected);
    let err = &answer.err;
    let mut lines = err.lines().skip_while(|line| line.contains(": done in "));
    assert!(lines.next().is_some_and(|line| line.starts_with("kollama: ")), "{err}");
    assert!(!lines.any(|line| line.starts_with("kollama: ")), "{err}");
    let parts: Vec<&str> = err.trim_end().split(": ").collect();
    assert!(parts.windows(2).all(|two| two[0] != two[1]), "said twice: {err}");
}

// Weights

const WEIGHTS: &str = "model/model.safetensors";
const COMMANDS_THAT_READ_WEIGHTS: [&str; 4] = [
    "model verify model",
    "generate --model model --prompt a --max-new-tokens 2",
    "model extend --base model --tokenizer larger --out grown",
    TRAIN,
];

/// A model, rows for it, and a tokenizer to extend it to.
fn with_everything() -> Workplace {
    let place = Workplace::with_rows();
    place.done("tokenizer extend --base tok --corpus korean.txt --vocab-size 340 --out larger");
    place
}

#[test]
fn truncated_weights_are_refused_by_every_command_that_reads_them() {
    let place = with_everything();
    let mut bytes = place.read(WEIGHTS);
    bytes.truncate(bytes.len() - 100);
    place.write(WEIGHTS, bytes);
    for line in COMMANDS_THAT_READ_WEIGHTS {
        refuses(&place, line, &[WEIGHTS]);
    }
}

#[test]
fn a_header_that_lies_about_its_length_is_refused() {
    let place = Workplace::with_model();
    for length in [u64::MAX, 1 << 40, 10] {
        let mut bytes = place.read(WEIGHTS);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        place.write("model/damaged", &bytes);
        std::fs::rename(place.path("model/damaged"), place.path(WEIGHTS)).unwrap();
        refuses(&place, "model verify model", &[WEIGHTS, "header"]);
    }
    place.write(WEIGHTS, b"short");
    refuses(&place, "model verify model", &[WEIGHTS]);
}

#[test]
fn a_header_that_is_not_json_is_refused() {
    let place = Workplace::with_model();
    let mut bytes = place.read(WEIGHTS);
    bytes[8] = b'?';
    place.write(WEIGHTS, bytes);
    refuses(&place, "model verify model", &[WEIGHTS, "header", "JSON"]);
}

#[test]
fn offsets_beyond_the_file_are_refused_by_tensor() {
    let place = Workplace::with_model();
    let mut tensors = Tensors::read(&place.path(WEIGHTS));
    tensors.header["model.norm.weight"]["data_offsets"][1] = json!(1u64 << 60);
    tensors.write(&place.path(WEIGHTS));
    refuses(&place, "model verify model", &[WEIGHTS, "model.norm.weight"]);
}

#[test]
fn a_tensor_of_another_shape_than_the_configuration_says_is_refused_by_name() {
    let place = with_everything();
    place.edit_json("model/config.json", |config| config["intermediate_size"] = json!(64));
    let shape = ["model.layers.0.mlp.", "[48, 32]", "[64, 32]"];
    for line in COMMANDS_THAT_READ_WEIGHTS {
        refuses(&place, line, &shape);
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let place = with_everything();
    let mut tensors = Tensors::read(&place.path(WEIGHTS));
    let header = tensors.header.as_object_mut().unwrap();
    let norm = header.remove("model.norm.weight").unwrap();
    header.insert("model.other.weight".to_owned(), norm);
    tensors.write(&place.path(WEIGHTS));
    for line in COMMANDS_THAT_READ_WEIGHTS {
        refuses(&place, line, &["model.norm.weight is missing", "[32]"]);
    }
}

#[test]
fn a_missing_shard_is_named_with_the_index_that_names_it() {
    let place = with_everything();
    let names = Tensors::read(&place.path(WEIGHTS)).header;
    let first = "model-00001-of-00002.safetensors";
    std::fs::rename(place.path(WEIGHTS), place.path("model").join(first)).unwrap();
    let names = names.as_object().unwrap().keys().filter(|name| *name != "__metadata__");
    let mut map: serde_json::Map<String, Value> =
        names.map(|name| (name.clone(), json!(first))).collect();
    map["lm_head.weight"] = json!("model-00002-of-00002.safetensors");
    let index = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    place.write("model/model.safetensors.index.json", index.to_string());
    let expected =
        ["model-00002-of-00002.safetensors", "model.safetensors.index.json", "lm_head.weight"];
    for line in COMMANDS_THAT_READ_WEIGHTS {
        refuses(&place, line, &expected);
    }
}

#[test]
fn a_weight_that_is_not_a_number_is_found_before_it_does_harm() {
    let place = Workplace::with_rows();
    for value in [f32::NAN, f32::INFINITY] {
        let mut tensors = Tensors::read(&place.path(WEIGHTS));
        tensors.set_first("model.norm.weight", value);
        tensors.write(&place.path(WEIGHTS));
        refuses(&place, "model verify model", &[WEIGHTS, "model.norm.weight", "row 0", "finite"]);
        refuses(&place, TRAIN, &["model.norm.weight", "row 0", "NaN or infinite"]);
    }
    let generate = "generate --model model --prompt a --max-new-tokens 4 --json";
    refuses(&place, generate, &["not finite", "kollama model verify"]);
    let scored = place.feed("score --model model", "{\"context\":\"a\",\"continuation\":\"b\"}\n");
    assert_is_one_message(&scored, &["not finite"]);
}

#[test]
fn a_folder_without_weights_is_refused_with_what_was_expected() {
    let place = Workplace::with_model();
    std::fs::remove_file(place.path(WEIGHTS)).unwrap();
    refuses(&place, "model verify model", &["model", "model.safetensors.index.json"]);
    refuses(&place, "generate --model nowhere --prompt a", &["nowhere"]);
}

// config.json

#[test]
fn a_configuration_is_refused_by_file_and_field() {
    let place = Workplace::with_model();
    let good = place.read("model/config.json");
    let cases: [(&str, Value, &str); 6] = [
        ("num_attention_heads", json!(3), "num_attention_heads"),
        ("num_key_value_heads", json!(3), "num_key_value_heads"),
        ("rope_scaling", json!({ "rope_type": "llama3", "factor": 8.0 }), "rope_scaling"),
        ("hidden_act", json!("gelu"), "hidden_act"),
        ("hidden_size", json!("many"), "hidden_size"),
        ("num_hidden_layers", Value::Null, "num_hidden_layers"),
    ];
    for (field, value, named) in cases {
        place.write("model/config.json", &good);
        place.edit_json("model/config.json", |config| {
            config[field] = value;
            // A size of one head would make any number of heads possible.
            config.as_object_mut().unwrap().remove("head_dim");
        });
        refuses(&place, "model verify model", &["model/config.json", named]);
    }
}

#[test]
fn a_configuration_that_is_missing_or_not_json_is_refused() {
    let place = Workplace::with_model();
    place.write("model/config.json", "{ \"hidden_size\": 32, }");
    refuses(&place, "model verify model", &["model/config.json", "line 1"]);
    std::fs::remove_file(place.path("model/config.json")).unwrap();
    refuses(&place, "model verify model", &["model/config.json"]);
    refuses(&place, "model info model", &["model/config.json"]);
    let init = "model init --config enormous --tokenizer tok --out new";
    refuses(&place, init, &["enormous", "tiny, small, 7b, 13b, 70b"]);
}

// Tokenizers

/// Refuses `tok/tokenizer.json` after `change`, wherever it is read.
fn refuses_tokenizer(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let place = Workplace::with_tokenizer();
    place.edit_json("tok/tokenizer.json", change);
    let expected = [expected, &["tok/tokenizer.json"]].concat();
    refuses(&place, "tokenizer encode --tokenizer tok abc", &expected);
    refuses(&place, "model init --config config.json --tokenizer tok --out model", &expected);
    let extend = "tokenizer extend --base tok --corpus korean.txt --vocab-size 340 --out larger";
    refuses(&place, extend, &expected);
}

/// Adds a merge in the notation of the file.
fn add_merge(tokenizer: &mut Value, left: &str, right: &str) {
    let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
    let merge = match merges[0].is_array() {
        true => json!([left, right]),
        false => json!(format!("{left} {right}")),
    };
    merges.push(merge);
}

#[test]
fn a_merge_of_parts_that_are_no_pieces_is_refused() {
    let unknown = |tokenizer: &mut Value| add_merge(tokenizer, "☃", "e");
    refuses_tokenizer(unknown, &["☃", "not in the vocabulary"]);
}

#[test]
fn a_merge_into_what_is_no_piece_is_refused() {
    let endless = |tokenizer: &mut Value| add_merge(tokenizer, "e", "<0x41>");
    refuses_tokenizer(endless, &["e<0x41>", "not in the vocabulary"]);
}

#[test]
fn two_pieces_with_one_id_are_refused() {
    let doubled = |tokenizer: &mut Value| tokenizer["model"]["vocab"]["e"] = json!(300);
    refuses_tokenizer(doubled, &["id 300", "\"e\""]);
}

#[test]
fn ids_with_a_hole_are_refused() {
    let holed = |tokenizer: &mut Value| {
        let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        let last = vocabulary.values_mut().find(|id| **id == json!(319)).unwrap();
        *last = json!(400);
    };
    refuses_tokenizer(holed, &["no piece has id 319"]);
}

#[test]
fn a_byte_without_a_piece_is_refused() {
    let deaf = |tokenizer: &mut Value| {
        let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        let id = vocabulary.remove("<0xEA>").unwrap();
        vocabulary.insert("another".to_owned(), id);
    };
    refuses_tokenizer(deaf, &["<0xEA>", "256"]);
}

#[test]
fn a_tokenizer_of_another_kind_is_refused() {
    let unigram = |tokenizer: &mut Value| tokenizer["model"]["type"] = json!("Unigram");
    refuses_tokenizer(unigram, &["Unigram", "BPE"]);
}

#[test]
fn a_tokenizer_that_is_not_json_is_refused_by_line() {
    let place = Workplace::with_tokenizer();
    let mut text = place.read("tok/tokenizer.json");
    text.truncate(text.len() / 2);
    place.write("tok/tokenizer.json", text);
    refuses(&place, "tokenizer encode --tokenizer tok abc", &["tok/tokenizer.json", "line"]);
}

#[test]
fn a_model_with_a_damaged_tokenizer_is_not_used_as_if_it_had_none() {
    let place = Workplace::with_rows();
    place.write("model/tokenizer.json", "{");
    for line in ["model info model", "model verify model", "score --model model", TRAIN] {
        refuses(&place, line, &["model/tokenizer.json"]);
    }
}

#[test]
fn a_truncated_sentencepiece_model_is_refused_by_byte() {
    let place = Workplace::with_tokenizer();
    let whole = place.read("tok/tokenizer.model");
    for length in [whole.len() / 2, whole.len() - 1, 7] {
        place.write("cut.model", &whole[..length]);
        refuses(&place, "tokenizer encode --tokenizer cut.model abc", &["cut.model", "byte"]);
    }
}

#[test]
fn a_folder_without_a_tokenizer_is_refused() {
    let place = Workplace::with_tokenizer();
    std::fs::create_dir(place.path("empty")).unwrap();
    refuses(&place, "tokenizer encode --tokenizer empty abc", &["empty", "tokenizer.json"]);
    refuses(&place, "tokenizer encode --tokenizer nowhere abc", &["nowhere"]);
}

// Corpora

#[test]
fn a_text_that_is_not_utf8_is_refused_by_file_and_line() {
    let place = Workplace::with_tokenizer();
    let cp949 = b"{\"text\": \"\xb0\xa1\"}";
    place.write("bad.jsonl", [b"{\"text\": \"a\"}\n".as_slice(), cp949, b"\n"].concat());
    place.write("bad.txt", b"good\ngood\nno\xfft\n");
    for (file, at) in [("bad.jsonl", "bad.jsonl:2"), ("bad.txt", "bad.txt:3")] {
        for line in [
            format!("tokenizer train --corpus {file} --vocab-size 320 --out new"),
            format!("tokenizer extend --base tok --corpus {file} --vocab-size 340 --out new"),
            format!("corpus pack {file} --tokenizer tok --sequence-length 16 --out new"),
            format!("corpus stats {file}"),
        ] {
            refuses(&place, &line, &[at, "UTF-8", "iconv"]);
        }
    }
}

#[test]
fn a_malformed_line_is_refused_by_number_and_with_the_shape_expected() {
    let place = Workplace::with_tokenizer();
    for bad in ["{\"text\": ", "[1, 2]", "{\"body\": \"a\"}", "{\"text\": 7}"] {
        place.write("bad.jsonl", format!("{{\"text\": \"a\"}}\n{bad}\n"));
        for line in [
            "corpus pack bad.jsonl --tokenizer tok --sequence-length 16 --out new",
            "corpus stats bad.jsonl",
        ] {
            refuses(&place, line, &["bad.jsonl:2", "`text`"]);
        }
    }
}

#[test]
fn rows_tokenised_elsewhere_are_refused_by_line_and_field() {
    let place = Workplace::new();
    let pack = "corpus pack --ids ids.jsonl --vocab-size 100 --out new";
    for (bad, named) in [
        ("{\"ids\": [1, 2, 100]}", "`ids`"),
        ("{\"ids\": [1, 2]}", "`ids`"),
        ("{\"ids\": [1, 2, 3], \"labels\": [1, 2, -7]}", "`labels`"),
        ("{\"ids\": [1, 2, 3], \"labels\": [1]}", "`labels`"),
        ("{\"ids\": [1, 2, 3], \"documents\": [0, 0]}", "`documents`"),
        ("{\"ids\": [1, 2, 3], \"label\": [1, 2, 3]}", "label"),
        ("{\"ids\": [1, 2.5, 3]}", "ids"),
    ] {
        place.write("ids.jsonl", format!("{{\"ids\": [1, 2, 3]}}\n{bad}\n"));
        refuses(&place, pack, &["ids.jsonl:2", named]);
    }
}

#[test]
fn a_corpus_without_text_is_refused() {
    let place = Workplace::with_tokenizer();
    place.write("empty.jsonl", "");
    std::fs::create_dir(place.path("folder")).unwrap();
    place.write("picture.png", "not text");
    for (source, named) in [
        ("empty.jsonl", "empty.jsonl"),
        ("folder", "folder"),
        ("picture.png", "picture.png"),
        ("nowhere.jsonl", "nowhere.jsonl"),
    ] {
        let pack = format!("corpus pack {source} --tokenizer tok --sequence-length 16 --out new");
        refuses(&place, &pack, &[named]);
    }
    refuses(&place, "tokenizer train --corpus nowhere --vocab-size 320 --out new", &["nowhere"]);
    let train = "tokenizer train --corpus empty.jsonl --vocab-size 320 --out new";
    refuses(&place, train, &["empty.jsonl", "no documents"]);
    let long = "corpus pack english.txt --tokenizer tok --sequence-length 99999 --out new";
    refuses(&place, long, &["99999", "smaller sequence length"]);
}

#[test]
fn a_damaged_archive_is_refused() {
    let place = Workplace::with_tokenizer();
    let packed =
        zstd::encode_all("{\"text\": \"안녕하세요\"}\n".repeat(100).as_bytes(), 3).unwrap();
    place.write("cut.jsonl.zst", &packed[..packed.len() - 4]);
    let pack = "corpus pack cut.jsonl.zst --tokenizer tok --sequence-length 16 --out new";
    refuses(&place, pack, &["cut.jsonl.zst", "damaged, cut short"]);
}

#[test]
fn a_vocabulary_size_that_cannot_be_is_refused() {
    let place = Workplace::with_tokenizer();
    for (line, expected) in [
        ("tokenizer train --corpus english.txt --vocab-size 200 --out new", "200"),
        ("tokenizer train --corpus english.txt --vocab-size 90000 --out new", "too small"),
        ("tokenizer extend --base tok --corpus korean.txt --vocab-size 100 --out new", "320"),
        ("tokenizer extend --base tok --corpus korean.txt --vocab-size 320 --out new", "320"),
        (
            "tokenizer extend --base tok --corpus korean.txt --vocab-size 90000 --out new",
            "too small",
        ),
        (
            "tokenizer extend --base tok --corpus english.txt --vocab-size 340 --out new",
            "too small",
        ),
    ] {
        refuses(&place, line, &[expected]);
    }
    let script = "tokenizer extend --base tok --corpus korean.txt --vocab-size 340 \
                  --script Klingon --out new";
    refuses(&place, script, &["Klingon", "Hangul"]);
}

// Packed rows

#[test]
fn rows_packed_with_another_tokenizer_are_refused() {
    let place = with_everything();
    place.done("corpus pack english.txt --tokenizer larger --sequence-length 16 --out others");
    refuses(
        &place,
        &TRAIN.replace("rows", "others"),
        &["others was packed with tokenizer", "pack the texts again"],
    );
}

#[test]
fn rows_with_ids_beyond_the_model_are_refused() {
    let place = Workplace::with_rows();
    place.write("ids.jsonl", format!("{}\n", json!({ "ids": vec![5; 16] })));
    place.done("corpus pack --ids ids.jsonl --vocab-size 321 --out wide");
    refuses(&place, &TRAIN.replace("rows", "wide"), &["wide", "321", "320"]);
}

#[test]
fn a_truncated_or_altered_shard_is_refused() {
    let place = Workplace::with_rows();
    let whole = place.read("rows/shard-00000.bin");
    place.write("rows/shard-00000.bin", &whole[..whole.len() - 4]);
    refuses(&place, TRAIN, &["rows/shard-00000.bin", "pack the corpus again"]);
    place.write("rows/shard-00000.bin", [b"NOTAPACK", &whole[8..]].concat());
    refuses(&place, TRAIN, &["rows/shard-00000.bin"]);
    std::fs::remove_file(place.path("rows/shard-00000.bin")).unwrap();
    refuses(&place, TRAIN, &["rows/shard-00000.bin"]);
    place.write("rows/meta.json", "{}");
    refuses(&place, TRAIN, &["rows/meta.json", "corpus pack"]);
}

#[test]
fn a_sequence_length_other_than_the_packed_one_is_refused_with_both() {
    let place = Workplace::with_rows();
    refuses(&place, &TRAIN.replace("length 16", "length 32"), &["rows", "16", "32"]);
}

// Outputs

#[test]
fn an_output_that_holds_something_is_left_as_it_is() {
    let place = with_everything();
    place.write("precious", "1");
    std::fs::create_dir(place.path("full")).unwrap();
    place.write("full/precious", "1");
    for out in ["full", "precious"] {
        for line in [
            "tokenizer train --corpus english.txt --vocab-size 320",
            "tokenizer extend --base tok --corpus korean.txt --vocab-size 340",
            "corpus pack english.txt --tokenizer tok --sequence-length 16",
            "model init --config config.json --tokenizer tok",
            "model extend --base model --tokenizer larger",
        ] {
            refuses(&place, &format!("{line} --out {out}"), &[out]);
        }
    }
}

#[test]
fn an_output_that_cannot_be_made_is_named() {
    let place = with_everything();
    place.write("file", "1");
    for out in ["/proc/kollama", "file/out"] {
        for line in [
            "tokenizer train --corpus english.txt --vocab-size 320",
            "tokenizer extend --base tok --corpus korean.txt --vocab-size 340",
            "corpus pack english.txt --tokenizer tok --sequence-length 16",
            "model init --config config.json --tokenizer tok",
            "model extend --base model --tokenizer larger",
            "train --model model --data rows --steps 1 --batch-size 1 --sequence-length 16 --lr 1",
        ] {
            refuses(&place, &format!("{line} --out {out}"), &[out.trim_start_matches('/')]);
        }
    }
}

/// What writes the files of [`with_everything`]; the output of each is `small/out`.
const COMMANDS_THAT_WRITE: [&str; 5] = [
    "tokenizer train --corpus english.txt --vocab-size 320 --out small/out",
    "tokenizer extend --base tok --corpus korean.txt --vocab-size 340 --out small/out",
    "corpus pack english.txt --tokenizer tok --sequence-length 16 --out small/out",
    "model init --config config.json --tokenizer tok --out small/out",
    "model extend --base model --tokenizer larger --out small/out",
];

/// No file may grow beyond a block or two; the signal that usually tells so is turned off.
const SMALL_FILES: &str = "ulimit -f 4; trap '' XFSZ; exec \"$KOLLAMA\"";

#[test]
fn a_write_that_fails_half_way_leaves_nothing() {
    let place = with_everything();
    std::fs::create_dir(place.path("small")).unwrap();
    for line in COMMANDS_THAT_WRITE {
        let answer = place.shell(&format!("{SMALL_FILES} {line}"));
        assert_is_one_message(&answer, &["cannot write", "small/", "too large"]);
        assert_eq!(left_in_small(&place), [""; 0], "kollama {line}: {}", answer.err);
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left_on_it() {
    let place = with_everything();
    if place.shell("unshare --mount --map-root-user true").code != Some(0) {
        eprintln!("skipped: this system lets nobody mount a small disk");
        return;
    }
    std::fs::create_dir(place.path("small")).unwrap();
    for line in COMMANDS_THAT_WRITE {
        let script = "mount -t tmpfs -o size=8k none small && { \"$KOLLAMA\" LINE; code=$?; \
                      find small -type f; exit $code; }";
        let script = script.replace("LINE", line).replace('\'', "");
        let answer = place.shell(&format!("unshare --mount --map-root-user sh -c '{script}'"));
        assert_is_one_message(&answer, &["cannot write", "small/", "space"]);
    }
}

#[test]
fn a_run_whose_checkpoint_cannot_be_written_goes_on_when_it_can() {
    let place = Workplace::with_rows();
    let answer = place.shell(&format!("{SMALL_FILES} {TRAIN}"));
    assert_is_one_message(&answer, &["cannot write", "run/checkpoints/", "too large"]);
    assert!(!place.path("run/model.safetensors").exists());
    place.done(&format!("{TRAIN} --resume"));
    place.done(&TRAIN.replace("--out run", "--out whole"));
    for folder in ["", "checkpoints", "checkpoints/step-000002"] {
        let names = ["run", "whole"].map(|run| place.names(&format!("{run}/{folder}")));
        assert_eq!(names[0], names[1]);
    }
    let weights = ["run", "whole"].map(|run| place.read(&format!("{run}/model.safetensors")));
    assert!(weights[0] == weights[1], "the weights differ");
}

/// Every file below `small`.
fn left_in_small(place: &Workplace) -> Vec<String> {
    let small = place.path("small");
    let below =
        place.contents().into_keys().filter(|path| path.starts_with(&small) && *path != small);
    below.map(|path| path.display().to_string()).collect()
}

// Questions to a model

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

// Runs

#[test]
fn a_used_folder_is_not_trained_into_without_saying_so() {
    let place = Workplace::with_rows();
    place.done(TRAIN);
    refuses(&place, TRAIN, &["run", "--resume"]);
}

#[test]
fn a_run_is_not_resumed_with_another_setting() {
    let place = Workplace::with_rows();
    place.done(TRAIN);
    let resume = format!("{TRAIN} --resume").replace("--steps 2", "--steps 4");
    for (from, to, named) in [
        ("--lr 1e-2", "--lr 2e-2", "learning_rate"),
        ("--batch-size 2", "--batch-size 1", "batch_size"),
        ("--resume", "--resume --seed 9", "seed"),
    ] {
        refuses(&place, &resume.replace(from, to), &[named, "began with"]);
    }
    place.done("corpus pack korean.txt --tokenizer tok --sequence-length 16 --out korean");
    refuses(&place, &resume.replace("--data rows", "--data korean"), &["data", "began with"]);
}

#[test]
fn a_damaged_checkpoint_is_named_with_the_way_out() {
    let place = Workplace::with_rows();
    place.done(TRAIN);
    let weights = "run/checkpoints/step-000002/model.safetensors";
    let mut bytes = place.read(weights);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    place.write(weights, bytes);
    let resume = format!("{TRAIN} --resume").replace("--steps 2", "--steps 4");
    refuses(&place, &resume, &[weights, "damaged", "remove"]);
}

#[test]
fn values_that_no_run_can_have_are_refused_by_name() {
    let place = Workplace::with_rows();
    for (from, to, named) in [
        ("--lr 1e-2", "--lr 0", "learning_rate"),
        ("--lr 1e-2", "--lr nan", "learning_rate"),
        ("--steps 2", "--steps 0", "steps"),
        ("--batch-size 2", "--batch-size 0", "batch_size"),
        ("--lr 1e-2", "--lr 1e-2 --warmup-steps 3", "warmup_steps"),
        ("--lr 1e-2", "--lr 1e-2 --beta2 1", "beta2"),
    ] {
        refuses_usage(&place, &TRAIN.replace(from, to), &[named]);
    }
    refuses(&place, &format!("{TRAIN} --train-only new-rows"), &["base_vocab_size"]);
}

// Recipes

#[test]
fn a_recipe_is_refused_by_file_and_field() {
    let place = Workplace::new();
    place.write("sample.json", include_str!("../assets/sample/config.json"));
    let good = include_str!("../recipes/quickstart.toml")
        .replace("../assets/sample/config.json", "sample.json");
    for (from, to, named) in [
        ("[model]", "[model]\ncolour = 1", "colour"),
        ("warmup_steps", "warmupsteps", "warmupsteps"),
        ("vocab_size = 1024", "", "vocab_size"),
        ("steps = 120", "steps = \"many\"", "steps"),
        ("name = \"quickstart\"", "name = ", "line"),
        ("script = \"Hangul\"", "script = \"Hangul", "line"),
        ("script = \"Hangul\"", "script = \"Klingon\"", "Klingon"),
        ("vocab_size = 3072", "vocab_size = 9000000000000000000", "vocab_size"),
        ("sequence_length = 256", "sequence_length = 100000", "256 positions"),
        ("max_new_tokens = 40", "max_new_tokens = 600", "max_new_tokens"),
        ("max_new_tokens = 40", "max_new_tokens = 40\ntasks = [\"nope\"]", "nope"),
    ] {
        assert!(good.contains(from), "{from}");
        place.write("bad.toml", good.replacen(from, to, 1));
        refuses(&place, "run bad.toml --check", &["bad.toml", named]);
        refuses(&place, "run bad.toml --out new", &["bad.toml", named]);
    }
    refuses(&place, "run nowhere.toml", &["nowhere.toml"]);
}

#[test]
fn a_stage_that_is_not_there_is_answered_with_those_that_are() {
    let place = Workplace::new();
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/quickstart.toml");
    for flag in ["--from", "--to"] {
        let answer =
            place.shell(&format!("exec \"$KOLLAMA\" run '{recipe}' --out new {flag} training"));
        assert_is_a_refusal(&answer, 2, &["training", "base-tokenizer", "comparison"]);
    }
    let backwards = format!("'{recipe}' --out new --from train --to base-tokenizer");
    let answer = place.shell(&format!("exec \"$KOLLAMA\" run {backwards}"));
    assert_is_a_refusal(&answer, 2, &["--from train", "--to base-tokenizer"]);
    assert!(!place.path("new").exists());
}

#[test]
fn a_run_touches_no_folder_that_it_has_not_made() {
    let place = Workplace::new();
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/quickstart.toml");
    std::fs::create_dir_all(place.path("mine/base-tokenizer")).unwrap();
    place.write("mine/base-tokenizer/precious", "1");
    for scope in ["--to base-tokenizer", "--from base-tokenizer --to base-tokenizer"] {
        let answer = place.shell(&format!("exec \"$KOLLAMA\" run '{recipe}' --out mine {scope}"));
        assert_is_a_refusal(&answer, 1, &["mine/base-tokenizer", "not empty"]);
        assert_eq!(place.read("mine/base-tokenizer/precious"), b"1");
    }
}

#[test]
fn a_training_is_not_given_up_because_a_recipe_has_changed() {
    let place = Workplace::new();
    place.done("quickstart --out first --minutes 0.008");
    let recipe = "first/sample/recipes/quickstart.toml";
    let text = String::from_utf8(place.read(recipe)).unwrap();
    place.write(recipe, text.replace("steps = 120", "steps = 21"));
    let trained = place.read("first/base/model.safetensors");
    let answer = place.run(&format!("run {recipe} --out first --to base"));
    assert_is_a_refusal(&answer, 1, &["first/base", "--from base"]);
    assert_eq!(place.read("first/base/model.safetensors"), trained);
    place.done(&format!("run {recipe} --out first --from base --to base"));
    assert_ne!(place.read("first/base/model.safetensors"), trained);
}

// The command line itself

#[test]
fn a_wrong_use_of_the_command_line_exits_with_2() {
    let place = Workplace::new();
    for (line, named) in [
        ("trian", "trian"),
        ("model", "Usage"),
        ("train --model m", "--data"),
        ("train --modle m", "--modle"),
        ("tokenizer train --corpus english.txt --out new", "--vocab-size"),
        ("tokenizer train --corpus english.txt --vocab-size many --out new", "many"),
        ("corpus pack english.txt --out new", "--tokenizer"),
        ("corpus pack --ids rows.jsonl --out new", "--vocab-size"),
        ("generate --model m --threads 0", "--threads"),
        ("model init --config tiny --tokenizer tok --out new --dtype int8", "int8"),
    ] {
        let before = place.contents();
        assert_is_a_refusal(&place.run(line), 2, &[named]);
        assert_eq!(place.contents(), before);
    }
    assert!(std::path::Path::new(PROGRAM).is_file());
}
