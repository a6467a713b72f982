//! A server on this machine that answers as the hub does: listings, small files, large files behind
//! a redirection to another server. It can be told to break off, to lie, and to refuse.

use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The commit that `main` is.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The commit that `refs/convert/parquet` is.
pub const CONVERTED: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// How the server treats the next questions.
#[derive(Clone, Copy, PartialEq)]
pub enum Mood {
    Honest,
    /// Sends half of a file and hangs up.
    BreaksOff,
    /// Sends as many bytes as it said, but others.
    Lies,
    /// Answers with this status.
    Refuses(u16),
}

/// A running server.
pub struct LocalHub {
    pub endpoint: String,
    shared: Arc<Shared>,
}

type Files = Vec<(String, Vec<u8>)>;

struct Shared {
    endpoint: String,
    /// Where large files are: the same server under another name.
    elsewhere: String,
    main: Files,
    converted: Files,
    mood: Mutex<Mood>,
    questions: Mutex<Vec<String>>,
}

impl LocalHub {
    /// A hub that has these files in the data set `owner/set`.
    pub fn with(files: &[(&str, &[u8])]) -> LocalHub {
        LocalHub::with_converted(files, &[])
    }

    /// A hub that has made others of them.
    pub fn with_converted(files: &[(&str, &[u8])], converted: &[(&str, &[u8])]) -> LocalHub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let owned = |files: &[(&str, &[u8])]| {
            files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect()
        };
        let shared = Arc::new(Shared {
            endpoint: format!("http://127.0.0.1:{port}"),
            elsewhere: format!("http://localhost:{port}"),
            main: owned(files),
            converted: owned(converted),
            mood: Mutex::new(Mood::Honest),
            questions: Mutex::new(Vec::new()),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        LocalHub { endpoint: shared.endpoint.clone(), shared }
    }

    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// The questions since the last time: `GET /path`, with `+token` where one was shown.
    pub fn questions(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.questions.lock().unwrap())
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let first = lines.next()?.ok()?;
        let mut question = first.split(' ').take(2).collect::<Vec<_>>().join(" ");
        for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
            if line.to_ascii_lowercase().starts_with("authorization: bearer") {
                question.push_str(" +token");
            }
        }
        let path = first.split(' ').nth(1)?.split('?').next()?.to_owned();
        let is_head = first.starts_with("HEAD");
        self.questions.lock().unwrap().push(question);
        let mood = *self.mood.lock().unwrap();
        let (head, body) = match mood {
            Mood::Refuses(status) => (format!("HTTP/1.1 {status} No\r\n"), b"no".to_vec()),
            _ => self.found(&path).unwrap_or(("HTTP/1.1 404 No\r\n".to_owned(), Vec::new())),
        };
        let is_file = !path.starts_with("/api/");
        let sent = match mood {
            _ if is_head => Vec::new(),
            Mood::BreaksOff if is_file => body[..body.len() / 2].to_vec(),
            Mood::Lies if is_file => vec![b'?'; body.len()],
            _ => body.clone(),
        };
        let end = format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(format!("{head}{end}").as_bytes()).ok()?;
        stream.write_all(&sent).ok()
    }

    /// Head and body of the answer to a path.
    fn found(&self, path: &str) -> Option<(String, Vec<u8>)> {
        if let Some(rest) = path.strip_prefix("/api/datasets/old-name") {
            let moved = format!("Location: /api/datasets/owner/set{rest}\r\n");
            return Some((format!("HTTP/1.1 307 Moved\r\n{moved}"), Vec::new()));
        }
        if let Some(revision) = path.strip_prefix("/api/datasets/owner/set/revision/") {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n".to_owned();
            return Some((head, self.listing(revision)?.into_bytes()));
        }
        if let Some(name) = path.strip_prefix("/bytes/") {
            let head = "HTTP/1.1 200 OK\r\nETag: \"not the tag\"\r\n".to_owned();
            return Some((head, self.bytes(name)?));
        }
        let rest = path.strip_prefix("/datasets/owner/set/resolve/")?;
        let (revision, name) = rest.split_once('/')?;
        let commit = self.at(revision)?.0;
        let file = format!("{commit}/{name}");
        let bytes = self.bytes(&file)?;
        let hash = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
        let of_commit = format!("X-Repo-Commit: {commit}\r\n");
        if name.ends_with(".parquet") {
            let linked = format!("X-Linked-ETag: \"{hash}\"\r\nX-Linked-Size: {}\r\n", bytes.len());
            let moved = format!("Location: {}/bytes/{file}\r\n", self.elsewhere);
            return Some((format!("HTTP/1.1 302 Found\r\n{of_commit}{linked}{moved}"), Vec::new()));
        }
        let tag = format!("ETag: W/\"{}\"\r\n", &hash[..40]);
        Some((format!("HTTP/1.1 200 OK\r\n{of_commit}{tag}"), bytes))
    }

    /// The commit that a revision is, and its files.
    fn at(&self, revision: &str) -> Option<(&'static str, &Files)> {
        match revision {
            "main" | COMMIT => Some((COMMIT, &self.main)),
            "refs%2Fconvert%2Fparquet" | CONVERTED => Some((CONVERTED, &self.converted)),
            _ => None,
        }
        .filter(|(_, files)| !files.is_empty())
    }

    /// The bytes of `COMMIT/NAME`.
    fn bytes(&self, file: &str) -> Option<Vec<u8>> {
        let (commit, name) = file.split_once('/')?;
        let (_, bytes) = self.at(commit)?.1.iter().find(|(known, _)| known == name)?;
        Some(bytes.clone())
    }

    fn listing(&self, revision: &str) -> Option<String> {
        let (commit, files) = self.at(revision)?;
        let files = files.iter().map(|(name, _)| format!("{{\"rfilename\": \"{name}\"}}"));
        let files = files.collect::<Vec<_>>().join(", ");
        Some(format!("{{\"id\": \"owner/set\", \"sha\": \"{commit}\", \"siblings\": [{files}]}}"))
    }
}
