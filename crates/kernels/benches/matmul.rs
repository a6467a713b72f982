//! Speed of the three products of a layer, in f32 and in bf16, against the roofs of this processor,
//! measured in the same run: `cargo bench -p kollama-kernels --bench matmul [-- path [threads [part of a name]]]`.

mod arguments;

use kollama_kernels::ops::{self, Before};
use kollama_kernels::{DType, Device, Matrix, roof};
use std::time::Instant;

/// Rows, input columns, output columns of a layer.
const SHAPES: [(&str, usize, usize, usize); 6] = [
    ("attention projection", 2048, 512, 512),
    ("feed-forward up", 2048, 512, 1376),
    ("feed-forward down", 2048, 1376, 512),
    ("output projection", 1024, 512, 46_336),
    ("projection of a 7B model", 512, 4096, 4096),
    ("feed-forward of a 7B model", 512, 4096, 11_008),
];
/// Rows of a model that generates.
const FEW_ROWS: [usize; 4] = [1, 4, 16, 48];
const RUNS: usize = 7;

fn main() {
    let (path, threads, device, mut words) = arguments::read();
    let wanted = words.next().unwrap_or_default();
    let flops = roof::flops(threads, path).expect("a path of this processor") / 1e9;
    let bandwidth = roof::read_bandwidth(threads, path).expect("a path of this processor") / 1e9;
    let pairs = roof::bf16_flops(threads, path).expect("a path of this processor").unwrap_or(0.0);
    let roofs = [flops, flops.max(pairs / 1e9)];
    let [_, of_bf16] = roofs;
    println!(
        "{}: roof {flops:.0} GFLOP/s, bf16 {of_bf16:.0}, memory {bandwidth:.1} GB/s",
        device.name()
    );
    for (name, rows, inputs, outputs) in SHAPES {
        if name.contains(&wanted) {
            products(
                &device,
                &format!("{name} {rows} x {inputs} x {outputs}"),
                rows,
                inputs,
                outputs,
                roofs,
            );
        }
    }
    for dtype in [DType::F32, DType::Bf16] {
        if "few rows".contains(&wanted) {
            few_rows(&device, dtype, bandwidth);
        }
    }
}

fn products(
    device: &Device,
    name: &str,
    rows: usize,
    inputs: usize,
    outputs: usize,
    [roof, roof_of_bf16]: [f64; 2],
) {
    let work = 2.0 * (rows * inputs * outputs) as f64 / 1e9;
    println!("{name}");
    let report_share = |name: &str, roof: f64, seconds: [f64; 2]| {
        let [best, median] = seconds.map(|seconds| work / seconds);
        let [best_share, share] = [best, median].map(|rate| 100.0 * rate / roof);
        println!(
            "    {name:22} best {best:6.1} GFLOP/s {best_share:5.1} % of the roof, \
             median {median:6.1} GFLOP/s {share:5.1} %"
        );
    };
    let report = |name: &str, seconds: [f64; 2]| report_share(name, roof, seconds);
    let x = filled(device, rows, inputs, DType::F32);
    let w = filled(device, outputs, inputs, DType::F32);
    let short = filled(device, outputs, inputs, DType::Bf16);
    let mut out = filled(device, rows, outputs, DType::F32);
    report("forward", seconds(|| ops::matmul(&mut out, &x, &w)));
    report("forward, bf16 weight", seconds(|| ops::matmul(&mut out, &x, &short)));
    let mut d_x = filled(device, rows, inputs, DType::F32);
    report(
        "backward input",
        seconds(|| ops::matmul_backward_input(&mut d_x, &out, &w, Before::Others)),
    );
    let mut d_w = filled(device, outputs, inputs, DType::F32);
    report(
        "backward weight",
        seconds(|| ops::matmul_backward_weight(&mut d_w, &out, &x, Before::Others)),
    );
    let report = |name: &str, seconds: [f64; 2]| report_share(name, roof_of_bf16, seconds);
    let (x, w) = (filled(device, rows, inputs, DType::Bf16), short);
    let mut out = filled(device, rows, outputs, DType::Bf16);
    let mut d_x = filled(device, rows, inputs, DType::Bf16);
    report("bf16 forward", seconds(|| ops::matmul(&mut out, &x, &w)));
    report(
        "bf16 backward input",
        seconds(|| ops::matmul_backward_input(&mut d_x, &out, &w, Before::Others)),
    );
    report(
        "bf16 backward weight",
        seconds(|| ops::matmul_backward_weight(&mut d_w, &out, &x, Before::Others)),
    );
}

fn few_rows(device: &Device, dtype: DType, bandwidth: f64) {
    let (inputs, outputs) = (4096, 11_008);
    let w = filled(device, outputs, inputs, dtype);
    println!("few rows x {inputs} x {outputs}, {dtype:?} weight");
    for rows in FEW_ROWS {
        let x = filled(device, rows, inputs, DType::F32);
        let mut out = filled(device, rows, outputs, DType::F32);
        let [best, median] = seconds(|| ops::matmul(&mut out, &x, &w));
        let [rate, median] = [best, median].map(|seconds| w.bytes() as f64 / seconds / 1e9);
        let share = 100.0 * rate / bandwidth;
        println!(
            "    {rows:2} rows {:7.2} ms, weight read at {rate:5.1} GB/s, {share:5.1} % of memory, \
             median {median:5.1} GB/s",
            1e3 * best
        );
    }
}

fn filled(device: &Device, rows: usize, columns: usize, dtype: DType) -> Matrix {
    let mut matrix = Matrix::zeros(device, rows, columns, dtype).expect("memory");
    let values: Vec<f32> = (0..rows * columns).map(|i| (i * 7 % 61) as f32 / 61.0 - 0.5).collect();
    matrix.write_rows(0, &values);
    matrix
}

/// Seconds of the best run and of the median run, after one that warms up.
fn seconds(mut run: impl FnMut()) -> [f64; 2] {
    run();
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    [seconds[0], seconds[RUNS / 2]]
}
