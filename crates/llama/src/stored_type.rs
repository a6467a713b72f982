//! How weights are stored in a file, and the way from there to `f32` and back. Knows single values
//! only, neither tensors nor files.

use ::safetensors::tensor::Dtype;
use half::{bf16, f16};

/// How weights are stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredType {
    /// IEEE 754 single precision.
    F32,
    /// The upper half of an `f32`.
    Bf16,
    /// IEEE 754 half precision.
    F16,
}

impl StoredType {
    /// Bytes of one value.
    pub const fn bytes(self) -> usize {
        match self {
            StoredType::F32 => 4,
            StoredType::Bf16 | StoredType::F16 => 2,
        }
    }

    /// Its name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            StoredType::F32 => "float32",
            StoredType::Bf16 => "bfloat16",
            StoredType::F16 => "float16",
        }
    }

    pub(crate) fn of(dtype: Dtype) -> Option<StoredType> {
        match dtype {
            Dtype::F32 => Some(StoredType::F32),
            Dtype::BF16 => Some(StoredType::Bf16),
            Dtype::F16 => Some(StoredType::F16),
            _ => None,
        }
    }

    pub(crate) fn dtype(self) -> Dtype {
        match self {
            StoredType::F32 => Dtype::F32,
            StoredType::Bf16 => Dtype::BF16,
            StoredType::F16 => Dtype::F16,
        }
    }

    /// Replaces `values` by those that `bytes` store.
    pub(crate) fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        values.clear();
        let pairs = bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
        match self {
            StoredType::F32 => values.extend(
                bytes
                    .chunks_exact(4)
                    .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])),
            ),
            StoredType::Bf16 => values.extend(pairs.map(|pair| bf16::from_le_bytes(pair).to_f32())),
            StoredType::F16 => values.extend(pairs.map(|pair| f16::from_le_bytes(pair).to_f32())),
        }
    }

    /// Replaces `bytes` by what stores `values`, rounded to nearest even.
    pub(crate) fn encode(self, values: &[f32], bytes: &mut Vec<u8>) {
        bytes.clear();
        match self {
            StoredType::F32 => bytes.extend(values.iter().flat_map(|x| x.to_le_bytes())),
            StoredType::Bf16 => {
                bytes.extend(values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()));
            }
            StoredType::F16 => {
                bytes.extend(values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_each_type_and_round_to_nearest_even() {
        let values = [0.0, -1.5, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0];
        let through = |stored: StoredType| {
            let (mut bytes, mut back) = (Vec::new(), Vec::new());
            stored.encode(&values, &mut bytes);
            assert_eq!(bytes.len(), values.len() * stored.bytes());
            stored.decode(&bytes, &mut back);
            back
        };
        assert_eq!(through(StoredType::F32), values);
        assert_eq!(through(StoredType::F16), values);
        assert_eq!(through(StoredType::Bf16), [0.0, -1.5, 1.0, 1.0 + 4.0 / 256.0]);
    }
}
