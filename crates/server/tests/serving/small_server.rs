//! A server over a tiny model of random weights, and a client that speaks plain HTTP to it.

use kollama_engine::{Engine, Tokenizer};
use kollama_kernels::{DType, Device};
use kollama_llama::{Llama, LlamaConfig, StoredType, init_checkpoint};
use kollama_server::{ServedModel, Settings, serve};
use kollama_tokenizer::{TokenizerError, train};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tokio::runtime::Builder;

/// What the tokenizer learns from.
pub const TEXTS: [&str; 3] = [
    "오늘은 날씨가 좋아서 강가를 오래 걸었다. 강가에는 사람이 많았다.",
    "The river was wide, and the people walked along the river for a long time.",
    "물고기를 파는 사람은 새벽마다 같은 자리에서 같은 노래를 불렀다.",
];
/// Tokens of the small model's context: enough for an answer that does not end while a test runs.
pub const CONTEXT: usize = 1 << 18;
/// Memory for keys and values.
const CACHE_BYTES: u64 = 1 << 28;

/// A server on a port of its own; it runs as long as the tests.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The folder of its model.
    pub folder: PathBuf,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, in small letters.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The data of a stream's events, without the last, which must say that it is over.
    pub fn events(&self) -> Vec<Value> {
        let mut data: Vec<&str> =
            self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{self:?}");
        data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

/// What the tests' servers have in common.
pub fn settings() -> Settings {
    Settings {
        address: "127.0.0.1:0".parse().unwrap(),
        api_key: None,
        allowed_origin: None,
        queue: 64,
        request_timeout: Duration::from_secs(600),
        read_timeout: Duration::from_secs(600),
        write_timeout: Duration::from_secs(600),
        shutdown_timeout: Duration::from_secs(1),
    }
}

/// 330 pieces, 256 of them bytes: an answer is mostly bytes, and most of them are no characters.
pub fn tokenizer() -> Tokenizer {
    let texts = TEXTS.iter().map(|text| Ok::<_, TokenizerError>(text.repeat(4)));
    train(texts, 330, 1.0).unwrap()
}

/// A folder with a model of random weights, and its tokenizer.
pub fn model_folder(tokenizer: &Tokenizer) -> PathBuf {
    let folder = tempfile::tempdir().unwrap().keep().join("small");
    let mut config = LlamaConfig::preset("tiny").unwrap();
    config.vocab_size = tokenizer.vocab_size();
    config.initializer_range = 0.3;
    config.max_position_embeddings = CONTEXT;
    init_checkpoint(&config, 5, StoredType::F32, &folder, &mut |_, _| ()).unwrap();
    tokenizer.save(&folder).unwrap();
    folder
}

impl Server {
    /// Over the small model.
    pub fn start(settings: Settings) -> Server {
        Server::start_with(settings, &tokenizer(), |_| ())
    }

    /// Over the small model, whose folder is changed before.
    pub fn start_with(settings: Settings, words: &Tokenizer, change: impl FnOnce(&Path)) -> Server {
        let folder = model_folder(words);
        change(&folder);
        Server::over(settings, &folder)
    }

    /// Over the model of a folder.
    pub fn over(settings: Settings, folder: &Path) -> Server {
        let (tell, told) = channel();
        let model = served(folder);
        let other = ("other".to_owned(), tokenizer());
        std::thread::spawn(move || {
            serve(vec![model], vec![other], settings, |address| tell.send(address).unwrap())
                .unwrap();
        });
        let server = Server { address: told.recv().unwrap(), folder: folder.to_owned() };
        server.wait_until("the model is there", |server| server.get("/health").status == 200);
        server
    }

    /// What `GET` answers.
    pub fn get(&self, path: &str) -> Answer {
        self.send(
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
            b"",
        )
    }

    /// What `POST` answers.
    pub fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.post_bytes(path, body.to_string().as_bytes())
    }

    /// What `POST` answers to any bytes.
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Answer {
        self.send(&head(path, body.len()), body)
    }

    /// A connection on which a request has been sent.
    pub fn open(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        // A server may refuse before it has read all.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        stream
    }

    /// As [`Server::open`], for a client at another address of this machine.
    pub fn open_from(&self, address: &str, head: &str, body: &[u8]) -> TcpStream {
        let from = SocketAddr::new(address.parse().unwrap(), 0);
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        let connected = runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(from).unwrap();
            socket.connect(self.address).await.unwrap().into_std().unwrap()
        });
        connected.set_nonblocking(false).unwrap();
        let mut stream = connected;
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        stream
    }

    /// What is answered to a head and a body.
    pub fn send(&self, head: &str, body: &[u8]) -> Answer {
        read_answer(self.open(head, body))
    }

    /// The answer of a completion, which must be one.
    pub fn complete(&self, body: Value) -> Value {
        let answer = self.post("/v1/completions", body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// A figure of `/metrics`.
    pub fn figure(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find(|line| line.starts_with(&format!("kollama_{name}{{")));
        line.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap()
    }

    /// Waits for something that must come.
    pub fn wait_until(&self, what: &str, came: impl Fn(&Server) -> bool) {
        let began = Instant::now();
        while !came(self) {
            assert!(began.elapsed() < Duration::from_secs(300), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The head of a `POST` of JSON.
pub fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

fn served(folder: &Path) -> ServedModel {
    let tokenizer = Tokenizer::open(folder).unwrap();
    let config = LlamaConfig::read(folder).unwrap();
    let folder = folder.to_owned();
    ServedModel {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        tokenizer,
        parameters: config.parameter_count(),
        config: config.to_json(),
        opening: Box::new(move |tokenizer| {
            let llama = Llama::open(&folder, &Device::cpu(2).unwrap()).unwrap();
            Ok(Engine::within(llama, tokenizer, CACHE_BYTES, DType::F32).unwrap())
        }),
    }
}

/// Reads an answer to its end.
pub fn read_answer(stream: TcpStream) -> Answer {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let mut bytes = Vec::new();
    // A server that refused may close before its client has sent all.
    let _ = reader.read_to_end(&mut bytes);
    if head.contains("transfer-encoding: chunked") {
        bytes = without_chunks(&bytes);
    }
    Answer { status, head, body: String::from_utf8(bytes).unwrap() }
}

fn without_chunks(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let length =
            usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
    }
    body
}
