//! Folders of quantised weights, and models held in other types than they are stored in.

// Helpers of tests are tests, but the lint only knows functions marked as such.
#![allow(clippy::unwrap_used)]

mod real_model;

use kollama_kernels::{DType, Device, Matrix, Span, Spans};
use kollama_llama::{
    Batch, KvCache, Llama, LlamaConfig, LlamaError, RowInit, StoredType, extend_checkpoint, info,
    init_checkpoint, quantize_checkpoint, stored_weights, verify,
};
use real_model::stories;
use std::fs;
use std::path::{Path, PathBuf};

const WEIGHTS: &str = "model.safetensors";
const FORMATS: [(DType, &str); 2] = [(DType::Q8, "q8"), (DType::Q4, "q4")];

/// Hidden size 64, so that every tensor of a file begins at a multiple of 64 bytes.
fn config(tied: bool) -> LlamaConfig {
    let config = LlamaConfig::preset("tiny").unwrap();
    LlamaConfig { vocab_size: 75, tie_word_embeddings: tied, ..config }
}

fn made(folder: &Path, tied: bool, stored: StoredType) -> PathBuf {
    let base = folder.join(format!("base-{tied}-{}", stored.name()));
    init_checkpoint(&config(tied), 3, stored, &base, &mut |_, _| {}).unwrap();
    base
}

fn quantized(base: &Path, to: DType, name: &str) -> PathBuf {
    let out = base.with_file_name(name);
    quantize_checkpoint(base, to, &Device::cpu(2).unwrap(), &out, &mut |_, _| {}).unwrap();
    out
}

/// The logits after each of some tokens, read at once and kept as `kept`.
fn logits(model: &Llama, kept: DType) -> Vec<f32> {
    let ids: Vec<u32> = (0..40).map(|i| i * 31 % 75).collect();
    let rows = ids.len();
    let mut cache = KvCache::new_as(&model.config, &model.device, rows, kept).unwrap();
    let mut logits = Matrix::zeros(&model.device, rows, 75, DType::F32).unwrap();
    let spans = Spans::new(vec![Span { queries: 0..rows, keys: 0..rows }]);
    let batch = Batch { ids, spans, wanted: (0..rows as u32).collect() };
    model.forward(&batch, &mut cache, &mut logits);
    logits.to_vec()
}

/// Root of the mean square of the difference, as a part of that of `expected`.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    let square = |x: f32| x * x;
    let error: f32 = found.iter().zip(expected).map(|(x, y)| square(x - y)).sum();
    (error / expected.iter().map(|&x| square(x)).sum::<f32>()).sqrt()
}

#[test]
fn a_quantized_folder_is_the_model_quantized_while_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (tied, stored) in [(false, StoredType::F32), (true, StoredType::Bf16)] {
        let base = made(folder.path(), tied, stored);
        for (weights, name) in FORMATS {
            let out = quantized(&base, weights, &format!("{name}-{tied}"));
            assert_eq!(stored_weights(&out).unwrap(), weights);
            for device in [Device::reference(), Device::cpu(1).unwrap(), Device::cpu(3).unwrap()] {
                let [read, made] =
                    [&out, &base].map(|folder| Llama::open_as(folder, &device, weights).unwrap());
                let in_place = |model: &Llama| {
                    model.parameters.named().iter().filter(|(_, matrix)| matrix.is_mapped()).count()
                };
                let matrices = 7 * read.config.num_hidden_layers + if tied { 1 } else { 2 };
                assert_eq!(in_place(&read), matrices, "all but the norms stay in the file");
                assert_eq!(logits(&read, DType::F32), logits(&made, DType::F32));
            }
        }
    }
}

#[test]
fn fewer_bits_move_the_logits_a_little() {
    let folder = tempfile::tempdir().unwrap();
    for tied in [false, true] {
        let base = made(folder.path(), tied, StoredType::F32);
        let device = Device::cpu(2).unwrap();
        let exact = logits(&Llama::open(&base, &device).unwrap(), DType::F32);
        let limits =
            [(DType::Bf16, 0.01), (DType::PackedBf16, 0.01), (DType::Q8, 0.03), (DType::Q4, 0.3)];
        for (weights, limit) in limits {
            let model = Llama::open_as(&base, &device, weights).unwrap();
            let found = apart(&logits(&model, DType::F32), &exact);
            assert!(found > 0.0 && found < limit, "{weights:?}: {found}");
        }
        let model = Llama::open(&base, &device).unwrap();
        for (kept, limit) in [(DType::Bf16, 0.01), (DType::Q8Rows, 0.03)] {
            let found = apart(&logits(&model, kept), &exact);
            assert!(found > 0.0 && found < limit, "keys and values as {kept:?}: {found}");
        }
    }
}

