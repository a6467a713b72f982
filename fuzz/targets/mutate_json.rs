//! Changes JSON that stays JSON: chance alone would spend its time on commas and quotes.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::Value;

/// Changes one value of a document, in place; `None` where there is no document or no room.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    let mut document: Value = serde_json::from_slice(&data[..size]).ok()?;
    let mut random = Random(u64::from(seed));
    let count = count(&document);
    let other = at(&mut document, &mut random.below(count))?.clone();
    let value = at(&mut document, &mut random.below(count))?;
    change(value, other, &mut random);
    let bytes = serde_json::to_vec(&document).ok()?;
    let room = data.get_mut(..bytes.len().min(max_size + 1))?;
    (bytes.len() <= max_size).then(|| room.copy_from_slice(&bytes))?;
    Some(bytes.len())
}

fn change(value: &mut Value, other: Value, random: &mut Random) {
    match random.below(6) {
        0 => *value = other,
        1 => *value = Value::from(random.below(300)),
        2 => *value = [Value::Null, true.into(), false.into()][random.below(3)].clone(),
        _ => change_inside(value, other, random),
    }
}

fn change_inside(value: &mut Value, other: Value, random: &mut Random) {
    match value {
        Value::String(text) => *text = changed_text(text),
        Value::Array(items) if !items.is_empty() && random.below(2) == 0 => {
            items.remove(random.below(items.len()));
        }
        Value::Array(items) => items.insert(random.below(items.len() + 1), other),
        Value::Object(fields) => {
            let key = fields.keys().nth(random.below(fields.len().max(1))).cloned();
            let key = key.unwrap_or_default();
            let taken = fields.remove(&key).unwrap_or_default();
            match random.below(3) {
                0 => {}
                1 => drop(fields.insert(changed_text(&key), taken)),
                _ => drop(fields.insert(key, other)),
            }
        }
        _ => *value = other,
    }
}

fn changed_text(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let length = bytes.len();
    bytes.resize(length + 8, 0);
    let length = fuzzer_mutate(&mut bytes, length, length + 8);
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The value number `left` in the order of the text.
fn at<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| at(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|item| at(item, left)),
        _ => None,
    }
}

struct Random(u64);

impl Random {
    /// A number below `below` (xorshift, after a step that spreads small seeds).
    fn below(&mut self, below: usize) -> usize {
        self.0 = (self.0 | 1 << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
        (self.0 >> 11) as usize % below
    }
}
