//! Weights that do not fit their folder.

use crate::program::{TRAIN, Tensors, Workplace};
use crate::{assert_is_one_message, refuses, with_everything};
use serde_json::{Value, json};

const WEIGHTS: &str = "model/model.safetensors";
const COMMANDS_THAT_READ_WEIGHTS: [&str; 4] = [
    "model verify model",
    "generate --model model --prompt a --max-new-tokens 2",
    "model extend --base model --tokenizer larger --out grown",
    TRAIN,
];

#[test]
fn truncated_weights_are_refused_by_every_command_that_reads_them() {
    let place = with_everything();
    let mut bytes = place.read(WEIGHTS);
    bytes.truncate(bytes.len() - 100);
    place.write(WEIGHTS, bytes);
    for line in COMMANDS_THAT_READ_WEIGHTS {
        refuses(&place, line, &[WEIGHTS]);
    }
}

#[test]
fn a_header_that_lies_about_its_length_is_refused() {
    let place = Workplace::with_model();
    for length in [u64::MAX, 1 << 40, 10] {
        let mut bytes = place.read(WEIGHTS);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        place.write("model/damaged", &bytes);
        std::fs::rename(place.path("model/damaged"), place.path(WEIGHTS)).unwrap();
        refuses(&place, "model verify model", &[WEIGHTS, "header"]);
    }
    place.write(WEIGHTS, b"short");
    refuses(&place, "model verify model", &[WEIGHTS]);
}

#[test]
fn a_header_that_is_not_json_is_refused() {
    let place = Workplace::with_model();
    let mut bytes = place.read(WEIGHTS);
    bytes[8] = b'?';
    place.write(WEIGHTS, bytes);
    refuses(&place, "model verify model", &[WEIGHTS, "header", "JSON"]);
}

#[test]
fn offsets_beyond_the_file_are_refused_by_tensor() {
    let place = Workplace::with_model();
    let mut tensors = Tensors::read(&place.path(WEIGHTS));
    tensors.header["model.norm.weight"]["data_offsets"][1] = json!(1u64 << 60);
    tensors.write(&place.path(WEIGHTS));
    refuses(&place, "model verify model", &[WEIGHTS, "model.norm.weight"]);
}

#[test]
fn a_tensor_of_another_shape_than_the_configuration_says_is_refused_by_name() {
    let place = with_everything();
    place.edit_json("model/config.json", |config| config["intermediate_size"] = json!(64));
    let shape = ["model.layers.0.mlp.", "[48, 32]", "[64, 32]"];
    for line in COMMANDS_THAT_READ_WEIGHTS {
        refuses(&place, line, &shape);
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let place = with_everything();
    let mut tensors = Tensors::read(&place.path(WEIGHTS));
    let header = tensors.header.as_object_mut().unwrap();
    let norm = header.remove("model.norm.weight").unwrap();
    header.insert("model.other.weight".to_owned(), norm);
    tensors.write(&place.path(WEIGHTS));
    for line in COMMANDS_THAT_READ_WEIGHTS {
        refuses(&place, line, &["model.norm.weight is missing", "[32]"]);
    }
}

#[test]
fn a_missing_shard_is_named_with_the_index_that_names_it() {
    let place = with_everything();
    let names = Tensors::read(&place.path(WEIGHTS)).header;
    let first = "model-00001-of-00002.safetensors";
    std::fs::rename(place.path(WEIGHTS), place.path("model").join(first)).unwrap();
    let names = names.as_object().unwrap().keys().filter(|name| *name != "__metadata__");
    let mut map: serde_json::Map<String, Value> =
        names.map(|name| (name.clone(), json!(first))).collect();
    map["lm_head.weight"] = json!("model-00002-of-00002.safetensors");
    let index = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    place.write("model/model.safetensors.index.json", index.to_string());
    let expected =
        ["model-00002-of-00002.safetensors", "model.safetensors.index.json", "lm_head.weight"];
    for line in COMMANDS_THAT_READ_WEIGHTS {
        refuses(&place, line, &expected);
    }
}

#[test]
fn a_weight_that_is_not_a_number_is_found_before_it_does_harm() {
    let place = Workplace::with_rows();
    for value in [f32::NAN, f32::INFINITY] {
        let mut tensors = Tensors::read(&place.path(WEIGHTS));
        tensors.set_first("model.norm.weight", value);
        tensors.write(&place.path(WEIGHTS));
        refuses(&place, "model verify model", &[WEIGHTS, "model.norm.weight", "row 0", "finite"]);
        refuses(&place, TRAIN, &["model.norm.weight", "row 0", "NaN or infinite"]);
    }
    let generate = "generate --model model --prompt a --max-new-tokens 4 --json";
    refuses(&place, generate, &["not finite", "kollama model verify"]);
    let scored = place.feed("score --model model", "{\"context\":\"a\",\"continuation\":\"b\"}\n");
    assert_is_one_message(&scored, &["not finite"]);
}

#[test]
fn a_folder_without_weights_is_refused_with_what_was_expected() {
    let place = Workplace::with_model();
    std::fs::remove_file(place.path(WEIGHTS)).unwrap();
    refuses(&place, "model verify model", &["model", "model.safetensors.index.json"]);
    refuses(&place, "generate --model nowhere --prompt a", &["nowhere"]);
}
