//! The contract of packing: texts or ids in, a folder out, rows back; or an error and nothing.
#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use kollama_corpus::{
    CorpusError, DocumentMode, PackReport, PackedData, documents, pack_ids, pack_texts, statistics,
};
use kollama_tokenizer::Tokenizer;
use serde_json::json;
use tempfile::TempDir;

const SPACE: u32 = 259;
const A: u32 = 260;
const B: u32 = 261;
const C: u32 = 262;
const EOS: u32 = 2;

/// A folder with a tokenizer that knows the bytes, the space mark, a, b and c, and no merges.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        bench.write("tokenizer.json", tokenizer_json().to_string());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn tokenizer(&self) -> Tokenizer {
        Tokenizer::open(&self.path("tokenizer.json")).unwrap()
    }

    fn pack(
        &self,
        source: &Path,
        length: usize,
        mode: DocumentMode,
        out: &Path,
    ) -> Result<PackReport, CorpusError> {
        let sources = [source.to_owned()];
        pack_texts(&sources, &self.tokenizer(), length, mode, out, 2, &mut |_| {})
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn tokenizer_json() -> serde_json::Value {
    let mut vocab = serde_json::Map::new();
    let specials = ["<unk>", "<s>", "</s>"].map(str::to_owned);
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let letters = ["▁", "a", "b", "c"].map(str::to_owned);
    for (id, piece) in specials.into_iter().chain(bytes).chain(letters).enumerate() {
        vocab.insert(piece, id.into());
    }
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": true})
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>",
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": true, "ignore_merges": false, "vocab": vocab, "merges": []}
    })
}

/// Three documents, one of them empty: `▁ab</s>`, nothing, `▁c</s>`, `▁abc</s>`.
const TEXTS: &str =
    "{\"text\":\"ab\"}\n{\"text\":\"\"}\n{\"text\":\"c\"}\n{\"id\":\"last\",\"text\":\"abc\"}\n";

/// Ids, labels and document numbers of a row.
type PlainRow = (Vec<u32>, Vec<i32>, Option<Vec<u32>>);

fn rows(data: &PackedData) -> Vec<PlainRow> {
    (0..data.rows())
        .map(|index| {
            let row = data.row(index);
            (row.ids.to_vec(), row.labels.to_vec(), row.documents.map(<[u32]>::to_vec))
        })
        .collect()
}

fn labels(ids: &[u32]) -> Vec<i32> {
    ids.iter().map(|&id| id as i32).collect()
}

#[test]
fn joined_texts_become_the_rows_computed_by_hand() {
    let bench = Bench::new();
    let (source, out) = (bench.write("a.jsonl", TEXTS), bench.path("out"));
    let report = bench.pack(&source, 4, DocumentMode::Join, &out).unwrap();
    let data = PackedData::open(&out).unwrap();
    let expected = [
        (vec![SPACE, A, B, EOS], labels(&[A, B, EOS, SPACE]), None),
        (vec![SPACE, C, EOS, SPACE], labels(&[C, EOS, SPACE, A]), None),
    ];
    assert_eq!(rows(&data), expected);
    assert_eq!((report.rows, report.sequence_length, report.shards), (2, 4, 1));
    assert_eq!((report.tokens, report.dropped_tokens, report.empty_documents), (12, 3, 1));
    let file = &report.sources[0];
    assert_eq!((file.documents, file.bytes, file.characters), (4, 6, 6));
    assert_eq!(file.tokens, Some(9), "without the three </s>");
}

#[test]
fn confined_texts_become_the_rows_computed_by_hand() {
    let bench = Bench::new();
    let (source, out) = (bench.write("a.jsonl", TEXTS), bench.path("out"));
    bench.pack(&source, 5, DocumentMode::Confine, &out).unwrap();
    let data = PackedData::open(&out).unwrap();
    let mut first = labels(&[A, B, EOS, 0, C]);
    first[3] = -100;
    let mut second = labels(&[EOS, 0, A, B, C]);
    second[1] = -100;
    let expected = [
        (vec![SPACE, A, B, EOS, SPACE], first, Some(vec![0, 0, 0, 0, 1])),
        (vec![C, EOS, SPACE, A, B], second, Some(vec![0, 0, 1, 1, 1])),
    ];
    assert_eq!(rows(&data), expected);
}

