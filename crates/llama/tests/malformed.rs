//! Folders that are not what they should be: the error names file and tensor, and nothing is left
//! where a new model was to be.

// Helpers of tests are tests, but the lint only knows functions marked as such.
#![allow(clippy::unwrap_used)]

use kollama_kernels::{DType, Device};
use kollama_llama::{
    Llama, LlamaConfig, RowInit, StoredType, copy_companions, extend_checkpoint, info,
    init_checkpoint, verify,
};
use std::fs;
use std::path::Path;

const WEIGHTS: &str = "model.safetensors";

fn config() -> LlamaConfig {
    LlamaConfig { vocab_size: 50, ..LlamaConfig::preset("tiny").unwrap() }
}

/// Damages a good model and collects what opening, verifying and extending it say.
fn complaints(damage: impl FnOnce(&Path)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (base, out) = (folder.path().join("base"), folder.path().join("longer"));
    init_checkpoint(&config(), 1, StoredType::F32, &base, &mut |_, _| {}).unwrap();
    damage(&base);
    let opened = Llama::open(&base, &Device::reference()).map(|_| ()).unwrap_err();
    let verified = verify(&base).unwrap_err();
    let pieces = [vec![1, 2]];
    let extended =
        extend_checkpoint(&base, &pieces, RowInit::MeanOfPieces, 1, &out, &mut |_, _| {});
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["base"], "nothing is left behind");
    [opened, verified, extended.unwrap_err()].iter().map(ToString::to_string).collect()
}

fn assert_all_say(complaints: Vec<String>, parts: &[&str]) {
    for complaint in complaints {
        for part in parts {
            assert!(complaint.contains(part), "{complaint:?} does not say {part:?}");
        }
    }
}

fn change_bytes(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Replaces text in a header or a configuration by as much other text.
fn change_text(path: &Path, from: &str, to: &str) {
    change_bytes(path, |bytes| {
        assert_eq!(from.len(), to.len());
        let found = bytes.windows(from.len()).position(|part| part == from.as_bytes());
        bytes[found.unwrap()..][..to.len()].copy_from_slice(to.as_bytes());
    });
}

#[test]
fn a_file_cut_off_names_file_and_tensor() {
    let cut =
        |base: &Path| change_bytes(&base.join(WEIGHTS), |bytes| bytes.truncate(bytes.len() - 9));
    assert_all_say(complaints(cut), &[WEIGHTS, "tensor lm_head.weight", "cut off"]);
}

#[test]
fn a_header_that_lies_about_its_length_is_not_believed() {
    let lie = |base: &Path| change_bytes(&base.join(WEIGHTS), |bytes| bytes[6] = 1);
    assert_all_say(complaints(lie), &[WEIGHTS, "claims a header of"]);
}

#[test]
fn a_shape_that_the_configuration_does_not_ask_for_is_named_with_both() {
    let reshape = |base: &Path| {
        let from = "\"model.layers.1.mlp.up_proj.weight\":{\"dtype\":\"F32\",\"shape\":[172,64]";
        change_text(&base.join(WEIGHTS), from, &from.replace("172,64", "64,172"));
    };
    let parts = [WEIGHTS, "model.layers.1.mlp.up_proj.weight", "[64, 172]", "[172, 64]"];
    assert_all_say(complaints(reshape), &parts);
}

#[test]
fn a_missing_tensor_is_named_with_its_shape() {
    let rename = |base: &Path| {
        let (from, to) = ("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.x_proj");
        change_text(&base.join(WEIGHTS), from, to);
    };
    let parts = ["base", "model.layers.0.self_attn.q_proj.weight is missing", "[64, 64]"];
    assert_all_say(complaints(rename), &parts);
}

#[test]
fn a_type_that_is_not_read_is_named() {
    let retype = |base: &Path| {
        let (from, to) = ("norm.weight\":{\"dtype\":\"F32\"", "norm.weight\":{\"dtype\":\"I32\"");
        change_text(&base.join(WEIGHTS), from, to);
    };
    assert_all_say(
        complaints(retype),
        &[WEIGHTS, "norm.weight", "I32", "expected F32, BF16 or F16"],
    );
}

#[test]
fn a_missing_shard_is_named_with_a_tensor_it_should_hold() {
    let point_elsewhere = |base: &Path| {
        fs::rename(base.join(WEIGHTS), base.join("model-00001-of-00002.safetensors")).unwrap();
        let index = serde_json::json!({"weight_map": {
            "model.norm.weight": "model-00001-of-00002.safetensors",
            "lm_head.weight": "model-00002-of-00002.safetensors",
        }});
        fs::write(base.join("model.safetensors.index.json"), index.to_string()).unwrap();
    };
    let parts = ["model-00002-of-00002.safetensors is missing", "lm_head.weight", "index.json"];
    assert_all_say(complaints(point_elsewhere), &parts);
}

#[test]
fn an_index_that_points_to_the_wrong_file_or_out_of_the_folder_is_refused() {
    let index = |map: serde_json::Value| {
        move |base: &Path| {
            fs::rename(base.join(WEIGHTS), base.join("a.safetensors")).unwrap();
            let index = serde_json::json!({"weight_map": map});
            fs::write(base.join("model.safetensors.index.json"), index.to_string()).unwrap();
        }
    };
    let wrong = index(serde_json::json!({"other.weight": "a.safetensors"}));
    assert_all_say(complaints(wrong), &["a.safetensors", "other.weight: is not in it"]);
    let outside = index(serde_json::json!({"lm_head.weight": "../a.safetensors"}));
    assert_all_say(complaints(outside), &["index.json", "lm_head.weight", "../a.safetensors"]);
}

#[test]
fn a_folder_without_weights_or_configuration_is_told_what_was_expected() {
    let empty = |base: &Path| fs::remove_file(base.join(WEIGHTS)).unwrap();
    assert_all_say(complaints(empty), &["holds no model", WEIGHTS]);
    let no_config = |base: &Path| fs::remove_file(base.join("config.json")).unwrap();
    assert_all_say(complaints(no_config), &["cannot read", "config.json"]);
    let broken =
        |base: &Path| fs::write(base.join("config.json"), "{\"hidden_size\": 64,").unwrap();
    assert_all_say(complaints(broken), &["config.json", "line 1"]);
    let other = |base: &Path| {
        change_text(
            &base.join("config.json"),
            "\"model_type\": \"llama\"",
            "\"model_type\": \"gemma\"",
        );
    };
    assert_all_say(complaints(other), &["config.json", "`model_type`", "not supported"]);
}

/// Writes one value into a good model and returns what verifying it says.
fn verified_with(value: f32) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    init_checkpoint(&config(), 1, StoredType::F32, &base, &mut |_, _| {}).unwrap();
    let mut model = Llama::open(&base, &Device::reference()).unwrap();
    let mut row = vec![0.0; 64];
    row[5] = value;
    model.parameters.layers[1].gate_proj.write_rows(17, &row);
    model.save(&base, StoredType::Bf16).unwrap();
    Llama::open(&base, &Device::reference()).expect("opening does not look at values");
    verify(&base).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_value_that_is_not_finite_is_found_with_its_row() {
    verified_with(1.0).unwrap();
    for (value, name) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        let text = verified_with(value).unwrap_err();
        let expected = format!("tensor model.layers.1.mlp.gate_proj.weight: row 17 holds {name}");
        assert!(text.contains(&expected) && text.contains(WEIGHTS), "{text}");
    }
}

