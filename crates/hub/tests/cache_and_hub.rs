//! The cache against a server that answers as the hub does, and against the hub's own Python
//! library: what it fetched is found, what is fetched here it finds.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod local_hub;

use kollama_hub::{Hub, HubError, Snapshot};
use local_hub::{COMMIT, LocalHub, Mood};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SMALL: &[u8] = b"---\nconfigs: []\n---\n";
const LARGE: &[u8] = &[7; 300_000];
const FILES: [(&str, &[u8]); 2] = [("README.md", SMALL), ("data/train.parquet", LARGE)];

/// The hub at `endpoint` with its home in `home`; `more` are other variables.
fn hub(home: &Path, endpoint: &str, more: &[(&str, &str)]) -> Hub {
    Hub::described_by(&|name| match name {
        "HF_HOME" => Some(home.display().to_string()),
        "HF_ENDPOINT" => Some(endpoint.to_owned()),
        _ => more.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string()),
    })
}

fn snapshot(hub: &Hub) -> Result<Snapshot, HubError> {
    hub.dataset("owner/set", "main")
}

fn folder(home: &Path) -> PathBuf {
    home.join("hub/datasets--owner--set")
}

/// Every file below `folder` with its bytes, links not followed.
fn bytes_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => bytes_below(&path),
            false => vec![(path.clone(), std::fs::read(&path).unwrap())],
        })
        .collect()
}

#[test]
fn files_are_fetched_once_and_kept_under_their_commit() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&FILES));
    let hub = hub(home.path(), &server.endpoint, &[]);
    let set = snapshot(&hub).unwrap();
    assert_eq!((set.commit(), set.names()), (COMMIT, &FILES.map(|(name, _)| name.to_owned())[..]));
    for (name, bytes) in FILES {
        let path = set.file(name).unwrap();
        assert_eq!(path, folder(home.path()).join("snapshots").join(COMMIT).join(name));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert!(!std::fs::read_link(&path).unwrap().is_absolute(), "the cache can be moved");
    }
    assert_eq!(std::fs::read_to_string(folder(home.path()).join("refs/main")).unwrap(), COMMIT);
    server.questions();
    snapshot(&hub).unwrap().file("README.md").unwrap();
    assert_eq!(server.questions(), ["GET /api/datasets/owner/set/revision/main"]);
}

#[test]
fn a_data_set_that_was_renamed_is_followed() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&FILES));
    let hub = hub(home.path(), &server.endpoint, &[]);
    assert_eq!(hub.dataset("old-name", "main").unwrap().commit(), COMMIT);
}

#[test]
fn the_token_is_shown_to_the_hub_and_not_to_the_server_behind_it() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&FILES));
    std::fs::write(home.path().join("token"), "from the file\n").unwrap();
    let hub = hub(home.path(), &server.endpoint, &[]);
    snapshot(&hub).unwrap().file("data/train.parquet").unwrap();
    let expected = [
        "GET /api/datasets/owner/set/revision/main +token".to_owned(),
        format!("GET /datasets/owner/set/resolve/{COMMIT}/data/train.parquet +token"),
        format!("GET /bytes/{COMMIT}/data/train.parquet"),
    ];
    assert_eq!(server.questions(), expected);
}

#[test]
fn half_a_download_never_gets_a_name_and_the_next_one_writes_over_it() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&FILES));
    let set = snapshot(&hub(home.path(), &server.endpoint, &[])).unwrap();
    for (name, bytes) in FILES {
        for (mood, sign) in [(Mood::BreaksOff, "bytes"), (Mood::Lies, "SHA-256")] {
            if mood == Mood::Lies && name == "README.md" {
                continue; // The tag of a small file is no hash of its bytes alone.
            }
            server.set(mood);
            let message = set.file(name).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(sign), "{message}");
            let named: Vec<_> = bytes_below(&folder(home.path()))
                .into_iter()
                .filter(|(path, _)| !path.ends_with("main"))
                .filter(|(path, _)| path.extension().is_none_or(|e| e != "incomplete"))
                .filter(|(_, held)| !FILES.iter().any(|(_, whole)| held == whole))
                .collect();
            assert!(named.is_empty(), "{named:?}");
        }
        server.set(Mood::Honest);
        assert_eq!(std::fs::read(set.file(name).unwrap()).unwrap(), bytes);
    }
}

#[test]
fn two_at_once_get_the_same_whole_file() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&FILES));
    let hub = hub(home.path(), &server.endpoint, &[]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let path = snapshot(&hub).unwrap().file("data/train.parquet").unwrap();
                assert_eq!(std::fs::read(path).unwrap(), LARGE);
            });
        }
    });
}

