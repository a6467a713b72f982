//! Splits from folders, from copies of data sets and from the hub; the real data where it is; and
//! files that chance wrote.
#![allow(clippy::unwrap_used, reason = "in a test, an error is a failure")]

#[allow(dead_code, reason = "its moods are for the tests of the hub")]
#[path = "../../hub/tests/local_hub/mod.rs"]
mod local_hub;

use kollama_harness::{DataSource, DataSpec, HarnessError, Split, row_files};
use kollama_hub::Hub;
use local_hub::{COMMIT, LocalHub};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    std::fs::read(folder.join(name)).unwrap()
}

fn spec(config: Option<&str>) -> DataSpec {
    let (hub, config) = (Some("owner/set".to_owned()), config.map(str::to_owned));
    DataSpec { hub, config, ..DataSpec::default() }
}

/// The hub at `endpoint`, with its home in `home`.
fn source(home: &Path, endpoint: &str, is_offline: bool) -> DataSource {
    DataSource::Hub(Box::new(Hub::described_by(&|name| match name {
        "HF_HOME" => Some(home.display().to_string()),
        "HF_ENDPOINT" => Some(endpoint.to_owned()),
        "HF_HUB_OFFLINE" => is_offline.then(|| "1".to_owned()),
        _ => None,
    })))
}

fn message(result: Result<Split, HarnessError>) -> String {
    result.map(|split| split.path).unwrap_err().to_string()
}

#[test]
fn a_split_of_the_hub_is_found_by_the_card_fetched_and_then_had_offline() {
    let card = "---\nconfigs:\n- config_name: copa\n  data_files:\n  - split: test\n    \
        path: odd/name-*\n---\n";
    let parquet = golden("snappy.parquet");
    let server = LocalHub::with(&[
        ("README.md", card.as_bytes()),
        ("odd/name-00000-of-00002.parquet", &parquet),
        ("odd/name-00001-of-00002.parquet", &golden("zstd.parquet")),
        ("test.csv", b"id\nnot this\n"),
    ]);
    let home = tempfile::tempdir().unwrap();
    let spec = spec(Some("copa"));
    let fetched = source(home.path(), &server.endpoint, false).split(&spec, &["test"]).unwrap();
    assert_eq!(fetched.rows.len(), 46);
    assert_eq!(fetched.rows[45].text("id").unwrap(), "q22");
    let again = source(home.path(), &server.endpoint, true).split(&spec, &["test"]).unwrap();
    assert_eq!((again.rows, again.sha256), (fetched.rows, fetched.sha256));
    assert!(again.path.ends_with(format!("snapshots/{COMMIT}/odd/name-00000-of-00002.parquet")));
}

#[test]
fn a_data_set_that_is_a_program_is_read_as_the_hub_converted_it() {
    let parquet = golden("datasets.parquet");
    let converted: [(&str, &[u8]); 1] = [("default/train/0000.parquet", &parquet)];
    let server = LocalHub::with_converted(&[("nsmc.py", b"print()")], &converted);
    let home = tempfile::tempdir().unwrap();
    for is_offline in [false, true] {
        let source = source(home.path(), &server.endpoint, is_offline);
        assert_eq!(source.split(&spec(None), &["train"]).unwrap().rows.len(), 23);
    }
}

#[test]
fn a_split_that_the_hub_has_not_is_answered_with_what_it_has() {
    let server = LocalHub::with(&[("copa/train.jsonl", b"{}"), ("README.md", b"# Words")]);
    let home = tempfile::tempdir().unwrap();
    let source = source(home.path(), &server.endpoint, false);
    let message = message(source.split(&spec(Some("copa")), &["validation", "dev"]));
    assert!(message.starts_with("no validation or dev split: none of validation.{"), "{message}");
    for part in ["owner/set (part copa) at 0123", "holds copa/train.jsonl;", "--data"] {
        assert!(message.contains(part), "{message}");
    }
    let nowhere = DataSpec { hub: None, ..spec(None) };
    assert!(self::message(source.split(&nowhere, &["test"])).contains("not on the hub"));
}

