//! One name for everything of a model that its answers depend on, whatever file it came from.

use crate::model::Llama;
use kollama_kernels::Matrix;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Bytes that are hashed at once, about.
const PIECE_BYTES: usize = 1 << 20;

impl Llama {
    /// SHA-256, in hexadecimal, over the configuration and every matrix as it is held: its name, its
    /// shape, its type and all its bytes. A model that learned for one more step has another one, and
    /// so has the same model held in fewer bits. Reads all weights, on every core.
    pub fn fingerprint(&self) -> String {
        let weights = self.parameters.named();
        let next = AtomicUsize::new(0);
        let hash_some = || {
            let mut hashes = Vec::new();
            while let Some((name, weight)) = weights.get(next.fetch_add(1, Ordering::Relaxed)) {
                hashes.push((name, hash_of(name, weight)));
            }
            hashes
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut hashes: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(hash_some)).collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined
                .flat_map(|hashes| hashes.unwrap_or_else(|e| std::panic::resume_unwind(e)))
                .collect()
        });
        hashes.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(self.config.to_json().to_string());
        hashes.iter().for_each(|(_, of_weight)| hash.update(of_weight));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn hash_of(name: &str, weight: &Matrix) -> [u8; 32] {
    let (step, dtype) = (weight.dtype().rows_at_once(), weight.dtype());
    let bytes = dtype.matrix_bytes(step, weight.columns());
    let (at_once, all) = ((PIECE_BYTES / bytes).max(1), weight.rows().div_ceil(step));
    let mut hash = Sha256::new();
    hash.update(format!("{name} {weight:?}\n"));
    let mut piece = vec![0; at_once.min(all) * bytes];
    for first in (0..all).step_by(at_once) {
        let piece = &mut piece[..at_once.min(all - first) * bytes];
        weight.read_row_bytes(first * step, piece);
        hash.update(piece);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LlamaConfig, StoredType, init_checkpoint};
    use kollama_kernels::{DType, Device};

    #[test]
    fn a_bit_of_any_matrix_or_of_the_configuration_or_fewer_bits_make_another_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let tiny = LlamaConfig::preset("tiny").unwrap();
        let config = LlamaConfig { vocab_size: 70, ..tiny };
        init_checkpoint(&config, 5, StoredType::F32, &path, &mut |_, _| ()).unwrap();
        let open = |dtype| Llama::open_as(&path, &Device::cpu(2).unwrap(), dtype).unwrap();
        let mut model = open(DType::F32);
        let before = model.fingerprint();
        assert_eq!(before, open(DType::F32).fingerprint());
        let mut seen = vec![before];
        let mut is_new = |model: &Llama| {
            let is_new = !seen.contains(&model.fingerprint());
            seen.push(model.fingerprint());
            is_new
        };
        for dtype in [DType::Bf16, DType::PackedBf16, DType::Q8, DType::Q4] {
            assert!(is_new(&open(dtype)), "{dtype:?}");
        }
        for place in 0..model.parameters.named().len() {
            let (name, matrix) = model.parameters.named_mut().swap_remove(place);
            let mut values = matrix.to_vec();
            let last = values.last_mut().unwrap();
            *last = f32::from_bits(last.to_bits() ^ 1);
            matrix.write_rows(0, &values);
            assert!(is_new(&model), "{name}");
        }
        model.config.rope_theta += 1.0;
        assert!(is_new(&model));
    }
}
