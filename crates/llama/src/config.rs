//! `config.json` under the names that Hugging Face gives its fields. Fields not used here are kept
//! and written back; fields that would change the arithmetic in a way not built here are refused.

use crate::error::LlamaError;
use crate::fields::{Problem, ensure, first_id, flag, id, number, rope_theta, shortest, size};
use crate::quantization;
use kollama_kernels::{DType, Heads};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The field that tells how quantised weights are stored.
const QUANTIZATION: &str = "quantization_config";
/// The widest type that weights are stored in.
const F32_BYTES: u64 = 4;

/// The shape of a Llama.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// Columns of a token's row between layers.
    pub hidden_size: usize,
    /// Columns between the projections of the feed-forward half.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads of the queries.
    pub num_attention_heads: usize,
    /// Heads of the keys and values; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Columns of one head; even.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Longest sequence the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f32,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// Whether the embedding is the output projection too.
    pub tie_word_embeddings: bool,
    /// `<s>`; 1 where the file does not say, `None` where it says `null`.
    pub bos_token_id: Option<u32>,
    /// `</s>`; 2 where the file does not say, the first of a list, `None` where it says `null`.
    pub eos_token_id: Option<u32>,
    /// Standard deviation of random matrices.
    pub initializer_range: f32,
    /// How weights are stored according to the file (`float32`, `bfloat16`, …), if it says so.
    pub dtype: Option<String>,
    /// The file as it was read, for everything above that is not a field of this struct.
    pub other_fields: Map<String, Value>,
}

impl LlamaConfig {
    /// Reads `config.json` in a model folder.
    ///
    /// # Errors
    /// Names the file and the field that is missing, wrong or not supported.
    pub fn read(folder: &Path) -> Result<LlamaConfig, LlamaError> {
        LlamaConfig::from_file(&folder.join("config.json"))
    }

    /// Reads a configuration from any file; errors as [`LlamaConfig::read`].
    pub fn from_file(path: &Path) -> Result<LlamaConfig, LlamaError> {
        let text = std::fs::read_to_string(path).map_err(LlamaError::read(path))?;
        let fields = serde_json::from_str(&text).map_err(|error| LlamaError::Json {
            file: path.into(),
            problem: format!("expected a JSON object with the fields of a Llama: {error}"),
        })?;
        LlamaConfig::from_fields(fields).map_err(|(field, problem)| LlamaError::Config {
            file: path.into(),
            field: field.into(),
            problem,
        })
    }

    /// The shapes of Llama 2 (`7b`, `13b`, `70b`) and two to learn with (`tiny`, `small`), all with
    /// 32,000 pieces and untied embeddings.
    pub fn preset(name: &str) -> Option<LlamaConfig> {
        // hidden, intermediate, layers, query heads, key heads, positions
        let [hidden, intermediate, layers, queries, keys, positions] = match name {
            "tiny" => [64, 172, 2, 4, 2, 512],
            "small" => [512, 1376, 8, 8, 8, 2048],
            "7b" => [4096, 11008, 32, 32, 32, 4096],
            "13b" => [5120, 13824, 40, 40, 40, 4096],
            "70b" => [8192, 28672, 80, 64, 8, 4096],
            _ => return None,
        };
        Some(LlamaConfig {
            hidden_size: hidden,
            intermediate_size: intermediate,
            num_hidden_layers: layers,
            num_attention_heads: queries,
            num_key_value_heads: keys,
            head_dim: hidden / queries,
            vocab_size: 32_000,
            max_position_embeddings: positions,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            tie_word_embeddings: false,
            bos_token_id: Some(1),
            eos_token_id: Some(2),
            initializer_range: 0.02,
            dtype: None,
            other_fields: Map::new(),
        })
    }

    /// How the weights of a quantised folder are stored: [`DType::Q8`] or [`DType::Q4`].
    pub fn quantization(&self) -> Option<DType> {
        quantization::stored(self.other_fields.get(QUANTIZATION)?)
    }

    /// The configuration of the same model with quantised weights.
    pub(crate) fn quantized_to(&self, weights: DType) -> LlamaConfig {
        let mut config = self.clone();
        config.other_fields.insert(QUANTIZATION.into(), quantization::description(weights));
        config
    }

