//! A model with new tokens: old rows bit for bit, new rows exactly what was asked for, and a folder
//! that opens and runs.

// Helpers of tests are tests, but the lint only knows functions marked as such.
#![allow(clippy::unwrap_used)]

use kollama_kernels::{DType, Device, Matrix, Spans};
use kollama_llama::{
    Batch, ExtendReport, KvCache, Llama, LlamaConfig, RowInit, StoredType, extend_checkpoint,
    init_checkpoint, verify,
};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const HIDDEN: usize = 32;
const BASE: usize = 40;
const TABLES: [&str; 2] = ["model.embed_tokens.weight", "lm_head.weight"];

fn config(tied: bool) -> LlamaConfig {
    LlamaConfig {
        hidden_size: HIDDEN,
        intermediate_size: 48,
        head_dim: 8,
        vocab_size: BASE,
        tie_word_embeddings: tied,
        ..LlamaConfig::preset("tiny").unwrap()
    }
}

fn made_of() -> Vec<Vec<u32>> {
    vec![vec![3], vec![1, 2], vec![39, 0, 39], vec![7, 8, 9, 10, 11, 12, 13]]
}

/// A base in `base` and its extension in `longer`.
fn extended(folder: &Path, tied: bool, stored: StoredType, init: RowInit) -> ExtendReport {
    init_checkpoint(&config(tied), 5, stored, &folder.join("base"), &mut |_, _| {}).unwrap();
    extend(folder, init)
}

fn extend(folder: &Path, init: RowInit) -> ExtendReport {
    let (base, out) = (folder.join("base"), folder.join("longer"));
    extend_checkpoint(&base, &made_of(), init, 11, &out, &mut |_, _| {}).unwrap()
}

/// Bytes of every tensor, as an independent reader finds them.
fn tensors(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            let bytes = fs::read(path).unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let each = file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec()));
            found.extend(each);
        }
    }
    found
}

fn values(stored: StoredType, bytes: &[u8]) -> Vec<f32> {
    match stored {
        StoredType::F32 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        }
        StoredType::Bf16 => bytes
            .chunks_exact(2)
            .map(|b| half::bf16::from_le_bytes(b.try_into().unwrap()).to_f32())
            .collect(),
        StoredType::F16 => bytes
            .chunks_exact(2)
            .map(|b| half::f16::from_le_bytes(b.try_into().unwrap()).to_f32())
            .collect(),
    }
}

fn rounded(stored: StoredType, value: f32) -> f32 {
    match stored {
        StoredType::F32 => value,
        StoredType::Bf16 => half::bf16::from_f32(value).to_f32(),
        StoredType::F16 => half::f16::from_f32(value).to_f32(),
    }
}

fn each_kind(mut test: impl FnMut(&Path, bool, StoredType)) {
    for tied in [false, true] {
        for stored in [StoredType::F32, StoredType::Bf16, StoredType::F16] {
            let folder = tempfile::tempdir().unwrap();
            test(folder.path(), tied, stored);
        }
    }
}

#[test]
fn base_rows_and_all_other_tensors_stay_bit_identical() {
    each_kind(|folder, tied, stored| {
        let report = extended(folder, tied, stored, RowInit::MeanOfPieces);
        assert_eq!((report.base_rows, report.new_rows, report.tied), (BASE, 4, tied));
        let (base, longer) = (tensors(&folder.join("base")), tensors(&folder.join("longer")));
        assert!(base.keys().eq(longer.keys()));
        for (name, bytes) in &base {
            let grown =
                if TABLES.contains(&name.as_str()) { 4 * HIDDEN * stored.bytes() } else { 0 };
            assert_eq!(longer[name].len(), bytes.len() + grown, "{name}");
            assert_eq!(&longer[name][..bytes.len()], bytes, "{name}");
        }
        assert_eq!(LlamaConfig::read(&folder.join("longer")).unwrap().vocab_size, BASE + 4);
        verify(&folder.join("longer")).unwrap();
    });
}

#[test]
fn mean_of_pieces_is_the_mean_in_f32_rounded_once() {
    each_kind(|folder, tied, stored| {
        extended(folder, tied, stored, RowInit::MeanOfPieces);
        let longer = tensors(&folder.join("longer"));
        for (_, bytes) in longer.iter().filter(|(name, _)| TABLES.contains(&name.as_str())) {
            let rows = values(stored, bytes);
            for (token, pieces) in made_of().iter().enumerate() {
                for column in 0..HIDDEN {
                    let sum = pieces
                        .iter()
                        .fold(0.0, |sum: f32, &id| sum + rows[id as usize * HIDDEN + column]);
                    let mean = rounded(stored, sum / pieces.len() as f32);
                    assert_eq!(rows[(BASE + token) * HIDDEN + column], mean);
                }
            }
        }
    });
}

#[test]
fn an_extended_model_runs_and_gives_old_tokens_their_old_logits() {
    for tied in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        extended(folder.path(), tied, StoredType::F32, RowInit::MeanOfPieces);
        let logits = |name: &str| {
            let model = Llama::open(&folder.path().join(name), &Device::reference()).unwrap();
            let mut cache = KvCache::new(&model.config, &model.device, 5).unwrap();
            let vocab = model.config.vocab_size;
            let mut logits = Matrix::zeros(&model.device, 5, vocab, DType::F32).unwrap();
            let spans = Spans::of_lengths([5]);
            let batch = Batch { ids: vec![1, 9, 0, 39, 4], spans, wanted: (0..5).collect() };
            model.forward(&batch, &mut cache, &mut logits);
            logits.to_vec().chunks(vocab).map(<[f32]>::to_vec).collect::<Vec<_>>()
        };
        for (base, longer) in logits("base").iter().zip(logits("longer")) {
            assert_eq!(base, &longer[..BASE]);
            // The first new token is made of token 3 alone, so it is just as likely.
            assert_eq!(longer[BASE], longer[3]);
        }
    }
}

