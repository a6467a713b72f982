//! Where the time of a training step goes: every operation of the step that the project quotes
//! (72.8 M parameters, 4 x 512 tokens), alone, times how often it comes up:
//! `cargo bench -p kollama-kernels --bench step [-- path [threads [f32|bf16 [part of a name]]]]`.
//! With `bf16` everything is as the step in bf16 has it.

mod arguments;

use kollama_kernels::ops::{
    self, AdamW, AttentionResult, Before, HeadGradients, Qkv, QkvGradients, attention,
    attention_backward,
};
use kollama_kernels::{DType, Device, Heads, Matrix, Span, Spans, roof};
use std::time::Instant;

const LAYERS: f64 = 8.0;
const ROWS: usize = 2048;
const HIDDEN: usize = 512;
const INNER: usize = 1376;
const VOCABULARY: usize = 46_336;
/// Rows whose logits are held at once.
const CHUNK: usize = 704;
const HEADS: Heads = Heads { queries: 8, keys: 8, size: 64 };
const RUNS: usize = 5;

struct Step {
    device: Device,
    dtype: DType,
    roof: f64,
    wanted: String,
    total: f64,
}

fn main() {
    let (path, threads, device, mut words) = arguments::read();
    let dtype = if words.next().as_deref() == Some("bf16") { DType::Bf16 } else { DType::F32 };
    let flops = roof::flops(threads, path).expect("a path of this processor") / 1e9;
    let pairs = roof::bf16_flops(threads, path).expect("a path of this processor");
    let roof = match dtype {
        DType::Bf16 => flops.max(pairs.unwrap_or(0.0) / 1e9),
        _ => flops,
    };
    let bandwidth = roof::read_bandwidth(threads, path).expect("a path of this processor") / 1e9;
    println!("{}: roof {roof:.0} GFLOP/s, memory {bandwidth:.1} GB/s", device.name());
    let wanted = words.next().unwrap_or_default();
    let mut step = Step { device, dtype, roof, wanted, total: 0.0 };
    step.products();
    step.head();
    step.attention();
    step.rows();
    step.parameters();
    println!("{:34} {:8.1} ms", "all", 1e3 * step.total);
}

impl Step {
    /// Prints one operation; `work` is in GFLOP, `bytes` in GB, 0 where that is not its limit.
    fn report(&mut self, name: &str, count: f64, (work, bytes): (f64, f64), mut run: impl FnMut()) {
        if !name.contains(&self.wanted) {
            return;
        }
        run();
        let mut seconds: Vec<f64> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let seconds = seconds[RUNS / 2];
        self.total += count * seconds;
        print!("{name:34} {:8.3} ms x {count:3} = {:7.1} ms", 1e3 * seconds, 1e3 * count * seconds);
        if work > 0.0 {
            print!(
                ", {:6.1} GFLOP/s, {:5.3} of the roof",
                work / seconds,
                work / seconds / self.roof
            );
        }
        if bytes > 0.0 {
            print!(", {:5.1} GB/s", bytes / seconds);
        }
        println!();
    }

    fn filled(&self, rows: usize, columns: usize, dtype: DType) -> Matrix {
        let mut matrix = Matrix::zeros(&self.device, rows, columns, dtype).expect("memory");
        let values: Vec<f32> = (0..columns).map(|i| (i * 7 % 61) as f32 / 61.0 - 0.5).collect();
        (0..rows).for_each(|row| matrix.write_rows(row, &values));
        matrix
    }

    fn products(&mut self) {
        for (count, inputs, outputs) in
            [(4.0, HIDDEN, HIDDEN), (2.0, HIDDEN, INNER), (1.0, INNER, HIDDEN)]
        {
            let count = LAYERS * count;
            let work = (2e-9 * (ROWS * inputs * outputs) as f64, 0.0);
            let (x, w) =
                (self.filled(ROWS, inputs, self.dtype), self.filled(outputs, inputs, self.dtype));
            let mut out = self.filled(ROWS, outputs, self.dtype);
            let mut d_x = self.filled(ROWS, inputs, self.dtype);
            let mut d_w = self.filled(outputs, inputs, DType::F32);
            let shape = format!("{inputs} to {outputs}");
            self.report(&format!("product {shape}"), count, work, || ops::matmul(&mut out, &x, &w));
            self.report(&format!("product {shape}, input"), count, work, || {
                ops::matmul_backward_input(&mut d_x, &out, &w, Before::Others);
            });
            self.report(&format!("product {shape}, weight"), count, work, || {
                ops::matmul_backward_weight(&mut d_w, &out, &x, Before::Nothing);
            });
        }
    }

