//! Gradients that nothing stands in before: an operation gives them the bits that it gives zeros it adds to.

use crate::numbers::{Values, cpu_devices};
use kollama_kernels::ops::{self, Before, HeadGradients};
use kollama_kernels::{DType, Device, Matrix};

fn devices() -> Vec<Device> {
    [Device::reference()].into_iter().chain([1, 3].into_iter().flat_map(cpu_devices)).collect()
}

/// `run` gives its gradients of these shapes the same bits on top of zeros and instead of NaN.
fn check(case: &str, shapes: &[(usize, usize)], dtype: DType, run: impl Fn(&mut [Matrix], Before)) {
    for device in devices() {
        let gradients = |value: f32, before| {
            let made = |&(rows, columns)| {
                let values = vec![value; rows * columns];
                Values { rows, columns, values }.stored_as(dtype, &device)
            };
            let mut gradients: Vec<Matrix> = shapes.iter().map(made).collect();
            run(&mut gradients, before);
            let values = gradients.iter().flat_map(Matrix::to_vec);
            values.map(f32::to_bits).collect::<Vec<_>>()
        };
        let (added, begun) = (gradients(0.0, Before::Others), gradients(f32::NAN, Before::Nothing));
        assert!(added == begun, "{case}, {dtype:?} on {}", device.name());
    }
}

/// More rows than a chunk or a tile, and a depth of more than one block.
const SIZES: [(usize, usize, usize); 4] = [(1, 1, 1), (5, 33, 70), (70, 45, 1100), (40, 1030, 36)];

#[test]
fn products() {
    for (rows, outputs, inputs) in SIZES {
        for dtype in [DType::F32, DType::Bf16] {
            let case = format!("{rows} x {outputs} x {inputs}");
            let d_out = |device: &Device| Values::random(1, rows, outputs).stored_as(dtype, device);
            check(&case, &[(rows, inputs)], dtype, |d, before| {
                let device = d[0].device().clone();
                let w = Values::random(2, outputs, inputs).stored_as(dtype, &device);
                ops::matmul_backward_input(&mut d[0], &d_out(&device), &w, before);
            });
            check(&case, &[(outputs, inputs)], DType::F32, |d, before| {
                let device = d[0].device().clone();
                let x = Values::random(3, rows, inputs).stored_as(dtype, &device);
                ops::matmul_backward_weight(&mut d[0], &d_out(&device), &x, before);
            });
        }
    }
}

#[test]
fn gated_activations() {
    for dtype in [DType::F32, DType::Bf16] {
        check("swiglu", &[(7, 70), (7, 70)], dtype, |d, before| {
            let device = d[0].device().clone();
            let [gate, up, d_out] =
                [1, 2, 3].map(|seed| Values::random(seed, 7, 70).stored_as(dtype, &device));
            let [d_gate, d_up] = d else { panic!("two gradients") };
            ops::swiglu_backward(d_gate, d_up, &d_out, &gate, &up, before);
        });
    }
}

#[test]
fn output_projections() {
    for (dtype, rows) in [(DType::F32, 11), (DType::Bf16, 11), (DType::Bf16, 0)] {
        check(&format!("{rows} rows"), &[(60, 34)], DType::F32, |d, before| {
            let device = d[0].device().clone();
            let hidden = Values::random(1, rows, 34).stored_as(dtype, &device);
            let weight = Values::random(2, 60, 34).stored_as(dtype, &device);
            let make = |rows, columns| Matrix::zeros(&device, rows, columns, DType::F32).unwrap();
            let mut logits = Matrix::zeros(&device, 4, 60, dtype).unwrap();
            let (mut losses, mut d_hidden) = (make(rows, 2), make(rows, 34));
            let (d_hidden, d_weight, scale) = (&mut d_hidden, &mut d[0], 0.5);
            let gradients = HeadGradients { d_hidden, d_weight, before, scale };
            let label = |row: usize| if row == 3 { ops::NOT_COUNTED } else { row as i32 * 5 };
            let labels: Vec<i32> = (0..rows).map(label).collect();
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
}