#[test]
fn offline_nothing_is_asked_and_only_what_was_fetched_is_there() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&FILES));
    let offline = hub(home.path(), &server.endpoint, &[("HF_HUB_OFFLINE", "1")]);
    let message = snapshot(&offline).unwrap_err().to_string();
    assert!(message.starts_with("owner/set: not in ") && message.contains("HF_HUB_OFFLINE"));
    assert!(server.questions().is_empty());
    let online = hub(home.path(), &server.endpoint, &[]);
    snapshot(&online).unwrap().file("README.md").unwrap();
    server.questions();
    let set = snapshot(&offline).unwrap();
    assert_eq!((set.names(), set.commit()), (&["README.md".to_owned()][..], COMMIT));
    assert_eq!(std::fs::read(set.file("README.md").unwrap()).unwrap(), SMALL);
    let message = set.file("data/train.parquet").unwrap_err().to_string();
    assert!(message.starts_with("owner/set: data/train.parquet: not in "), "{message}");
    assert!(offline.dataset("owner/set", COMMIT).is_ok(), "a commit needs no reference");
    assert!(server.questions().is_empty());
}

#[test]
fn a_hub_that_does_not_answer_is_replaced_by_the_cache_and_one_that_refuses_is_not() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&FILES));
    let hub_here = hub(home.path(), &server.endpoint, &[]);
    snapshot(&hub_here).unwrap().file("README.md").unwrap();
    server.set(Mood::Refuses(503));
    assert!(snapshot(&hub_here).unwrap().file("README.md").is_ok());
    for (status, cure) in [(401, "HF_TOKEN"), (404, "no such data set")] {
        server.set(Mood::Refuses(status));
        let message = snapshot(&hub_here).unwrap_err().to_string();
        assert!(message.contains(&status.to_string()) && message.contains(cure), "{message}");
    }
    let nobody = hub(home.path(), "http://127.0.0.1:9", &[]);
    assert!(snapshot(&nobody).unwrap().file("README.md").is_ok());
    let elsewhere = tempfile::tempdir().unwrap();
    let message = snapshot(&hub(elsewhere.path(), "http://127.0.0.1:9", &[])).unwrap_err();
    assert!(message.to_string().contains("127.0.0.1:9/api/datasets/owner/set"), "{message}");
}

#[test]
fn something_that_is_no_hub_is_an_error_that_asks_about_the_endpoint() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&[("a\": x", b"")]));
    let message = snapshot(&hub(home.path(), &server.endpoint, &[])).unwrap_err().to_string();
    assert!(message.contains("not an answer of the hub") && message.contains("HF_ENDPOINT"));
}

/// Runs Python with the hub's library at its own `home`, where that is installed.
fn python(home: &Path, endpoint: &str, script: &str) -> Option<Output> {
    let python = std::env::var("KOLLAMA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_library = Command::new(&python).args(["-c", "import huggingface_hub"]).output();
    if !has_library.is_ok_and(|output| output.status.success()) {
        println!("skipped: no huggingface_hub in {python}; KOLLAMA_PYTHON names another");
        return None;
    }
    let mut command = Command::new(python);
    command.args(["-c", script]).env("HF_HOME", home).env("HF_ENDPOINT", endpoint);
    for variable in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"] {
        command.env_remove(variable);
    }
    Some(command.env("HF_HUB_DISABLE_XET", "1").output().unwrap())
}

#[test]
fn what_the_library_of_the_hub_fetched_is_found_offline() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&FILES));
    let script = "from huggingface_hub import hf_hub_download as get\n\
        for name in ['README.md', 'data/train.parquet']: get('owner/set', name, repo_type='dataset')";
    let Some(output) = python(home.path(), &server.endpoint, script) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let set =
        snapshot(&hub(home.path(), "http://127.0.0.1:9", &[("HF_HUB_OFFLINE", "1")])).unwrap();
    for (name, bytes) in FILES {
        assert_eq!(std::fs::read(set.file(name).unwrap()).unwrap(), bytes);
    }
}

#[test]
fn what_is_fetched_here_the_library_of_the_hub_finds_offline() {
    let (home, server) = (tempfile::tempdir().unwrap(), LocalHub::with(&FILES));
    let set = snapshot(&hub(home.path(), &server.endpoint, &[])).unwrap();
    for (name, _) in FILES {
        set.file(name).unwrap();
    }
    let script = "from huggingface_hub import snapshot_download\n\
        import os\n\
        folder = snapshot_download('owner/set', repo_type='dataset', local_files_only=True)\n\
        print(os.path.getsize(folder + '/data/train.parquet'))";
    let Some(output) = python(home.path(), "http://127.0.0.1:9", script) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), LARGE.len().to_string());
}