    fn head(&mut self) {
        let work = 2e-9 * (CHUNK * HIDDEN * VOCABULARY) as f64;
        let count = ROWS as f64 / CHUNK as f64;
        let (x, w) =
            (self.filled(CHUNK, HIDDEN, self.dtype), self.filled(VOCABULARY, HIDDEN, self.dtype));
        let mut out = self.filled(CHUNK, VOCABULARY, self.dtype);
        let mut d_x = self.filled(CHUNK, HIDDEN, self.dtype);
        let mut d_w = self.filled(VOCABULARY, HIDDEN, DType::F32);
        let before = self.total;
        self.report("alone: head", count, (work, 0.0), || ops::matmul(&mut out, &x, &w));
        self.report("alone: head, input", count, (work, 0.0), || {
            ops::matmul_backward_input(&mut d_x, &out, &w, Before::Others);
        });
        self.report("alone: head, weight", count, (work, 0.0), || {
            ops::matmul_backward_weight(&mut d_w, &out, &x, Before::Nothing);
        });
        // The three above are inside the one below.
        self.total = before;
        let (hidden, weight) =
            (self.filled(ROWS, HIDDEN, self.dtype), self.filled(VOCABULARY, HIDDEN, self.dtype));
        let mut d_hidden = self.filled(ROWS, HIDDEN, DType::F32);
        let mut logits = self.filled(CHUNK, VOCABULARY, self.dtype);
        let mut losses = self.filled(ROWS, 2, DType::F32);
        let labels: Vec<i32> = (0..ROWS as i32).collect();
        let work = 6e-9 * (ROWS * HIDDEN * VOCABULARY) as f64;
        self.report("cross_entropy", 1.0, (work, 0.0), || {
            let gradients = HeadGradients {
                d_hidden: &mut d_hidden,
                d_weight: &mut d_w,
                scale: 1e-3,
                before: Before::Nothing,
            };
            ops::cross_entropy(
                &mut losses,
                Some(gradients),
                &mut logits,
                &hidden,
                &weight,
                &labels,
            );
        });
    }

    fn attention(&mut self) {
        let make = || self.filled(ROWS, HIDDEN, DType::F32);
        let make_activation = || self.filled(ROWS, HIDDEN, self.dtype);
        let [queries, keys, values, mut out] = [(); 4].map(|()| make_activation());
        let (d_out, mut d_queries, mut d_keys, mut d_values) = (make(), make(), make(), make());
        let mut log_sums = self.filled(ROWS, HEADS.queries, DType::F32);
        let span =
            |i: usize| Span { queries: i * 512..(i + 1) * 512, keys: i * 512..(i + 1) * 512 };
        let spans = Spans::new((0..4).map(span).collect());
        let input = Qkv { queries: &queries, keys: &keys, values: &values };
        let work = 2e-9 * (ROWS * 512 / 2 * HIDDEN) as f64;
        self.report("attention", LAYERS, (2.0 * work, 0.0), || {
            attention(&mut out, &mut log_sums, input, &spans, HEADS);
        });
        self.report("attention_backward", LAYERS, (5.0 * work, 0.0), || {
            let d_input =
                QkvGradients { queries: &mut d_queries, keys: &mut d_keys, values: &mut d_values };
            let result = AttentionResult { out: &out, log_sums: &log_sums };
            attention_backward(d_input, &d_out, result, input, &spans, HEADS);
        });
    }

