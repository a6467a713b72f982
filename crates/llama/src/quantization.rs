//! What `config.json` says of quantised weights: the method, the format and the version of the layout
//! of its bytes. Programs that do not know the method refuse the folder by its name. The layout itself
//! is that of the packed matrices of `kollama-kernels`.

use kollama_kernels::DType;
use serde_json::{Value, json};

/// The method, as others see it in `quant_method`.
const METHOD: &str = "kollama";
/// Goes up when the bytes of packed matrices change.
const LAYOUT: u64 = 1;

/// The formats and their names.
const FORMATS: [(DType, &str); 2] = [(DType::Q8, "q8"), (DType::Q4, "q4")];

/// The name of a quantised format.
pub(crate) fn name(weights: DType) -> Option<&'static str> {
    FORMATS.iter().find(|(dtype, _)| *dtype == weights).map(|(_, name)| *name)
}

/// What is written.
pub(crate) fn description(weights: DType) -> Value {
    json!({ "quant_method": METHOD, "format": name(weights), "layout": LAYOUT })
}

/// The format that is described, if it is one of ours.
pub(crate) fn stored(description: &Value) -> Option<DType> {
    let format = description.get("format")?.as_str()?;
    FORMATS.iter().find(|(_, name)| *name == format).map(|(dtype, _)| *dtype)
}

/// Says why a description is not one that can be read here.
pub(crate) fn check(description: &Value) -> Result<(), String> {
    let field = |name: &str| description.get(name).unwrap_or(&Value::Null);
    let (method, layout) = (field("quant_method"), field("layout"));
    if method != METHOD {
        return Err(format!(
            "names the method {method}: not supported, give the model as float32, bfloat16 or \
             float16, or quantize it with `kollama model quantize`"
        ));
    }
    if *layout != LAYOUT {
        return Err(format!(
            "names layout {layout}, but this version reads layout {LAYOUT}: quantize the original \
             model again with `kollama model quantize`"
        ));
    }
    match stored(description) {
        Some(_) => Ok(()),
        None => Err(format!("names the format {}: expected q8 or q4", field("format"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_understood_and_nothing_else() {
        for (dtype, _) in FORMATS {
            assert_eq!(check(&description(dtype)), Ok(()));
            assert_eq!(stored(&description(dtype)), Some(dtype));
        }
        let changed = |name: &str, value: Value| {
            let mut changed = description(DType::Q4);
            changed[name] = value;
            check(&changed).unwrap_err()
        };
        assert!(changed("quant_method", "gptq".into()).contains("\"gptq\": not supported"));
        assert!(changed("layout", 2.into()).contains("layout 2, but this version reads layout 1"));
        assert!(changed("format", "q3".into()).contains("\"q3\": expected q8 or q4"));
        assert!(check(&Value::Null).unwrap_err().contains("null: not supported"));
    }
}