    /// How columns are cut into heads.
    pub fn heads(&self) -> Heads {
        Heads {
            queries: self.num_attention_heads,
            keys: self.num_key_value_heads,
            size: self.head_dim,
        }
    }

    /// Number of trained values; a tied embedding counts once.
    pub fn parameter_count(&self) -> u64 {
        self.checked_parameter_count().expect("a configuration is checked when it is made")
    }

    /// The same for a configuration that is not checked yet; `None` where it does not fit.
    fn checked_parameter_count(&self) -> Option<u64> {
        let product = |sizes: &[usize]| {
            sizes.iter().try_fold(1u64, |all, &size| all.checked_mul(size as u64))
        };
        let hidden = self.hidden_size;
        let queries = product(&[2, hidden, self.num_attention_heads, self.head_dim])?;
        let keys = product(&[2, hidden, self.num_key_value_heads, self.head_dim])?;
        let feed_forward = product(&[3, hidden, self.intermediate_size])?;
        let layer = [queries, keys, feed_forward, product(&[2, hidden])?]
            .into_iter()
            .try_fold(0u64, u64::checked_add)?;
        let embeddings = if self.tie_word_embeddings { 1 } else { 2 };
        product(&[embeddings, self.vocab_size, hidden])?
            .checked_add(layer.checked_mul(self.num_hidden_layers as u64)?)?
            .checked_add(hidden as u64)
    }

    /// Checks that the numbers can make a model.
    ///
    /// # Errors
    /// Names the field.
    pub fn validate(&self) -> Result<(), LlamaError> {
        self.check().map_err(|(field, problem)| LlamaError::Config {
            file: PathBuf::from("configuration"),
            field: field.into(),
            problem,
        })
    }

