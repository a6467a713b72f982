//! A folder in the shape of KoBEST with all its traps, a tokenizer whose ids can be told by
//! looking at a text, and the requests they must give, worked out by hand.
#![allow(clippy::unwrap_used, reason = "a test that cannot write its folder has failed")]
#![allow(dead_code, reason = "each test needs a part of it")]

use kollama_engine::{ScoreRequest, Tokenizer};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// `<unk>`, `<s>`, `</s>`, 256 bytes and the mark of a blank.
pub const VOCAB_SIZE: usize = 260;
const BLANK: u32 = 259;

/// Solved examples before each question.
pub const SHOTS: usize = 2;

/// CPython: `Random(42).shuffle(list(range(6)))`.
pub const ORDER: [usize; 6] = [3, 1, 2, 4, 0, 5];

/// The same generator, gone on: `sample(range(4), 2)`, six times.
const SHOWN: [[usize; 2]; 6] = [[1, 0], [1, 2], [0, 2], [0, 2], [3, 0], [0, 3]];

/// The right alternative of each row of the test split.
pub const GOLD: [usize; 6] = [0, 1, 1, 0, 0, 1];

/// CRLF, an empty line at the end, blanks around fields, quotes that open and never close.
const TRAIN: &str = "ID\tsentence\tquestion\t1\t2\tAnswer\r\n\
    1\t비가 온다.\t결과\t젖는다.\t마른다.\t1\r\n\
    2\t\"a\t원인 \tb \tc\"\t2\r\n\
    3\t불이 났다. \t결과\t연기가 난다.\t눈이 온다.\t1\r\n\
    4\td\"\"e\t원인\t\"\tf\t2\r\n\r\n";

/// Other order of columns, LF, no line feed at the end.
const TEST: &str = "Answer\tquestion\tsentence\t1\t2\tID\n\
    1\t결과\tzero\tx\tyy\t0\n\
    2\t원인\tone \txx\ty\t1\n\
    2\t결과\ttwo\t x\ty\t2\n\
    1\t원인\tthree\t해\t달\t3\n\
    1\t결과\t\"four\txxx\tyyy\t4\n\
    2\t원인\tfive\tx\ty \t5";

/// Each row of the train split as a shot shows it.
const SOLVED: [&str; 4] = [
    "비가 온다. 그래서 젖는다.",
    "\"a 왜냐하면 c\"",
    "불이 났다.  그래서 연기가 난다.",
    "d\"\"e 왜냐하면 f",
];

/// Each row of the test split: the question and what may follow it.
const ASKED: [(&str, [&str; 2]); 6] = [
    ("zero 그래서", [" x", " yy"]),
    ("one  왜냐하면", [" xx", " y"]),
    ("two 그래서", ["  x", " y"]),
    ("three 왜냐하면", [" 해", " 달"]),
    ("\"four 그래서", [" xxx", " yyy"]),
    ("five 왜냐하면", [" x", " y "]),
];

/// Writes the two splits, one of them packed.
pub fn write(data: &Path) {
    let folder = data.join("COPA");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("train.tsv.zst"), zstd::encode_all(TRAIN.as_bytes(), 0).unwrap())
        .unwrap();
    fs::write(folder.join("test.tsv"), TEST).unwrap();
}

/// All requests in the order of scoring.
pub fn requests_by_hand() -> Vec<ScoreRequest> {
    let mut requests = Vec::new();
    for (document, [first, second]) in ORDER.into_iter().zip(SHOWN) {
        let (question, choices) = ASKED[document];
        let context = format!("{}\n\n{}\n\n{question}", SOLVED[first], SOLVED[second]);
        for choice in choices {
            let (context, continuation) = (ids(&context), ids(choice));
            requests.push(ScoreRequest { context, continuation });
        }
    }
    requests
}

/// A blank before every text; then a blank is 259 and every other byte its value plus 3.
pub fn ids(text: &str) -> Vec<u32> {
    let id = |byte| {
        if byte == b' ' { BLANK } else { u32::from(byte) + 3 }
    };
    std::iter::once(BLANK).chain(text.bytes().map(id)).collect()
}

/// A tokenizer of Llama's kind that has learnt nothing: bytes and blanks.
pub fn tokenizer(folder: &Path) -> Tokenizer {
    tokenizer_that(folder, Value::Null)
}

/// The same, but it wants `<s>` before a text.
pub fn tokenizer_that_begins(folder: &Path) -> Tokenizer {
    let begin = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let single = json!([begin, text]);
    let special_tokens = json!({"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}});
    let processor = json!({"type": "TemplateProcessing", "single": single, "pair": single,
        "special_tokens": special_tokens});
    tokenizer_that(folder, processor)
}

fn tokenizer_that(folder: &Path, post_processor: Value) -> Tokenizer {
    let path = folder.join("tokenizer.json");
    let mut definition = definition();
    definition["post_processor"] = post_processor;
    fs::write(&path, definition.to_string()).unwrap();
    Tokenizer::open(&path).unwrap()
}

fn definition() -> Value {
    let specials = ["<unk>", "<s>", "</s>"];
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let pieces = specials.map(str::to_owned).into_iter().chain(bytes).chain(["▁".to_owned()]);
    let vocab: Map<String, Value> =
        pieces.enumerate().map(|(id, piece)| (piece, json!(id))).collect();
    let added: Vec<Value> =
        specials.iter().enumerate().map(|(id, piece)| added(id, piece)).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>",
            "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": true, "vocab": vocab, "merges": []},
    })
}

fn added(id: usize, piece: &str) -> Value {
    json!({"id": id, "content": piece, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true})
}
