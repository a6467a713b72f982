//! Any bytes as a `tokenizer.json`: an error or a tokenizer, never a panic.
#![no_main]

#[path = "checks.rs"]
mod checks;
#[path = "mutate_json.rs"]
mod mutate_json;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| checks::json(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let structured =
        if seed % 4 > 0 { mutate_json::mutate(data, size, max_size, seed) } else { None };
    structured.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
