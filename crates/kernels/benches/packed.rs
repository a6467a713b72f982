//! Speed of products with packed weights against the roofs of this processor, measured in the same
//! run: `cargo bench -p kollama-kernels --bench packed [-- path [threads [part of a name]]]`. Few rows
//! are bound by memory, many by the products of bytes or bf16.

mod arguments;

use kollama_kernels::{CpuPath, DType, Device, Matrix, ops, roof};
use std::time::Instant;

/// Input columns and output columns of the products of two models, of 1.16 and 6.86 billion weights.
const SHAPES: [(&str, usize, usize); 9] = [
    ("1b attention", 2048, 2048),
    ("1b keys", 2048, 256),
    ("1b up", 2048, 5632),
    ("1b down", 5632, 2048),
    ("1b vocabulary", 2048, 46_336),
    ("7b attention", 4096, 4096),
    ("7b up", 4096, 11_008),
    ("7b down", 11_008, 4096),
    ("7b vocabulary", 4096, 46_336),
];
const ROWS: [usize; 7] = [1, 2, 4, 8, 16, 64, 512];
const DTYPES: [DType; 3] = [DType::PackedBf16, DType::Q8, DType::Q4];
/// Weights of a shape together take at least so much, so that none is found in a cache.
const BEYOND_CACHES: usize = 192 << 20;
/// Seconds that a figure takes at least.
const LONG_ENOUGH: f64 = 0.15;

fn main() {
    let (path, threads, device, words) = arguments::read();
    let wanted: Vec<String> = words.collect();
    let roofs = Roofs::measured(threads, path);
    println!(
        "{}: memory {:.1} GB/s, bf16 {:.0}, bytes {:.0} billion operations/s",
        device.name(),
        roofs.memory,
        roofs.bf16,
        roofs.bytes
    );
    let names = |name: &str| wanted.iter().all(|word| name.contains(word.as_str()));
    for (shape, inputs, outputs) in SHAPES {
        for dtype in DTYPES.into_iter().filter(|dtype| names(&format!("{shape} {dtype:?}"))) {
            println!("{shape} {inputs} x {outputs}, {dtype:?}");
            bench(&device, dtype, (inputs, outputs), &roofs);
        }
    }
}

struct Roofs {
    memory: f64,
    bf16: f64,
    bytes: f64,
}

impl Roofs {
    fn measured(threads: usize, path: CpuPath) -> Roofs {
        let of = |roof: fn(usize, CpuPath) -> Result<f64, kollama_kernels::KernelError>| {
            roof(threads, path).expect("a path of this processor") / 1e9
        };
        let pairs = roof::bf16_flops(threads, path).expect("a path of this processor");
        Roofs {
            memory: of(roof::read_bandwidth),
            bf16: of(roof::flops).max(pairs.unwrap_or(0.0) / 1e9),
            bytes: of(roof::int8_ops),
        }
    }
}

fn bench(device: &Device, dtype: DType, (inputs, outputs): (usize, usize), roofs: &Roofs) {
    let bytes = dtype.matrix_bytes(outputs, inputs);
    let first = packed(device, dtype, inputs, outputs);
    let copies = (BEYOND_CACHES / bytes).max(1);
    let weights: Vec<Matrix> = std::iter::once(first)
        .chain((1..copies).map(|_| packed(device, dtype, inputs, outputs)))
        .collect();
    let rows = filled(device, outputs, inputs);
    let mut out = Matrix::zeros(device, outputs, inputs, dtype).expect("memory");
    let [best, _] = seconds(&[rows], |rows| ops::pack(&mut out, 0, rows));
    println!("    packing {:.0} million weights/s", 1e-6 * (inputs * outputs) as f64 / best);
    let products = if dtype == DType::PackedBf16 { roofs.bf16 } else { roofs.bytes };
    for rows in ROWS {
        let x = filled(device, rows, inputs);
        let mut out = Matrix::zeros(device, rows, outputs, DType::F32).expect("memory");
        let [best, median] = seconds(&weights, |w| ops::matmul(&mut out, &x, w));
        let shares = |seconds: f64| {
            let rate = bytes as f64 / seconds / 1e9;
            let work = 2.0 * (rows * inputs * outputs) as f64 / seconds / 1e9;
            (rate, 100.0 * rate / roofs.memory, work, 100.0 * work / products)
        };
        let (rate, of_memory, work, of_products) = shares(best);
        let (_, memory_again, _, products_again) = shares(median);
        println!(
            "    {rows:3} rows {:8.3} ms, memory {rate:5.1} GB/s {of_memory:3.0} %, \
             products {work:6.1} {of_products:3.0} %; median {:8.3} ms, {memory_again:3.0} %, {products_again:3.0} %",
            1e3 * best,
            1e3 * median
        );
    }
}

fn filled(device: &Device, rows: usize, columns: usize) -> Matrix {
    let values: Vec<f32> = (0..rows * columns).map(|i| (i * 7 % 61) as f32 / 61.0 - 0.5).collect();
    Matrix::from_values(device, rows, columns, &values).expect("memory")
}

/// A weight of which every panel is the same.
fn packed(device: &Device, dtype: DType, inputs: usize, outputs: usize) -> Matrix {
    let rows = filled(device, DType::PANEL_ROWS, inputs);
    let mut panel = Matrix::zeros(device, DType::PANEL_ROWS, inputs, dtype).expect("memory");
    ops::pack(&mut panel, 0, &rows);
    let mut bytes = vec![0; panel.bytes()];
    panel.read_row_bytes(0, &mut bytes);
    let mut weight = Matrix::zeros(device, outputs, inputs, dtype).expect("memory");
    for first in (0..outputs).step_by(DType::PANEL_ROWS) {
        weight.write_row_bytes(first, &bytes);
    }
    weight
}

/// Each weight in turn; seconds of the best run and of the median run.
fn seconds(weights: &[Matrix], mut run: impl FnMut(&Matrix)) -> [f64; 2] {
    run(&weights[0]);
    let (mut seconds, began) = (Vec::new(), Instant::now());
    while seconds.len() < 3 || began.elapsed().as_secs_f64() < LONG_ENOUGH {
        for weight in weights {
            let start = Instant::now();
            run(weight);
            seconds.push(start.elapsed().as_secs_f64());
            if began.elapsed().as_secs_f64() > LONG_ENOUGH && seconds.len() >= 3 {
                break;
            }
        }
    }
    seconds.sort_by(f64::total_cmp);
    [seconds[0], seconds[seconds.len() / 2]]
}