#[test]
fn the_folder_knows_its_tokenizer_and_refuses_another() {
    let bench = Bench::new();
    let (source, out) = (bench.write("a.jsonl", TEXTS), bench.path("out"));
    bench.pack(&source, 4, DocumentMode::Join, &out).unwrap();
    let data = PackedData::open(&out).unwrap();
    let fingerprint = bench.tokenizer().fingerprint();
    assert_eq!(data.tokenizer_fingerprint(), Some(fingerprint.as_str()));
    assert_eq!((data.vocab_size(), data.sequence_length()), (263, 4));
    data.check_tokenizer(&fingerprint).unwrap();
    let text = data.check_tokenizer("another").unwrap_err().to_string();
    assert!(text.contains(&fingerprint) && text.contains("another"), "{text}");
}

#[test]
fn the_three_compressions_give_the_same_rows() {
    let bench = Bench::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(TEXTS.as_bytes()).unwrap();
    // Two members, one after the other, are one file, as with gzip and zstd themselves.
    let (head, tail) = TEXTS.split_at(15);
    let frames = [head, tail].map(|part| zstd::encode_all(part.as_bytes(), 3).unwrap()).concat();
    let sources = [
        bench.write("plain.jsonl", TEXTS),
        bench.write("a.jsonl.gz", gzip.finish().unwrap()),
        bench.write("a.jsonl.zst", frames),
    ];
    let mut found = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let out = bench.path(&format!("out-{index}"));
        let report = bench.pack(source, 4, DocumentMode::Confine, &out).unwrap();
        found.push((fs::read(out.join("shard-00000.bin")).unwrap(), report.fingerprint));
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bench = Bench::new();
    let source = bench.write("a.jsonl", TEXTS.repeat(500));
    for out in ["one", "two"] {
        bench.pack(&source, 7, DocumentMode::Confine, &bench.path(out)).unwrap();
    }
    for name in ["meta.json", "shard-00000.bin"] {
        let read = |out: &str| fs::read(bench.path(out).join(name)).unwrap();
        assert_eq!(read("one"), read("two"), "{name}");
    }
    let fingerprint = |out| PackedData::open(&bench.path(out)).unwrap().fingerprint().to_owned();
    assert_eq!(fingerprint("one"), fingerprint("two"));
}

#[test]
fn progress_ends_at_the_length_of_the_sources_and_other_files_are_told() {
    let bench = Bench::new();
    fs::create_dir(bench.path("texts")).unwrap();
    let source = bench.write("texts/a.jsonl", TEXTS);
    bench.write("texts/b.txt", "abc");
    let readme = bench.write("texts/README.md", "not a text");
    let mut heard = Vec::new();
    let report = pack_texts(
        &[bench.path("texts")],
        &bench.tokenizer(),
        4,
        DocumentMode::Join,
        &bench.path("out"),
        1,
        &mut |bytes| heard.push(bytes),
    )
    .unwrap();
    assert_eq!(heard.len(), 5);
    assert!(heard.is_sorted());
    assert_eq!(heard.last(), Some(&(fs::metadata(source).unwrap().len() + 3)));
    assert_eq!(report.skipped, [readme]);
    assert_eq!(report.sources.len(), 2);
}