    fn rows(&mut self) {
        let narrow = || self.filled(ROWS, HIDDEN, DType::F32);
        let wide = || self.filled(ROWS, INNER, self.dtype);
        let gigabytes =
            |columns: usize, times: usize| (0.0, 4e-9 * (ROWS * columns * times) as f64);
        let (x, d_out, norm) = (narrow(), narrow(), self.filled(1, HIDDEN, DType::F32));
        let (mut out, mut d_x) = (self.filled(ROWS, HIDDEN, self.dtype), narrow());
        let d_product = self.filled(ROWS, INNER, DType::F32);
        let mut d_norm = self.filled(1, HIDDEN, DType::F32);
        let turns = self.filled(ROWS, HEADS.size, DType::F32);
        let (gate, up, mut product) = (wide(), wide(), wide());
        let (mut d_gate, mut d_up) = (wide(), wide());
        let ids: Vec<u32> = (0..ROWS as u32).map(|i| i * 20).collect();
        let table = self.filled(VOCABULARY, HIDDEN, self.dtype);
        if self.dtype == DType::Bf16 {
            self.report("copy to bf16", 5.0 * LAYERS, gigabytes(HIDDEN, 2), || {
                ops::copy_rows(&mut out, 0, &d_out, 0..ROWS);
            });
        }
        self.report("rms_norm", 4.0 * LAYERS + 1.0, gigabytes(HIDDEN, 2), || {
            ops::rms_norm(&mut out, &x, &norm, 1e-5);
        });
        self.report("rms_norm_backward", 2.0 * LAYERS + 1.0, gigabytes(HIDDEN, 4), || {
            ops::rms_norm_backward(&mut d_x, &mut d_norm, &d_out, &x, &norm, 1e-5);
        });
        self.report("rope, both ways", 4.0 * LAYERS, gigabytes(HIDDEN, 2), || {
            ops::rope(&mut out, &turns, HEADS.queries);
        });
        self.report("add", 2.0 * LAYERS, gigabytes(HIDDEN, 3), || ops::add(&mut d_x, &x));
        self.report("swiglu", 2.0 * LAYERS, gigabytes(INNER, 3), || {
            ops::swiglu(&mut product, &gate, &up);
        });
        self.report("swiglu_backward", LAYERS, gigabytes(INNER, 5), || {
            ops::swiglu_backward(&mut d_gate, &mut d_up, &d_product, &gate, &up, Before::Nothing);
        });
        self.report("clear", 3.0 * LAYERS, gigabytes(HIDDEN, 1), || d_x.clear());
        self.report("embedding", 1.0, gigabytes(HIDDEN, 2), || {
            ops::embedding(&mut d_x, &table, &ids);
        });
    }

    fn parameters(&mut self) {
        let make = || self.filled(72_753_664 / HIDDEN, HIDDEN, DType::F32);
        let (mut whole, mut gradients, mut first, mut second) = (make(), make(), make(), make());
        let mut parts = (self.dtype == DType::Bf16).then(|| {
            let make = |dtype| Matrix::zeros(&self.device, whole.rows(), HIDDEN, dtype);
            let parts = (make(DType::Bf16), make(DType::Remainder));
            let (mut rounded, mut remainder) = (parts.0.expect("memory"), parts.1.expect("memory"));
            ops::split_rows(&mut rounded, &mut remainder, 0, &whole);
            (rounded, remainder)
        });
        let gigabytes = |times: f64| (0.0, 72_753_664e-9 * 4.0 * times);
        let update = AdamW {
            learning_rate: 1e-4,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.1,
            gradient_scale: 1.0,
            step: 3,
        };
        let rows = 0..gradients.rows();
        let of_table = (0.0, (VOCABULARY * HIDDEN) as f64 * 4e-9);
        self.report("clear gradients", 1.0, of_table, || gradients.clear_rows(0..VOCABULARY));
        self.report("square_sum", 1.0, gigabytes(1.0), || {
            std::hint::black_box(ops::square_sum(&gradients, rows.clone()));
        });
        self.report("adamw", 1.0, gigabytes(7.0), || {
            let (weights, remainder) = match &mut parts {
                Some((rounded, remainder)) => (rounded, Some(remainder)),
                None => (&mut whole, None),
            };
            let rows = rows.clone();
            ops::adamw(weights, remainder, &gradients, &mut first, &mut second, rows, update);
        });
    }
}
