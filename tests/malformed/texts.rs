//! Texts that are no texts, and rows packed from others.

use crate::program::{TRAIN, Workplace};
use crate::{refuses, with_everything};
use serde_json::json;

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