#[test]
fn a_folder_is_looked_at_where_the_task_says_and_then_as_a_copy_of_the_data_set() {
    let data = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("KoBEST/COPA/dev.tsv", "id\tx\nown\t\"1\"\n"),
        ("copa/validation-00000-of-00001.csv", "id\ncopy\n"),
        ("README.md", "---\nconfigs:\n- config_name: wic\n  data_files: w.csv\n---\n"),
        ("w.csv", "id\nby the card\n"),
    ] {
        let path = data.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let source = DataSource::folder(data.path());
    let first = |spec: &DataSpec, stem| {
        let split = source.split(spec, &[stem]).unwrap();
        split.rows[0].text("id").unwrap().to_owned()
    };
    let named = DataSpec { folders: vec!["KoBEST/COPA".to_owned()], ..spec(Some("copa")) };
    assert_eq!(first(&named, "dev"), "own");
    assert_eq!(first(&named, "validation"), "copy");
    assert_eq!(first(&spec(Some("wic")), "train"), "by the card");
    for (quotes, expected) in [(true, "1"), (false, "\"1\"")] {
        let split = source.split(&DataSpec { quotes, ..named.clone() }, &["dev"]).unwrap();
        assert_eq!(split.rows[0].text("x").unwrap(), expected);
    }
    let message = message(source.split(&named, &["test"]));
    assert!(message.contains("KoBEST/COPA;") && message.contains("(owner/set)"), "{message}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let message = message(DataSource::folder(Path::new("no/such")).split(&spec(None), &["test"]));
    assert!(message.starts_with("no/such: cannot be read"), "{message}");
}

#[test]
fn chance_in_files_gives_rows_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let alphabet: Vec<&[u8]> = vec![
        b"\t",
        b",",
        b"\"",
        b"\n",
        b"\r",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"a",
        b"1",
        b"-",
        b"\\",
        b"u",
        b"\0",
        b"\xff",
        "가".as_bytes(),
        b"null",
        b"{\"a\": 1}\n",
        b"PAR1",
        b"\x28\xb5\x2f\xfd",
        b"\x1f\x8b\x08\0",
        "\u{feff}".as_bytes(),
    ];
    let mut chance = 1_u64;
    let mut draw = |below: usize| {
        chance =
            chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) as usize % below
    };
    let mut rows = 0;
    for ending in ["csv", "tsv", "jsonl", "json", "parquet", "csv.zst", "json.gz", "parquet.zst"] {
        for _ in 0..100 {
            let length = draw(40);
            let bytes = (0..length).flat_map(|_| alphabet[draw(alphabet.len())]);
            let path = folder.path().join(format!("a.{ending}"));
            std::fs::write(&path, bytes.copied().collect::<Vec<u8>>()).unwrap();
            for quotes in [true, false] {
                match row_files::read(&[path.clone()], quotes) {
                    Ok(split) => rows += split.rows.len(),
                    Err(error) => assert!(error.to_string().contains(&format!("a.{ending}"))),
                }
            }
        }
    }
    assert!(rows > 0, "chance never wrote a row, so nothing was tried");
}

/// What the tables in the READMEs of the real data say: file, rows, SHA-256 of the unpacked bytes.
fn stated(folder: &Path) -> Vec<(PathBuf, usize, String)> {
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = readme.lines().map(cells).filter(|cells| cells.len() == 7 && cells[5].len() == 64);
    rows.map(|cells| (folder.join(&cells[1]), cells[2].parse().unwrap(), cells[5].clone()))
        .collect()
}

#[test]
fn every_file_of_the_real_data_has_the_rows_and_the_hash_that_its_readme_states() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("KOLLAMA_DATA").map_or_else(|| default.into(), PathBuf::from);
    for (folder, quotes) in [("kobest", false), ("nsmc", true), ("open-llm-leaderboard", true)] {
        if !root.join(folder).is_dir() {
            println!("skipped: no {folder} in {}", root.display());
            continue;
        }
        let stated = stated(&root.join(folder));
        assert!(!stated.is_empty(), "{folder}: its README states nothing");
        for (path, rows, sha256) in stated {
            if path.ends_with("hellaswag_val_full.txt.zst") {
                continue; // Six lines an item, no table.
            }
            let split = row_files::read(&[path.clone()], quotes).unwrap();
            assert_eq!((split.rows.len(), split.sha256), (rows, sha256), "{}", path.display());
        }
    }
}