    /// The object to write as `config.json`: the fields as read, with those of this struct on top.
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("architectures".into(), json!(["LlamaForCausalLM"]));
        fields.insert("model_type".into(), json!("llama"));
        fields.insert("hidden_act".into(), json!("silu"));
        fields.extend(self.other_fields.clone());
        fields.insert("hidden_size".into(), json!(self.hidden_size));
        fields.insert("intermediate_size".into(), json!(self.intermediate_size));
        fields.insert("num_hidden_layers".into(), json!(self.num_hidden_layers));
        fields.insert("num_attention_heads".into(), json!(self.num_attention_heads));
        fields.insert("num_key_value_heads".into(), json!(self.num_key_value_heads));
        fields.insert("head_dim".into(), json!(self.head_dim));
        fields.insert("vocab_size".into(), json!(self.vocab_size));
        fields.insert("max_position_embeddings".into(), json!(self.max_position_embeddings));
        fields.insert("rms_norm_eps".into(), json!(shortest(self.rms_norm_eps)));
        fields.insert("tie_word_embeddings".into(), json!(self.tie_word_embeddings));
        fields.insert("initializer_range".into(), json!(shortest(self.initializer_range)));
        fields.insert("bos_token_id".into(), json!(self.bos_token_id));
        if first_id(fields.get("eos_token_id")) != Some(self.eos_token_id) {
            fields.insert("eos_token_id".into(), json!(self.eos_token_id));
        }
        match fields.get_mut("rope_parameters").and_then(Value::as_object_mut) {
            Some(rope) => rope.insert("rope_theta".into(), json!(self.rope_theta)),
            None => fields.insert("rope_theta".into(), json!(self.rope_theta)),
        };
        if let Some(dtype) = &self.dtype {
            let name = if fields.contains_key("dtype") { "dtype" } else { "torch_dtype" };
            fields.insert(name.into(), json!(dtype));
        }
        Value::Object(fields)
    }

    fn from_fields(fields: Map<String, Value>) -> Result<LlamaConfig, Problem> {
        refuse_what_is_not_built(&fields)?;
        let hidden_size = size(&fields, "hidden_size", None)?;
        let num_attention_heads = size(&fields, "num_attention_heads", None)?;
        let head_dim = hidden_size / num_attention_heads;
        let config = LlamaConfig {
            hidden_size,
            intermediate_size: size(&fields, "intermediate_size", None)?,
            num_hidden_layers: size(&fields, "num_hidden_layers", None)?,
            num_attention_heads,
            num_key_value_heads: size(&fields, "num_key_value_heads", Some(num_attention_heads))?,
            head_dim: size(&fields, "head_dim", Some(head_dim))?,
            vocab_size: size(&fields, "vocab_size", None)?,
            max_position_embeddings: size(&fields, "max_position_embeddings", Some(2048))?,
            rms_norm_eps: number(&fields, "rms_norm_eps", 1e-6)? as f32,
            rope_theta: rope_theta(&fields)?,
            tie_word_embeddings: flag(&fields, "tie_word_embeddings")?,
            bos_token_id: id(&fields, "bos_token_id", 1)?,
            eos_token_id: id(&fields, "eos_token_id", 2)?,
            initializer_range: number(&fields, "initializer_range", 0.02)? as f32,
            dtype: ["dtype", "torch_dtype"]
                .iter()
                .find_map(|name| fields.get(*name)?.as_str())
                .map(str::to_owned),
            other_fields: fields,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Problem> {
        let (queries, keys) = (self.num_attention_heads, self.num_key_value_heads);
        for (field, value) in [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", queries),
            ("num_key_value_heads", keys),
            ("head_dim", self.head_dim),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            ensure(value > 0, field, || "must be at least 1".into())?;
            ensure(value <= i32::MAX as usize, field, || format!("is {value}: too large"))?;
        }
        ensure(queries.is_multiple_of(keys), "num_key_value_heads", || {
            format!("is {keys}, which does not divide num_attention_heads ({queries})")
        })?;
        ensure(self.head_dim.is_multiple_of(2), "head_dim", || {
            format!("is {}: expected an even number of at least 2", self.head_dim)
        })?;
        let bytes = self.checked_parameter_count().and_then(|count| count.checked_mul(F32_BYTES));
        ensure(bytes.is_some(), "hidden_size", || {
            format!("is {}: with the other sizes, the weights take 2^64 bytes", self.hidden_size)
        })?;
        ensure(self.rms_norm_eps.is_finite() && self.rms_norm_eps >= 0.0, "rms_norm_eps", || {
            format!("is {}: expected a small positive number", self.rms_norm_eps)
        })?;
        ensure(self.rope_theta.is_finite() && self.rope_theta > 0.0, "rope_theta", || {
            format!("is {}: expected a positive number", self.rope_theta)
        })
    }
}

/// Everything that transformers knows for this family and that the forward pass here does not do.
fn refuse_what_is_not_built(fields: &Map<String, Value>) -> Result<(), Problem> {
    for (field, only) in [("model_type", "llama"), ("hidden_act", "silu")] {
        match fields.get(field) {
            None => {}
            Some(Value::String(value)) if value == only => {}
            Some(value) => {
                return Err((field, format!("is {value}: not supported, only {only:?}")));
            }
        }
    }
    for field in ["attention_bias", "mlp_bias"] {
        ensure(!flag(fields, field)?, field, || {
            "is true: not supported, the projections of a Llama have no biases".into()
        })?;
    }
    for field in ["rope_scaling", "rope_parameters"] {
        let value = fields.get(field).unwrap_or(&Value::Null);
        let kind = value.get("rope_type").or(value.get("type")).and_then(Value::as_str);
        let plain = match field {
            "rope_parameters" => kind.is_none_or(|kind| kind == "default"),
            _ => value.is_null() || kind == Some("default"),
        };
        ensure(plain, field, || {
            format!("is {value}: not supported, only unscaled rotary embeddings (default)")
        })?;
    }
    match fields.get(QUANTIZATION) {
        None => Ok(()),
        Some(value) => quantization::check(value).map_err(|problem| (QUANTIZATION, problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<LlamaConfig, Problem> {
        let mut fields = serde_json::from_str::<Map<String, Value>>(
            r#"{"hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2,
                "num_attention_heads": 4, "vocab_size": 512}"#,
        )
        .unwrap();
        fields.extend(serde_json::from_str::<Map<String, Value>>(text).unwrap());
        LlamaConfig::from_fields(fields)
    }

    #[test]
    fn absent_fields_take_the_values_that_transformers_gives_them() {
        let config = parse("{}").unwrap();
        assert_eq!((config.num_key_value_heads, config.head_dim), (4, 16));
        assert_eq!((config.rms_norm_eps, config.rope_theta), (1e-6, 10_000.0));
        assert_eq!((config.bos_token_id, config.eos_token_id), (Some(1), Some(2)));
    }

    #[test]
    fn the_rotary_base_is_found_where_either_transformers_writes_it() {
        assert_eq!(parse(r#"{"rope_theta": 5e5}"#).unwrap().rope_theta, 5e5);
        let inside = r#"{"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}"#;
        let config = parse(inside).unwrap();
        assert_eq!(config.rope_theta, 5e5);
        assert_eq!(config.to_json()["rope_parameters"]["rope_theta"], 5e5);
    }

    #[test]
    fn a_list_of_end_tokens_counts_as_its_first_and_is_written_back_whole() {
        let config = parse(r#"{"eos_token_id": [7, 9], "bos_token_id": null}"#).unwrap();
        assert_eq!((config.bos_token_id, config.eos_token_id), (None, Some(7)));
        assert_eq!(config.to_json()["eos_token_id"], json!([7, 9]));
    }

    #[test]
    fn unknown_fields_survive_and_numbers_stay_short() {
        let config = parse(r#"{"pretraining_tp": 1, "rms_norm_eps": 1e-5}"#).unwrap();
        assert_eq!(config.to_json()["pretraining_tp"], 1);
        assert_eq!(config.to_json()["rms_norm_eps"], 1e-5);
        let Value::Object(fields) = config.to_json() else { panic!("not an object") };
        let again = LlamaConfig::from_fields(fields).unwrap();
        assert_eq!(again.to_json(), config.to_json());
    }

    #[test]
    fn what_is_not_built_is_refused_by_the_name_of_its_field() {
        for (text, field) in [
            (r#"{"model_type": "mistral"}"#, "model_type"),
            (r#"{"hidden_act": "gelu"}"#, "hidden_act"),
            (r#"{"attention_bias": true}"#, "attention_bias"),
            (r#"{"mlp_bias": true}"#, "mlp_bias"),
            (r#"{"rope_scaling": {"type": "linear", "factor": 2.0}}"#, "rope_scaling"),
            (r#"{"rope_scaling": {"factor": 2.0}}"#, "rope_scaling"),
            (r#"{"rope_parameters": {"rope_type": "llama3"}}"#, "rope_parameters"),
            (r#"{"quantization_config": {}}"#, "quantization_config"),
        ] {
            let (found, problem) = parse(text).unwrap_err();
            assert_eq!(found, field);
            assert!(problem.contains("not supported"), "{problem}");
        }
    }

    #[test]
    fn impossible_shapes_are_refused_by_the_name_of_their_field() {
        for (text, field) in [
            (r#"{"num_key_value_heads": 3}"#, "num_key_value_heads"),
            (r#"{"head_dim": 5}"#, "head_dim"),
            (r#"{"head_dim": 4611686018427387904}"#, "head_dim"),
            (r#"{"head_dim": 2000000000, "hidden_size": 2000000000}"#, "hidden_size"),
            (r#"{"vocab_size": 0}"#, "vocab_size"),
            (r#"{"hidden_size": "64"}"#, "hidden_size"),
            (r#"{"num_attention_heads": 0}"#, "num_attention_heads"),
            (r#"{"rope_theta": -1}"#, "rope_theta"),
            (r#"{"eos_token_id": -1}"#, "eos_token_id"),
        ] {
            assert_eq!(parse(text).unwrap_err().0, field);
        }
    }

    #[test]
    fn presets_have_the_parameter_counts_of_llama_2() {
        let count = |name| LlamaConfig::preset(name).unwrap().parameter_count();
        assert_eq!(count("7b"), 6_738_415_616);
        assert_eq!(count("13b"), 13_015_864_320);
        assert_eq!(count("70b"), 68_976_648_192);
    }
}