/// Splits the one file of a model in two, with an index, as large models come.
fn cut_in_two(folder: &Path) {
    let whole = folder.join("model.safetensors");
    let bytes = fs::read(&whole).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut map = serde_json::Map::new();
    for (number, keep_head) in [(1, true), (2, false)] {
        let name = format!("model-0000{number}-of-00002.safetensors");
        let part =
            file.tensors().into_iter().filter(|(name, _)| name.starts_with("lm") == keep_head);
        let part: Vec<_> = part.collect();
        map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), name.clone().into())));
        fs::write(folder.join(name), safetensors::serialize(part, None).unwrap()).unwrap();
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    fs::remove_file(whole).unwrap();
}

#[test]
fn a_base_in_several_files_gives_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    extended(folder.path(), false, StoredType::Bf16, RowInit::Random);
    let expected = tensors(&folder.path().join("longer"));
    cut_in_two(&folder.path().join("base"));
    extend(folder.path(), RowInit::Random);
    assert_eq!(tensors(&folder.path().join("longer")), expected);
}

/// Mean and covariance of some rows, in `f64`.
fn moments(rows: &[f32], columns: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (rows.len() / columns) as f64;
    let mut mean = vec![0.0; columns];
    for row in rows.chunks(columns) {
        mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / count);
    }
    let mut covariance = vec![0.0; columns * columns];
    for row in rows.chunks(columns) {
        for i in 0..columns {
            for j in 0..columns {
                let product = (f64::from(row[i]) - mean[i]) * (f64::from(row[j]) - mean[j]);
                covariance[i * columns + j] += product / count;
            }
        }
    }
    (mean, covariance)
}

#[test]
fn rows_drawn_alike_have_the_mean_and_covariance_of_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let (base, out) = (folder.path().join("base"), folder.path().join("longer"));
    // Few columns and a base with columns that depend on each other, so that covariance shows.
    let narrow = LlamaConfig { hidden_size: 4, vocab_size: 1500, ..config(true) };
    init_checkpoint(&narrow, 5, StoredType::F32, &base, &mut |_, _| {}).unwrap();
    let mut model = Llama::open(&base, &Device::reference()).unwrap();
    let mut table = model.parameters.embed_tokens.to_vec();
    for row in table.chunks_mut(4) {
        row[1] = 0.5 * row[0] + 0.1;
        row[2] = row[0] - 3.0 * row[3];
    }
    model.parameters.embed_tokens.write_rows(0, &table);
    model.save(&base, StoredType::F32).unwrap();

    let new = 20_000;
    extend_checkpoint(&base, &vec![vec![]; new], RowInit::Mean, 3, &out, &mut |_, _| {}).unwrap();
    let longer = Llama::open(&out, &Device::reference()).unwrap();
    let rows = &longer.parameters.embed_tokens.to_vec()[table.len()..];
    let ((mean, covariance), (base_mean, base_covariance)) = (moments(rows, 4), moments(&table, 4));
    for i in 0..4 {
        // Four standard errors of a mean, and of a covariance, of that many rows.
        let deviation = base_covariance[i * 5].sqrt();
        assert!((mean[i] - base_mean[i]).abs() < 4.0 * deviation / (new as f64).sqrt());
        for j in 0..4 {
            let size = deviation * base_covariance[j * 5].sqrt();
            let apart = (covariance[i * 4 + j] - base_covariance[i * 4 + j]).abs();
            assert!(apart < 4.0 * size * (2.0 / new as f64).sqrt(), "covariance {i} {j}");
        }
    }
}

#[test]
fn random_rows_depend_on_the_seed_and_differ_between_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    extended(folder.path(), false, StoredType::F32, RowInit::Random);
    let first = tensors(&folder.path().join("longer"));
    let new_rows =
        |all: &BTreeMap<String, Vec<u8>>, name: &str| all[name][BASE * HIDDEN * 4..].to_vec();
    assert_ne!(new_rows(&first, TABLES[0]), new_rows(&first, TABLES[1]));
    let (base, out) = (folder.path().join("base"), folder.path().join("other"));
    extend_checkpoint(&base, &made_of(), RowInit::Random, 12, &out, &mut |_, _| {}).unwrap();
    assert_ne!(new_rows(&first, TABLES[0]), new_rows(&tensors(&out), TABLES[0]));
}

#[test]
fn a_token_made_of_nothing_or_of_unknown_tokens_is_refused_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let (base, out) = (folder.path().join("base"), folder.path().join("longer"));
    init_checkpoint(&config(false), 5, StoredType::F32, &base, &mut |_, _| {}).unwrap();
    let refused = |made_of: &[Vec<u32>], out: &PathBuf| {
        extend_checkpoint(&base, made_of, RowInit::MeanOfPieces, 1, out, &mut |_, _| {})
            .unwrap_err()
            .to_string()
    };
    let unknown = refused(&[vec![1], vec![2, 40]], &out);
    assert!(unknown.contains("new token 1 is made of token 40"), "{unknown}");
    assert!(refused(&[vec![]], &out).contains("new token 0 is made of no base tokens"));
    assert!(refused(&[vec![1]], &base).contains("the output folder is the base itself"));
    assert!(!out.exists());
}