#[test]
fn ids_from_elsewhere_come_back_as_they_were() {
    let bench = Bench::new();
    let source = bench.write(
        "rows.jsonl",
        "{\"ids\":[5,6,7,2],\"labels\":[-100,7,2,-100],\"documents\":[0,0,0,0]}\n\
         {\"ids\":[8,2,9,1],\"documents\":[7,7,3,3]}\n",
    );
    let out = bench.path("out");
    let report = pack_ids(&source, 10, &out).unwrap();
    assert_eq!((report.rows, report.tokens, report.dropped_tokens), (2, 8, 0));
    let data = PackedData::open(&out).unwrap();
    let expected = [
        (vec![5, 6, 7, 2], vec![-100, 7, 2, -100], Some(vec![0, 0, 0, 0])),
        (vec![8, 2, 9, 1], vec![2, -100, 1, -100], Some(vec![7, 7, 3, 3])),
    ];
    assert_eq!(rows(&data), expected);
    assert_eq!((data.tokenizer_fingerprint(), data.vocab_size()), (None, 10));
    data.check_tokenizer("whichever").unwrap();
    data.verify().unwrap();
}

#[test]
fn malformed_texts_give_their_error_and_leave_nothing() {
    let good = TEXTS.repeat(100);
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("a.jsonl", format!("{good}{{\"text\":1}}\n").into(), "a.jsonl:401:"),
        ("a.jsonl", [good.as_bytes(), b"{\"text\":\"\xb0\xa1\"}"].concat(), "byte 10"),
        ("a.txt", b"ab\nab\xff".to_vec(), "a.txt:2: byte 3"),
        ("a.jsonl", Vec::new(), "no documents"),
        ("a.txt", b"a".to_vec(), "has 3 tokens; one row of 4 needs 5"),
        ("a.csv", b"a".to_vec(), ".jsonl"),
        ("a.jsonl.zst", good.clone().into_bytes(), "cannot unpack"),
    ];
    for (name, content, expected) in cases {
        let bench = Bench::new();
        let source = bench.write(name, content);
        let before = bench.names();
        let error = bench.pack(&source, 4, DocumentMode::Join, &bench.path("out")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert_eq!(bench.names(), before, "{text}");
    }
}

#[test]
fn malformed_ids_give_their_error_and_leave_nothing() {
    let cases = [
        ("{\"ids\":[1,2]}\n{\"ids\":[1,99]}\n", "rows.jsonl:2: field `ids`: number 2 is 99"),
        ("{\"ids\":[1,2]}\n{\"ids\":[1]}\n", "rows.jsonl:2: field `ids`"),
        ("{\"ids\":[1,2]}\n{\"ids\":[1,2],\"labels\":[-1,0]}\n", "field `labels`"),
        ("\n", "no rows"),
    ];
    for (content, expected) in cases {
        let bench = Bench::new();
        let source = bench.write("rows.jsonl", content);
        let before = bench.names();
        let text = pack_ids(&source, 10, &bench.path("out")).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
        assert_eq!(bench.names(), before, "{text}");
    }
}

#[test]
fn sizes_that_no_row_can_have_are_refused() {
    let bench = Bench::new();
    let source = bench.write("a.jsonl", TEXTS);
    for length in [0, usize::MAX] {
        let error = bench.pack(&source, length, DocumentMode::Join, &bench.path("out"));
        assert!(matches!(error, Err(CorpusError::SizeOutOfRange { .. })), "{error:?}");
    }
    let error = pack_ids(&source, 0, &bench.path("out"));
    assert!(matches!(error, Err(CorpusError::SizeOutOfRange { .. })), "{error:?}");
}

#[test]
fn an_output_that_exists_is_left_alone() {
    let bench = Bench::new();
    let (source, out) = (bench.write("a.jsonl", TEXTS), bench.path("out"));
    fs::create_dir(&out).unwrap();
    bench.write("out/precious", "kept");
    let error = bench.pack(&source, 4, DocumentMode::Join, &out).unwrap_err();
    assert!(matches!(error, CorpusError::OutputExists { .. }), "{error:?}");
    assert_eq!(fs::read(out.join("precious")).unwrap(), b"kept");
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    let source = bench.write("a.jsonl", TEXTS);
    let before = bench.names();
    for impossible in ["a.jsonl/out", "a.jsonl/in/out"] {
        let out = bench.path(impossible);
        let error = bench.pack(&source, 4, DocumentMode::Join, &out).unwrap_err();
        assert!(error.to_string().contains(impossible), "{error}");
        assert!(matches!(error, CorpusError::Write { .. }), "{error:?}");
    }
    assert_eq!(bench.names(), before);
}

