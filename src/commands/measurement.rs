//! Facts of one measurement: how they are gathered and printed. Measures nothing itself.

use anyhow::Result;
use serde_json::Value;
use std::fs;
use std::io::{Write, stdout};

/// Names and values, in the order in which they are printed.
pub type Facts = Vec<(String, Value)>;

/// One of them.
pub fn fact(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}

/// As one JSON object, or a line each.
pub fn print(json: bool, facts: &Facts) -> Result<()> {
    let mut out = stdout().lock();
    if json {
        let object: serde_json::Map<String, Value> = facts.iter().cloned().collect();
        writeln!(out, "{}", Value::Object(object))?;
        return Ok(());
    }
    for (name, value) in facts {
        match value.as_f64().filter(|_| value.is_f64()) {
            Some(number) => writeln!(out, "{name:32} {number:.3}")?,
            None => writeln!(
                out,
                "{name:32} {}",
                value.as_str().map_or(value.to_string(), str::to_owned)
            )?,
        }
    }
    Ok(())
}

/// The middle one; of an even number the higher of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Highest memory of this process so far, in bytes; 0 where the system does not tell.
pub fn peak_memory() -> u64 {
    kibibytes("/proc/self/status", "VmHWM:").unwrap_or(0) * 1024
}

/// Bytes that this machine can still give without paging; `None` where the system does not tell.
pub fn free_memory() -> Option<u64> {
    Some(kibibytes("/proc/meminfo", "MemAvailable:")? * 1024)
}

/// A line like `VmHWM:  1234 kB` of a file of the system.
fn kibibytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
