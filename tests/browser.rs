//! The page in a browser: starts what the tests in `tests/browser/` need and runs them with node. Where
//! node, its packages or Chromium are not there, says so in one line and skips.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

mod program;

use program::{PROGRAM, Workplace};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A template as tuned models have one, in small.
const TEMPLATE: &str = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}\
                        {% if add_generation_prompt %}assistant:{% endif %}";

#[test]
fn the_page_does_in_a_browser_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let chromium = match everything_needed(&folder) {
        Ok(chromium) => chromium,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let place = Workplace::new();
    place.done("quickstart --out first --minutes 0.05");
    // It never ends by itself, so that what is counted is what was asked for.
    place.edit_json("first/train/config.json", |config| config["eos_token_id"] = 0.into());
    place.shell("cp -r first/train talking");
    place.edit_json("talking/tokenizer_config.json", |config| {
        config["chat_template"] = TEMPLATE.into();
    });
    place.write("key", "secret\n");
    let status = Command::new("node")
        // A test that hangs is one that fails.
        .args(["--test", "--test-concurrency=2", "--test-timeout=300000", "--test-reporter=spec"])
        .current_dir(&folder)
        .env("KOLLAMA_PROGRAM", PROGRAM)
        .env("KOLLAMA_PLACE", place.path("."))
        .env("KOLLAMA_CHROMIUM", chromium)
        .status()
        .unwrap();
    assert!(status.success(), "see above what the page did not do");
}

/// Where Chromium is, or what is not there.
fn everything_needed(folder: &Path) -> Result<PathBuf, &'static str> {
    if node_version().is_none_or(|version| version < 20) {
        return Err("node 20 or newer is not there, the page is not tested in a browser");
    }
    if !folder.join("node_modules").exists() {
        return Err("`npm ci` was not run in tests/browser, the page is not tested in a browser");
    }
    chromium().ok_or("Chromium is not there (KOLLAMA_CHROMIUM names it), the page is not tested")
}

/// The first number of what node calls itself.
fn node_version() -> Option<u32> {
    let answer = Command::new("node").arg("--version").output().ok()?;
    let version = String::from_utf8(answer.stdout).ok()?;
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

fn chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("KOLLAMA_CHROMIUM") {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let places = std::env::split_paths(&path);
    places.flat_map(|folder| names.map(|name| folder.join(name))).find(|file| file.exists())
}