#[test]
fn folders_around_the_output_are_made_and_go_again_with_a_failure() {
    let bench = Bench::new();
    let source = bench.write("a.jsonl", TEXTS);
    let out = bench.path("packed/deep/out");
    let before = bench.names();
    let error = bench.pack(&source, 4096, DocumentMode::Join, &out).unwrap_err();
    assert!(matches!(error, CorpusError::TooFewTokens { .. }), "{error:?}");
    assert_eq!(bench.names(), before);
    bench.pack(&source, 4, DocumentMode::Join, &out).unwrap();
    assert_eq!(PackedData::open(&out).unwrap().rows(), 2);
}

#[test]
fn a_folder_that_was_damaged_later_is_refused() {
    let bench = Bench::new();
    let (source, out) = (bench.write("a.jsonl", TEXTS), bench.path("out"));
    bench.pack(&source, 4, DocumentMode::Join, &out).unwrap();
    let shard = out.join("shard-00000.bin");
    let whole = fs::read(&shard).unwrap();

    let mut flipped = whole.clone();
    flipped[35] ^= 0x40;
    fs::write(&shard, &flipped).unwrap();
    let error = PackedData::open(&out).unwrap().verify().unwrap_err();
    assert!(error.to_string().contains("shard-00000.bin: SHA-256"), "{error}");

    fs::write(&shard, &whole[..whole.len() - 4]).unwrap();
    let error = PackedData::open(&out).unwrap_err();
    assert!(matches!(error, CorpusError::Shard { .. }), "{error:?}");

    fs::remove_file(&shard).unwrap();
    let error = PackedData::open(&out).unwrap_err();
    assert!(matches!(error, CorpusError::Read { .. }), "{error:?}");

    fs::write(out.join("meta.json"), "{}").unwrap();
    let error = PackedData::open(&out).unwrap_err();
    assert!(error.to_string().contains("meta.json"), "{error}");
}

/// A file of the data folder; says so where it is missing.
fn published(name: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let data = std::env::var("KOLLAMA_DATA").unwrap_or_else(|_| default.to_owned());
    let path = Path::new(&data).join(name);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn a_published_korean_corpus_is_read_whole() {
    let Some(file) = published("ko-corpus/tatoeba.jsonl.zst") else {
        return;
    };
    let found: Vec<_> =
        documents(std::slice::from_ref(&file)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(found.len(), 40);
    assert!(found.iter().all(|document| document.id.as_ref().unwrap().starts_with("tatoeba-")));
    let counted = statistics(&[file], None, &mut |_| {}).unwrap();
    assert_eq!((counted[0].documents, counted[0].bytes), (40, 124_533));
}

/// The checksum is that of `packing_golden.py`: python 3.11.7, numpy 2.4.6, tokenizers 0.23.3.
#[test]
fn a_published_korean_corpus_packs_to_the_bytes_that_numpy_makes() {
    let (Some(file), Some(tokenizer)) =
        (published("ko-corpus/tatoeba.jsonl.zst"), published("llama2-tokenizer/tokenizer.json"))
    else {
        return;
    };
    let bench = Bench::new();
    let out = bench.path("out");
    let tokenizer = Tokenizer::open(&tokenizer).unwrap();
    let mode = DocumentMode::Confine;
    let report = pack_texts(&[file], &tokenizer, 512, mode, &out, 3, &mut |_| {}).unwrap();
    assert_eq!((report.tokens, report.rows), (83_103, 162));
    PackedData::open(&out).unwrap().verify().unwrap();
    let meta: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("meta.json")).unwrap()).unwrap();
    let golden = "53c39189b12e526303d47393407d0de5152a3dacec37a2aa91be0f9df35e2325";
    assert_eq!(meta["shards"][0]["sha256"], golden);
}
