//! What the contract tests share: where the data lies, a small tokenizer, random texts, oracles.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod strange_texts;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kollama_tokenizer::{TokenId, Tokenizer, TokenizerError, train};
use serde_json::{Value, json};

/// A folder of the test data, or `None` after one line that says so.
pub fn data(name: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("KOLLAMA_DATA").map_or_else(|| default.into(), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there; set KOLLAMA_DATA", folder.display());
    None
}

/// The JSON values of a `.jsonl.zst` file, one a line.
pub fn json_lines(path: &Path) -> impl Iterator<Item = serde_json::Value> + use<> {
    let file = File::open(path).expect("a data file");
    let lines = BufReader::new(zstd::Decoder::new(file).expect("zstd")).lines();
    lines.map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON"))
}

/// The texts of a corpus file.
pub fn texts(path: &Path) -> impl Iterator<Item = String> + use<> {
    json_lines(path).map(|value| value["text"].as_str().expect("a text").to_owned())
}

/// A corpus file of which something may fail: nothing does.
pub fn sound(
    texts: impl Iterator<Item = String>,
) -> impl Iterator<Item = Result<String, TokenizerError>> {
    texts.map(Ok)
}

/// The bytes of the small tokenizer's `tokenizer.model` with pieces behind its own: text, score, and
/// type (1 normal, 4 user-defined).
pub fn small_model_with(pieces: &[(&str, f32, u8)]) -> Vec<u8> {
    let mut bytes = small_tokenizer().to_model().expect("it has one");
    for (text, score, kind) in pieces {
        // ModelProto.pieces (1): piece (1), score (2), type (3).
        let length = u8::try_from(text.len()).expect("a short text");
        bytes.extend([0x0a, length + 9, 0x0a, length]);
        bytes.extend(text.as_bytes());
        bytes.push(0x15);
        bytes.extend(score.to_le_bytes());
        bytes.extend([0x18, *kind]);
    }
    bytes
}

/// Twenty lines to learn from where there is no data.
pub const LINES: [&str; 20] = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind.",
    "A tokenizer cuts a text into pieces; the pieces have numbers.",
    "for (int index = 0; index < 100; index++) { total += values[index]; }",
    "    return the_value_of(the_thing)    # with blanks before and after   ",
    "She said: \"don't you think that it's raining?\" He didn't.",
    "In 2024 the price was 1,299.50 dollars; in 2025 it was 1,350.75.",
    "안녕하세요, 오늘은 날씨가 좋네요.",
    "오늘은 학교에 가지 않고 집에서 책을 읽었습니다.",
    "한국어를 배우는 사람들이 점점 많아지고 있습니다.",
    "이 영화는 정말 재미있었어요. 다시 보고 싶습니다.",
    "그 사람은 아침마다 공원에서 운동을 하고 커피를 마십니다.",
    "새로운 토크나이저는 한국어를 더 짧게 씁니다.",
    "ㅋㅋㅋㅋㅋ 진짜 웃기다 ㅋㅋㅋ ㅠㅠㅠㅠ ㅋㅋㅋㅋ",
    "The model reads Korean: 한국어와 English를 함께 읽습니다.",
    "서울에서 부산까지 기차로 두 시간 반이 걸립니다.",
    "naïve café — “quotes” and dashes … and ellipses",
    "x = [1, 2, 3]; y = {\"key\": \"value\"}; z = lambda a: a * 2",
    "바람이 불고 비가 오는 날에는 집에서 음악을 듣습니다.",
    "우리는 내일 아침에 다시 만나기로 했습니다. 안녕하세요!",
    "The end of the text is the beginning of the next text.",
];

/// A tokenizer learned from [`LINES`], said three times so that pairs repeat.
pub fn small_tokenizer() -> Tokenizer {
    let lines = LINES.iter().cycle().take(60).map(|line| line.to_string());
    train(sound(lines), 700, 0.99).expect("twenty lines are enough for 700 pieces")
}

/// A form of the space mark: a name, the normalizer, the pre-tokenizer, whether decoding takes a blank
/// away.
pub type Form = (&'static str, Value, Value, bool);

/// Every form that a `tokenizer.json` may have.
pub fn forms() -> Vec<Form> {
    let prepend = json!({"type": "Prepend", "prepend": "▁"});
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let sequence = json!({"type": "Sequence", "normalizers": [prepend, replace]});
    // Gemma's: it cuts nothing, because no blank is left.
    let split = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
        "invert": false});
    let metaspace = |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false});
    vec![
        ("prepend", sequence, Value::Null, true),
        ("replace only", replace.clone(), Value::Null, false),
        ("replace and split", replace, split, false),
        ("first", Value::Null, metaspace("first"), true),
        ("always", Value::Null, metaspace("always"), true),
        ("never", Value::Null, metaspace("never"), false),
    ]
}

