//! Inputs that fuzzing has found once: each is an error or a sound tokenizer by the checks of `fuzz/`.

#[path = "../../../fuzz/targets/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

#[test]
fn what_was_found_is_found_no_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("a file");
        println!("{}", path.display());
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => checks::json(&bytes),
            Some("model") => checks::model(&bytes),
            _ => panic!("{}: neither .json nor .model", path.display()),
        }
        count += 1;
    }
    assert!(count >= 4);
}
