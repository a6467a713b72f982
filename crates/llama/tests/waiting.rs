//! Rows that wait for their output projection: from many batches, with labels asked afterwards.

#![allow(clippy::unwrap_used)] // What cannot fail in a test's own preparation may end the test.

use kollama_kernels::{Device, Span, Spans};
use kollama_llama::{Batch, KvCache, Llama, LlamaConfig, StoredType, init_checkpoint};

fn model() -> Llama {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let tiny = LlamaConfig::preset("tiny").unwrap();
    let config = LlamaConfig { vocab_size: 300, initializer_range: 0.3, ..tiny };
    init_checkpoint(&config, 5, StoredType::F32, &path, &mut |_, _| ()).unwrap();
    Llama::open(&path, &Device::cpu(2).unwrap()).unwrap()
}

#[test]
fn few_wanted_rows_of_many_batches_get_the_bits_of_all_rows_of_one() {
    let (model, ids) = (model(), (0..200).map(|i| i * i % 300).collect::<Vec<u32>>());
    let cache = || KvCache::new(&model.config, &model.device, 200).unwrap();
    let whole =
        Batch { ids: ids.clone(), spans: Spans::of_lengths([200]), wanted: (0..200).collect() };
    let expected: Vec<Vec<(f32, bool)>> =
        [7, 8].map(|label| model.score(&whole, &[label; 200], &mut cache())).into_iter().collect();
    let (mut cache, mut wanted) = (cache(), Vec::new());
    for (rows, asked) in [(0..90, vec![3, 4, 89]), (90..130, vec![]), (130..200, vec![0, 69])] {
        wanted.extend(asked.iter().map(|row| rows.start + *row as usize));
        let spans = vec![Span { queries: 0..rows.len(), keys: 0..rows.end }];
        let batch = Batch { ids: ids[rows].to_vec(), spans: Spans::new(spans), wanted: asked };
        model.read(&batch, &mut cache);
        assert_eq!(cache.waiting_rows(), wanted.len());
    }
    let asked = [(0, 7), (0, 8), (1, 8), (3, 7), (4, 8)];
    let found = model.losses(&asked, &mut cache);
    let of_asked = |&(row, label): &(u32, u32)| expected[label as usize - 7][wanted[row as usize]];
    assert_eq!(found, asked.iter().map(of_asked).collect::<Vec<_>>());
    assert_eq!(cache.waiting_rows(), 0);
}
