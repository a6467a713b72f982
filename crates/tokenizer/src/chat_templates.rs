//! Chat templates, in the three places where transformers keeps them.
//!
//! A field of `tokenizer_config.json` (one template, or a list of named ones), a `chat_template.jinja`
//! beside it, and named ones in `additional_chat_templates/`. They are kept to the letter and never
//! run.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::TokenizerError;
use crate::files;

const DEFAULT: &str = "chat_template.jinja";
const NAMED: &str = "additional_chat_templates";

/// The template files of a folder: each one's path in it, and its text.
pub fn read(folder: &Path) -> Result<Vec<(String, String)>, TokenizerError> {
    let mut found = Vec::new();
    for path in paths(folder) {
        let text = files::read_text_if_there(&folder.join(&path))?;
        found.extend(text.map(|text| (path, text)));
    }
    Ok(found)
}

/// Where template files may be in a folder, in order.
fn paths(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join(NAMED)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let named = names.filter(|name| name.ends_with(".jinja")).map(|name| format!("{NAMED}/{name}"));
    let mut paths: Vec<String> = named.chain([DEFAULT.to_owned()]).collect();
    paths.sort();
    paths
}

/// The template that is meant where none is named: that of the file goes before that of the field.
pub fn of(config: &Value, template_files: &[(String, String)]) -> Option<String> {
    if let Some((_, text)) = template_files.iter().find(|(path, _)| path == DEFAULT) {
        return Some(text.clone());
    }
    let field = &config["chat_template"];
    let named = field.as_array().and_then(|all| all.iter().find(|one| one["name"] == "default"));
    let named = named.and_then(|one| one["template"].as_str());
    field.as_str().or(named).map(str::to_owned)
}

/// Writes the template files; those of another tokenizer that stood there are removed.
pub fn write(folder: &Path, template_files: &[(String, String)]) -> Result<(), TokenizerError> {
    let is_ours = |path: &String| template_files.iter().any(|(ours, _)| ours == path);
    for path in paths(folder).iter().filter(|path| !is_ours(path)) {
        files::remove_if_there(&folder.join(path))?;
    }
    if template_files.iter().any(|(path, _)| path != DEFAULT) {
        files::make_folder(&folder.join(NAMED))?;
    }
    template_files
        .iter()
        .try_for_each(|(path, text)| files::write(&folder.join(path), text.as_bytes()))
}