/// The small tokenizer's `tokenizer.json` in the given form.
pub fn small_document(form: &Form) -> Value {
    in_form(&small_tokenizer(), form)
}

/// A tokenizer's `tokenizer.json` in the given form.
pub fn in_form(tokenizer: &Tokenizer, form: &Form) -> Value {
    let json = tokenizer.to_json().expect("it has one");
    let mut document: Value = serde_json::from_slice(&json).expect("JSON");
    document["normalizer"] = form.1.clone();
    document["pre_tokenizer"] = form.2.clone();
    if !form.3 {
        document["decoder"]["decoders"].as_array_mut().expect("a list").pop();
    }
    document
}

/// Numbers that look random and are the same every time (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// A number below `below`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    /// A character from `from` up to but not `to`.
    pub fn character_between(&mut self, from: u32, to: u32) -> char {
        loop {
            let code = from + self.below(u64::from(to - from)) as u32;
            if let Some(character) = char::from_u32(code) {
                return character;
            }
        }
    }

    /// A text of one of eight kinds: all of Unicode, byte soup, runs of blanks, jamo, emoji, …
    pub fn text(&mut self) -> String {
        let length = self.below(40) as usize;
        match self.below(8) {
            0 => (0..length).map(|_| self.character_between(1, 0x110000)).collect(),
            1 => {
                let bytes: Vec<u8> = (0..length).map(|_| self.below(256) as u8).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            2 => (0..length)
                .map(|_| [' ', ' ', ' ', 'a', '\n', '가', '▁'][self.below(7) as usize])
                .collect(),
            3 => (0..length).map(|_| self.character_between(0x1100, 0x1200)).collect(),
            4 => (0..length).map(|_| self.character_between(0x1f300, 0x1fa00)).collect(),
            5 => (0..length).map(|_| self.character_between(0xac00, 0xd7a4)).collect(),
            6 => {
                (0..length).map(|_| ['ㅋ', 'ㅋ', 'ㅠ', '하', ' '][self.below(5) as usize]).collect()
            }
            _ => self.slices_of_lines(),
        }
    }

    fn slices_of_lines(&mut self) -> String {
        let slice = |random: &mut Random| {
            let line = LINES[random.below(LINES.len() as u64) as usize];
            let (skip, take) = (random.below(40) as usize, random.below(30) as usize);
            line.chars().skip(skip).take(take).collect::<String>()
        };
        (0..3).map(|_| slice(self)).collect()
    }
}

/// Whether Hugging Face would find a special piece in a text, which SentencePiece does not.
pub fn holds_special(text: &str) -> bool {
    ["<s>", "</s>", "<unk>"].iter().any(|special| text.contains(special))
}

/// Ids by the `tokenizers` crate.
pub fn hugging_face_ids(tokenizer: &tokenizers::Tokenizer, text: &str) -> Vec<TokenId> {
    let encoding = tokenizer.encode_fast(text, false).expect("every text can be encoded");
    encoding.get_ids().to_vec()
}

/// Ids by SentencePiece, from a child process; `None` after one line when it is not installed.
pub fn sentence_piece_ids(model: &Path, texts: &[String]) -> Option<Vec<Vec<TokenId>>> {
    let python = std::env::var("KOLLAMA_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/tokenizer_oracle.py");
    let child = Command::new(python)
        .arg(script)
        .arg(model)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: no python; set KOLLAMA_PYTHON to compare with sentencepiece");
        return None;
    };
    let mut input = child.stdin.take().expect("piped");
    let lines: Vec<u8> = texts
        .iter()
        .flat_map(|text| format!("{}\n", serde_json::json!(text)).into_bytes())
        .collect();
    // Written beside the reading: both pipes are small. A child that ends early closes the pipe.
    let writer = std::thread::spawn(move || input.write_all(&lines));
    let output = child.wait_with_output().expect("the child ends");
    let _ = writer.join().expect("the writer does not panic");
    let report = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) {
        println!("skipped: {}", report.trim());
        return None;
    }
    assert!(output.status.success(), "the oracle failed: {report}");
    println!("{}", report.trim());
    let lines = output.stdout.lines();
    Some(lines.map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("ids")).collect())
}
