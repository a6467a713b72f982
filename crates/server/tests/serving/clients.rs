//! The clients that people have: OpenAI's Python package and lm-evaluation-harness, where
//! `KOLLAMA_PYTHON` has them, against a real small model.

use crate::small_server::{Server, settings};
use kollama_engine::{ScoreRequest, Scorer};
use kollama_kernels::Device;
use kollama_llama::Llama;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Documents of KoBEST COPA that are asked.
const DOCUMENTS: usize = 100;

fn data(name: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("KOLLAMA_DATA").map_or_else(|| default.into(), PathBuf::from);
    let path = root.join(name);
    if !path.exists() {
        println!("skipped: {} is not there; set KOLLAMA_DATA", path.display());
    }
    path.exists().then_some(path)
}

/// What a script prints, a JSON value a line; `None` after one line where its package is missing.
fn run(script: &str, arguments: &[&str], input: &str) -> Option<Vec<Value>> {
    let python = std::env::var("KOLLAMA_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = format!("{}/tests/serving/{script}", env!("CARGO_MANIFEST_DIR"));
    let child = Command::new(python)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: no python; set KOLLAMA_PYTHON");
        return None;
    };
    // A script that ends early leaves its input unread.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) {
        println!("skipped: {}", problem.trim());
        return None;
    }
    assert!(output.status.success(), "{problem}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let json = |line: &str| line.starts_with('{').then(|| serde_json::from_str(line).unwrap());
    Some(lines.lines().filter_map(json).collect())
}

#[test]
fn openais_own_client_is_served() {
    let Some(folder) = data("stories260k/hf") else { return };
    let server = Server::over(settings(), &folder);
    let url = format!("http://{}", server.address);
    let Some(told) = run("openai_client.py", &[&url], "") else { return };
    let told = &told[0];
    assert_eq!(told["models"], json!(["hf"]));
    assert_eq!(told["streamed"], told["whole"]);
    assert_ne!(told["whole"][0], told["whole"][1]);
    assert_eq!(told["usage"][0], told["usage"][1]);
    let tokens: u64 = told["tokens"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(told["usage"][0], tokens);
    assert!(told["echo"][0].is_null() && told["echo"][1].as_f64().unwrap() < 0.0);
    assert!(told["more"].as_str().unwrap().starts_with(" upon"), "{told}");
    assert_eq!(
        told["errors"],
        json!([
            ["BadRequestError", "max_tokens"],
            ["BadRequestError", "mirostat"],
            ["NotFoundError", null],
            ["BadRequestError", "no_chat_template"],
        ])
    );
}

/// In the form of Llama's own: special pieces within the text, blanks that are taken away.
const TEMPLATE: &str = "{% for message in messages %}{% if message['role'] == 'user' %}\
    {{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}\
    {% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}\
    {% else %}{{ raise_exception('no such role: ' + message['role'] | tojson) }}{% endif %}{% endfor %}";

#[test]
fn a_conversation_becomes_the_ids_that_transformers_makes_of_it() {
    let Some(folder) = data("stories260k/hf") else { return };
    let copy = tempfile::tempdir().unwrap().keep().join("chat");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    std::fs::write(copy.join("chat_template.jinja"), TEMPLATE).unwrap();
    let messages = json!([
        { "role": "user", "content": "  Tell me of Lily.\n" },
        { "role": "assistant", "content": "Lily was 작은 girl." },
        { "role": "user", "content": "And then?" },
    ]);
    let (folder, input) = (copy.display().to_string(), messages.to_string());
    let Some(told) = run("transformers_chat.py", &[&folder], &input) else { return };
    let server = Server::over(settings(), &copy);
    let chat = server.post(
        "/v1/chat/completions",
        json!({ "messages": messages, "max_tokens": 4, "temperature": 0 }),
    );
    let ids = told[0]["ids"].as_array().unwrap();
    let usage = &chat.json()["usage"];
    assert_eq!(usage["prompt_tokens"], ids.len(), "{chat:?}");
    let again = server.complete(json!({ "prompt": ids, "max_tokens": 4, "temperature": 0 }));
    let known = &again["usage"]["prompt_tokens_details"]["cached_tokens"];
    assert_eq!(*known, ids.len() - 1, "the same ids have been read before");
    assert_eq!(again["choices"][0]["text"], chat.json()["choices"][0]["message"]["content"]);
}

/// Context and continuation of both alternatives of the first documents.
fn copa() -> Option<Vec<[String; 2]>> {
    let packed = std::fs::File::open(data("kobest/COPA/test.tsv.zst")?).unwrap();
    let mut text = String::new();
    zstd::Decoder::new(packed).unwrap().read_to_string(&mut text).unwrap();
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let place = |name: &str| names.iter().position(|other| *other == name).unwrap();
    let places = ["sentence", "question", "1", "2"].map(place);
    let asked = |fields: Vec<&str>| {
        let [sentence, question, one, two] = places.map(|place| fields[place].trim());
        let link = if question == "원인" { "왜냐하면" } else { "그래서" };
        [one, two].map(|end| [format!("{sentence} {link}"), format!(" {end}")])
    };
    Some(lines.take(DOCUMENTS).flat_map(asked).collect())
}

#[test]
fn lm_evals_own_client_gets_the_scorers_likelihoods() {
    let (Some(folder), Some(pairs)) = (data("stories260k/hf"), copa()) else { return };
    let server = Server::over(settings(), &folder);
    let url = format!("http://{}", server.address);
    let input: String = pairs.iter().map(|pair| format!("{}\n", json!(pair))).collect();
    let folder = folder.display().to_string();
    let Some(told) = run("lm_eval_client.py", &[&url, &folder], &input) else { return };
    assert_eq!(told.len(), 2 * DOCUMENTS);
    let llama = Llama::open(folder.as_ref(), &Device::cpu(2).unwrap()).unwrap();
    let mut scorer = Scorer::new(llama, Some(2)).unwrap();
    let ids = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    let request = |line: &Value| ScoreRequest {
        context: ids(&line["context"]),
        continuation: ids(&line["continuation"]),
    };
    let requests: Vec<ScoreRequest> = told.iter().map(request).collect();
    let scores = scorer.score(&requests, &mut |_| ()).unwrap();
    for (line, score) in told.iter().zip(scores) {
        let logprob = line["logprob"].as_f64().unwrap();
        assert!((logprob - score.logprob).abs() < 1e-3, "{line} {score:?}");
        assert_eq!(line["greedy"], score.is_greedy, "{line}");
    }
}