#[test]
fn surplus_tensors_are_refused_unless_they_are_old_rotary_buffers() {
    for (name, fine) in
        [("model.layers.0.self_attn.rotary_emb.inv_freq", true), ("model.extra", false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        init_checkpoint(&config(), 1, StoredType::F32, &base, &mut |_, _| {}).unwrap();
        let bytes = fs::read(base.join(WEIGHTS)).unwrap();
        let mut tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]);
        tensors.push((name.into(), view.unwrap()));
        fs::write(base.join(WEIGHTS), safetensors::serialize(tensors, None).unwrap()).unwrap();
        Llama::open(&base, &Device::reference()).unwrap();
        match verify(&base) {
            Ok(_) => assert!(fine, "{name} was accepted"),
            Err(error) => assert!(!fine && error.to_string().contains(name), "{error}"),
        }
    }
}

#[test]
fn what_is_saved_opens_again_and_info_and_verify_agree_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let (base, copy) = (folder.path().join("base"), folder.path().join("copy"));
    init_checkpoint(&config(), 1, StoredType::Bf16, &base, &mut |_, _| {}).unwrap();
    fs::write(base.join("tokenizer.json"), "{}").unwrap();
    for weights in [DType::F32, DType::Bf16] {
        let model = Llama::open_as(&base, &Device::reference(), weights).unwrap();
        model.save(&copy, StoredType::Bf16).unwrap();
        copy_companions(&base, &copy).unwrap();
        for name in [WEIGHTS, "config.json", "tokenizer.json"] {
            assert_eq!(fs::read(copy.join(name)).unwrap(), fs::read(base.join(name)).unwrap());
        }
    }
    let (info, report) = (info(&copy).unwrap(), verify(&copy).unwrap());
    assert_eq!((info.parameters, info.bytes), (report.values, report.bytes));
    assert_eq!((info.dtype.as_str(), info.tensors.len()), ("BF16", report.tensors));
    assert_eq!(info.config.dtype.as_deref(), Some("bfloat16"));
}