#[test]
fn what_a_quantized_folder_holds_is_told_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let base = made(folder.path(), false, StoredType::Bf16);
    assert_eq!(stored_weights(&base).unwrap(), DType::PackedBf16);
    let out = quantized(&base, DType::Q4, "small");
    let (before, after) = (info(&base).unwrap(), info(&out).unwrap());
    assert_eq!((after.parameters, after.dtype.as_str()), (before.parameters, "BF16, F32, Q4"));
    assert!(after.bytes < before.bytes / 2);
    assert_eq!(verify(&out).unwrap().values, before.parameters);

    // The scale of the fourth row of the second panel of a projection becomes not a number.
    let bytes = fs::read(out.join(WEIGHTS)).unwrap();
    let name = "model.layers.1.self_attn.q_proj.weight";
    let header: serde_json::Value = serde_json::from_slice(
        &bytes[8..8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize],
    )
    .unwrap();
    let data = bytes.len() as u64 - after.bytes;
    let start = data + header[name]["data_offsets"][0].as_u64().unwrap();
    let panel = DType::Q4.matrix_bytes(32, 64);
    let mut damaged = bytes;
    damaged[start as usize + panel + 2 * 3..][..2].copy_from_slice(&0x7fc0_u16.to_le_bytes());
    fs::write(out.join(WEIGHTS), damaged).unwrap();
    let error = verify(&out).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("row 35 holds NaN"), "{error}");
}

#[test]
fn quantized_weights_are_refused_where_others_are_needed_and_the_cure_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let base = made(folder.path(), false, StoredType::F32);
    let out = quantized(&base, DType::Q8, "small");
    let (device, longer) = (Device::reference(), folder.path().join("longer"));
    let quiet = &mut |_, _| {};
    let refusals = [
        Llama::open(&out, &device).map(|_| ()),
        Llama::open_as(&out, &device, DType::Q4).map(|_| ()),
        extend_checkpoint(&out, &[vec![1]], RowInit::Random, 1, &longer, quiet).map(|_| ()),
        quantize_checkpoint(&out, DType::Q4, &device, &longer, quiet).map(|_| ()),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(matches!(error, LlamaError::Quantized { stored: "q8", .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("small") && text.contains("take the model that they were made of"));
    }
    assert!(!longer.exists());
}

#[test]
fn a_layout_of_another_version_is_refused_before_its_bytes_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let out = quantized(&made(folder.path(), false, StoredType::F32), DType::Q8, "small");
    let config = out.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"layout\": 1", "\"layout\": 9")).unwrap();
    let error = Llama::open_as(&out, &Device::reference(), DType::Q8).map(|_| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("quantization_config") && text.contains("names layout 9"), "{text}");
}

/// Goes on with the likeliest token.
fn greedy(model: &Llama, prompt: &[u32], length: usize) -> Vec<u32> {
    let mut cache = KvCache::new(&model.config, &model.device, prompt.len() + length).unwrap();
    let columns = model.config.vocab_size;
    let mut logits = Matrix::zeros(&model.device, 1, columns, DType::F32).unwrap();
    let (mut ids, mut read) = (prompt.to_vec(), 0);
    while ids.len() < prompt.len() + length {
        let new = ids[read..].to_vec();
        let spans = Spans::new(vec![Span { queries: 0..new.len(), keys: 0..ids.len() }]);
        read = ids.len();
        let batch = Batch { wanted: vec![new.len() as u32 - 1], ids: new, spans };
        model.forward(&batch, &mut cache, &mut logits);
        let row = logits.to_vec();
        let likeliest = (0..columns).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
        ids.push(likeliest.unwrap() as u32);
    }
    ids.split_off(prompt.len())
}

fn log_likelihood(model: &Llama, prompt: &[u32], answer: &[u32]) -> f64 {
    let ids = [prompt, &answer[..answer.len() - 1]].concat();
    let mut cache = KvCache::new(&model.config, &model.device, ids.len()).unwrap();
    let spans = Spans::new(vec![Span { queries: 0..ids.len(), keys: 0..ids.len() }]);
    let wanted = (prompt.len() as u32 - 1..ids.len() as u32).collect();
    let labels: Vec<i32> = answer.iter().map(|&id| id as i32).collect();
    let scored = model.score(&Batch { ids, spans, wanted }, &labels, &mut cache);
    -scored.iter().map(|&(loss, _)| f64::from(loss)).sum::<f64>()
}

#[test]
fn eight_bits_keep_what_the_tiny_model_writes_or_its_likelihoods_to_half_a_percent() {
    let Some(folder) = stories() else { return };
    let story: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("greedy_from_bos.json")).unwrap()).unwrap();
    let story: Vec<u32> =
        story["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    let device = Device::cpu(2).unwrap();
    let exact = Llama::open(&folder.join("hf"), &device).unwrap();
    let short = Llama::open_as(&folder.join("hf"), &device, DType::Q8).unwrap();
    let (mut same, mut worst, mut all) = (0, 0.0_f64, [0.0; 2]);
    for prompt in 0..50 {
        let words = &story[1 + 4 * prompt..][..3 + prompt % 6];
        let prompt = [&[1], words].concat();
        let answer = greedy(&exact, &prompt, 40);
        same += usize::from(greedy(&short, &prompt, 40) == answer);
        let expected = log_likelihood(&exact, &prompt, &answer);
        let found = log_likelihood(&short, &prompt, &answer);
        worst = worst.max(((found - expected) / expected).abs());
        all = [all[0] + found, all[1] + expected];
    }
    let apart = ((all[0] - all[1]) / all[1]).abs();
    println!(
        "{same} of 50 answers are the same; their likelihoods differ by {:.2} %, those of one by \
         {:.2} % at most",
        100.0 * apart,
        100.0 * worst
    );
    assert!(same == 50 || apart <= 0.005, "{same} of 50 answers, likelihoods {apart} apart");
}
