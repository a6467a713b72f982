//! Any bytes as a `tokenizer.model`: an error or a tokenizer, never a panic.
#![no_main]

#[path = "checks.rs"]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| checks::model(bytes));
