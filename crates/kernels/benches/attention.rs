//! Attention of one new token to a long cache against the memory roof of this processor, measured
//! in the same run: `cargo bench -p kollama-kernels --bench attention [-- path [threads]]`.

mod arguments;

use kollama_kernels::ops::{self, Qkv};
use kollama_kernels::{DType, Device, Heads, Matrix, Span, Spans, roof};
use std::time::Instant;

const SHAPES: [(&str, Heads, usize); 2] = [
    ("a 1.16B model", Heads { queries: 32, keys: 4, size: 64 }, 22),
    ("a 7B model", Heads { queries: 32, keys: 32, size: 128 }, 4),
];
const KEYS: usize = 4000;
/// New tokens of a call: one, and a draft that is checked.
const QUERIES: [usize; 2] = [1, 5];
const DTYPES: [DType; 3] = [DType::F32, DType::Bf16, DType::Q8Rows];
const RUNS: usize = 7;

fn main() {
    let (path, threads, device, _) = arguments::read();
    let bandwidth = roof::read_bandwidth(threads, path).expect("a path of this processor") / 1e9;
    println!("{}: memory {bandwidth:.1} GB/s, {KEYS} keys", device.name());
    for (name, heads, layers) in SHAPES {
        for dtype in DTYPES {
            for queries in QUERIES {
                let (bytes, seconds) = all_layers(&device, heads, layers, dtype, queries);
                let (ms, rate) = (1e3 * seconds, bytes as f64 / seconds / 1e9);
                println!(
                    "    {name}, {layers} layers, {dtype:?}, {queries} queries: {ms:6.2} ms, \
                     {rate:5.1} GB/s, {:4.0} % of the memory roof",
                    100.0 * rate / bandwidth
                );
            }
        }
    }
}

/// Bytes of all keys and values, and the median time to attend to them, layer after layer.
fn all_layers(
    device: &Device,
    heads: Heads,
    layers: usize,
    dtype: DType,
    queries: usize,
) -> (usize, f64) {
    let cache: Vec<[Matrix; 2]> = (0..layers)
        .map(|_| [(); 2].map(|()| filled(device, KEYS, heads.key_columns(), dtype)))
        .collect();
    let asked = filled(device, queries, heads.query_columns(), DType::F32);
    let mut out = filled(device, queries, heads.query_columns(), DType::F32);
    let mut log_sums = filled(device, queries, heads.queries, DType::F32);
    let spans = Spans::new(vec![Span { queries: 0..queries, keys: 0..KEYS }]);
    let mut once = || {
        let began = Instant::now();
        for [keys, values] in &cache {
            let input = Qkv { queries: &asked, keys, values };
            ops::attention(&mut out, &mut log_sums, input, &spans, heads);
        }
        began.elapsed().as_secs_f64()
    };
    once();
    let mut seconds: Vec<f64> = (0..RUNS).map(|_| once()).collect();
    seconds.sort_by(f64::total_cmp);
    (cache.iter().flatten().map(Matrix::bytes).sum(), seconds[RUNS / 2])
}

fn filled(device: &Device, rows: usize, columns: usize, dtype: DType) -> Matrix {
    let mut matrix = Matrix::zeros(device, rows, columns, dtype).expect("memory");
    let values: Vec<f32> =
        (0..rows * columns).map(|i| (i * 2_654_435_761 % 1024) as f32 / 512.0 - 1.0).collect();
    matrix.write_rows(0, &values);
    matrix
}
