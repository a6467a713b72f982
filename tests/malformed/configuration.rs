//! A `config.json` that describes no model of ours.

use crate::program::Workplace;
use crate::refuses;
use serde_json::{Value, json};

#[test]
fn a_configuration_is_refused_by_file_and_field() {
    let place = Workplace::with_model();
    let good = place.read("model/config.json");
    let cases: [(&str, Value, &str); 6] = [
        ("num_attention_heads", json!(3), "num_attention_heads"),
        ("num_key_value_heads", json!(3), "num_key_value_heads"),
        ("rope_scaling", json!({ "rope_type": "llama3", "factor": 8.0 }), "rope_scaling"),
        ("hidden_act", json!("gelu"), "hidden_act"),
        ("hidden_size", json!("many"), "hidden_size"),
        ("num_hidden_layers", Value::Null, "num_hidden_layers"),
    ];
    for (field, value, named) in cases {
        place.write("model/config.json", &good);
        place.edit_json("model/config.json", |config| {
            config[field] = value;
            // A size of one head would make any number of heads possible.
            config.as_object_mut().unwrap().remove("head_dim");
        });
        refuses(&place, "model verify model", &["model/config.json", named]);
    }
}

#[test]
fn a_configuration_that_is_missing_or_not_json_is_refused() {
    let place = Workplace::with_model();
    place.write("model/config.json", "{ \"hidden_size\": 32, }");
    refuses(&place, "model verify model", &["model/config.json", "line 1"]);
    std::fs::remove_file(place.path("model/config.json")).unwrap();
    refuses(&place, "model verify model", &["model/config.json"]);
    refuses(&place, "model info model", &["model/config.json"]);
    let init = "model init --config enormous --tokenizer tok --out new";
    refuses(&place, init, &["enormous", "tiny, small, 7b, 13b, 70b"]);
}
