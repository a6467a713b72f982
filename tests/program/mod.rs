//! The program as a user runs it, and the smallest inputs that it can work on. What a command
//! should answer is for the tests to say.

#![allow(dead_code)] // Every test file uses its own part.
#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_kollama");

const ENGLISH: &str = include_str!("../../assets/sample/english/01-harbour-morning.txt");
const KOREAN: &str = include_str!("../../assets/sample/korean/01-market-morning.txt");

/// Two layers, grouped heads: the smallest shape in which every part of a Llama has work to do.
pub const CONFIG: &str = r#"{
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320,
    "max_position_embeddings": 128, "initializer_range": 0.1
}"#;

/// A run of two steps on the inputs of [`Workplace::with_rows`].
pub const TRAIN: &str = "train --model model --data rows --out run --steps 2 --batch-size 2 \
                         --sequence-length 16 --lr 1e-2";

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Results.
    pub out: String,
    /// Talk.
    pub err: String,
}

impl Answer {
    /// Every line of the results as JSON.
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.out.lines().map(parse).collect()
    }

    /// The results as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

/// A folder that commands run in; gone when dropped.
pub struct Workplace {
    folder: TempDir,
}

impl Workplace {
    /// With two texts, `english.txt` and `korean.txt`, and a `config.json`.
    pub fn new() -> Workplace {
        let place = Workplace { folder: tempfile::tempdir().unwrap() };
        place.write("english.txt", ENGLISH);
        place.write("korean.txt", KOREAN);
        place.write("config.json", CONFIG);
        place
    }

    /// And a tokenizer of 320 ids in `tok`.
    pub fn with_tokenizer() -> Workplace {
        let place = Workplace::new();
        place.done("tokenizer train --corpus english.txt --vocab-size 320 --out tok");
        place
    }

    /// And a model in `model`.
    pub fn with_model() -> Workplace {
        let place = Workplace::with_tokenizer();
        place.done("model init --config config.json --tokenizer tok --seed 1 --out model");
        place
    }

    /// And rows of 16 ids in `rows`.
    pub fn with_rows() -> Workplace {
        let place = Workplace::with_model();
        place.done("corpus pack english.txt --tokenizer tok --sequence-length 16 --out rows");
        place
    }

    /// Where `name` lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Lets `change` have its way with a JSON file.
    pub fn edit_json(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&self.read(name)).unwrap();
        change(&mut value);
        self.write(name, value.to_string());
    }

    /// Every file and folder below, with the length of the files.
    pub fn contents(&self) -> BTreeMap<PathBuf, u64> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.folder.path().to_owned()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                let data = entry.metadata().unwrap();
                found.insert(entry.path(), if data.is_dir() { 0 } else { data.len() });
                waiting.extend(data.is_dir().then(|| entry.path()));
            }
        }
        found
    }

    /// Names in a folder, in their order; none if there is no such folder.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The program in this folder, with the words of a line as arguments.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).current_dir(self.folder.path());
        command
    }

    /// Runs the words of a line, with nothing on standard input.
    pub fn run(&self, line: &str) -> Answer {
        answer_of(self.command(line), "")
    }

    /// Runs the words of a line and one more argument, which may hold blanks.
    pub fn run_with(&self, line: &str, last: &str) -> Answer {
        let mut command = self.command(line);
        command.arg(last);
        answer_of(command, "")
    }

    /// Runs the words of a line with `input` on standard input.
    pub fn feed(&self, line: &str, input: &str) -> Answer {
        answer_of(self.command(line), input)
    }

    /// Runs a shell script in which `$KOLLAMA` is the program.
    pub fn shell(&self, script: &str) -> Answer {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("KOLLAMA", PROGRAM).current_dir(self.folder.path());
        answer_of(command, "")
    }

    /// As [`Workplace::run`], for what has to succeed.
    pub fn done(&self, line: &str) -> Answer {
        succeeded(self.run(line), line)
    }

    /// As [`Workplace::feed`], for what has to succeed.
    pub fn fed(&self, line: &str, input: &str) -> Answer {
        succeeded(self.feed(line, input), line)
    }
}

fn succeeded(answer: Answer, line: &str) -> Answer {
    assert_eq!(answer.code, Some(0), "kollama {line}\n{}", answer.err);
    answer
}

fn answer_of(mut command: Command, input: &str) -> Answer {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A command that fails early leaves its input unread; that is no fault of the test.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("the program speaks UTF-8");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The folder of real data, if there is one; else says that a test is skipped.
pub fn real_data(folder: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("KOLLAMA_DATA").map_or_else(beside, PathBuf::from).join(folder);
    if !data.exists() {
        eprintln!("skipped: {} is not there (KOLLAMA_DATA names the folder)", data.display());
    }
    data.exists().then_some(data)
}

/// A safetensors file taken apart: the header, and the bytes of all tensors.
pub struct Tensors {
    /// Name to dtype, shape and offsets.
    pub header: Value,
    /// All values, in the order of the offsets.
    pub data: Vec<u8>,
}

impl Tensors {
    /// Reads a file.
    pub fn read(path: &Path) -> Tensors {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        Tensors { header: serde_json::from_slice(header).unwrap(), data: data.to_vec() }
    }

    /// Writes a file, whatever the header says.
    pub fn write(&self, path: &Path) {
        let header = self.header.to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&self.data);
        fs::write(path, bytes).unwrap();
    }

    /// Number of rows (or values) of a tensor.
    pub fn rows(&self, name: &str) -> usize {
        self.header[name]["shape"][0].as_u64().unwrap() as usize
    }

    /// The bytes of a tensor.
    pub fn bytes(&self, name: &str) -> &[u8] {
        let offset = |end: usize| self.header[name]["data_offsets"][end].as_u64().unwrap() as usize;
        &self.data[offset(0)..offset(1)]
    }

    /// Puts another value in the place of the first one of a tensor.
    pub fn set_first(&mut self, name: &str, value: f32) {
        let start = self.header[name]["data_offsets"][0].as_u64().unwrap() as usize;
        self.data[start..start + 4].copy_from_slice(&value.to_le_bytes());
    }
}
