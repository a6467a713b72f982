//! Weights that are packed once: what packing makes of them, and products with them.

use crate::agreement::Agreement;
use crate::numbers::{Values, cpu_devices};
use crate::shapes::{COLUMNS, ROWS, TOLERANCE, ids, unwritten};
use kollama_kernels::{DType, Device, Matrix, ops};

const DTYPES: [DType; 3] = [DType::PackedBf16, DType::Q8, DType::Q4];

pub fn packed(values: &Values, dtype: DType, device: &Device) -> Matrix {
    let mut out = Matrix::zeros(device, values.rows, values.columns, dtype)
        .expect("a small matrix fits into memory");
    ops::pack(&mut out, 0, &values.on(device));
    out
}

fn unpacked(matrix: &Matrix) -> Vec<f32> {
    let ids: Vec<u32> = (0..matrix.rows() as u32).collect();
    let mut out = unwritten(matrix.device(), matrix.rows(), matrix.columns());
    ops::embedding(&mut out, matrix, &ids);
    out.to_vec()
}

fn bytes(matrix: &Matrix) -> Vec<u8> {
    let mut bytes = vec![0; matrix.bytes()];
    matrix.read_row_bytes(0, &mut bytes);
    bytes
}

/// Rows, input columns, output columns: ragged ones, those of a tiny model, and more rows, columns
/// and outputs than are multiplied together.
fn shapes() -> Vec<(usize, usize, usize)> {
    let ragged = ROWS.iter().flat_map(|&rows| COLUMNS.map(|columns| (rows, columns)));
    let ragged =
        ragged.flat_map(|(rows, inputs)| [1, 33, 100].map(|outputs| (rows, inputs, outputs)));
    ragged
        .chain([(1, 1300, 1100), (5, 700, 900), (210, 530, 330), (9, 64, 172), (9, 172, 64)])
        .chain([(530, 1100, 70), (3, 4100, 33), (150, 1100, 300)])
        .collect()
}

#[test]
fn every_device_packs_to_the_same_bytes() {
    for (rows, columns) in [(1, 1), (32, 32), (33, 65), (100, 257), (172, 64)] {
        let values = Values::random(1, rows, columns);
        for dtype in DTYPES {
            let expected = bytes(&packed(&values, dtype, &Device::reference()));
            for device in [1, 2, 3].iter().flat_map(|&threads| cpu_devices(threads)) {
                let found = bytes(&packed(&values, dtype, &device));
                assert!(found == expected, "{rows} x {columns} {dtype:?} on {}", device.name());
            }
        }
    }
}

#[test]
fn panels_packed_one_by_one_make_the_matrix_packed_at_once() {
    let values = Values::random(1, 100, 70);
    for dtype in DTYPES {
        let whole = packed(&values, dtype, &Device::reference());
        for device in [Device::reference()].into_iter().chain(cpu_devices(2)) {
            let mut out = Matrix::zeros(&device, 100, 70, dtype).unwrap();
            for (first, end) in [(64, 100), (0, 32), (32, 64)] {
                let part = values.values[first * 70..end * 70].to_vec();
                let part = Values { rows: end - first, columns: 70, values: part };
                ops::pack(&mut out, first, &part.on(&device));
            }
            assert!(bytes(&out) == bytes(&whole), "{dtype:?} on {}", device.name());
        }
    }
}

#[test]
fn bytes_of_whole_panels_carry_a_packed_matrix_elsewhere() {
    let values = Values::random(1, 40, 70);
    for dtype in DTYPES {
        let from = packed(&values, dtype, &Device::reference());
        for device in cpu_devices(1) {
            let mut to = Matrix::zeros(&device, 40, 70, dtype).unwrap();
            to.write_row_bytes(0, &bytes(&from));
            assert!(unpacked(&to) == unpacked(&from), "{dtype:?} on {}", device.name());
        }
    }
}

#[test]
fn rows_of_a_packed_table_are_read_exactly() {
    let mut agreement = Agreement::within(0.0, "embedding, packed");
    for columns in COLUMNS {
        let (table, ids) = (Values::random(1, 67, columns), ids(31, 67));
        for dtype in DTYPES {
            let case = format!("31 rows of {columns} {dtype:?}");
            agreement.check_sums(&case, &[&table], |device, values| {
                let mut out = unwritten(device, 31, columns);
                ops::embedding(&mut out, &packed(values[0], dtype, device), &ids);
                vec![out.to_vec()]
            });
        }
    }
}

#[test]
fn matmul_with_packed_weights_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "matmul, packed");
    for (rows, inputs, outputs) in shapes() {
        let (x, w) = (Values::random(1, rows, inputs), Values::random(2, outputs, inputs));
        for dtype in DTYPES {
            let case = format!("[{rows}, {inputs}] by {dtype:?} [{outputs}, {inputs}]");
            agreement.check_sums(&case, &[&x, &w], |device, values| {
                let mut out = unwritten(device, rows, outputs);
                ops::matmul(&mut out, &values[0].on(device), &packed(values[1], dtype, device));
                vec![out.to_vec()]
            });
        }
    }
}

#[test]
fn products_of_the_same_rows_are_the_same_alone_and_together() {
    let inputs = 70;
    let outputs = [33, 100, 7, 64];
    let dtypes = [DType::Q4, DType::Q4, DType::F32, DType::Q8];
    for device in [1, 3].iter().flat_map(|&threads| cpu_devices(threads)) {
        let weights: [Matrix; 4] = std::array::from_fn(|i| {
            let values = Values::random(i as u64, outputs[i], inputs);
            if dtypes[i].is_packed() {
                packed(&values, dtypes[i], &device)
            } else {
                values.on(&device)
            }
        });
        for rows in [1, 9, 700] {
            let x = Values::random(9, rows, inputs).on(&device);
            let [mut a, mut b, mut c, mut d] =
                outputs.map(|outputs| unwritten(&device, rows, outputs));
            ops::matmuls([&mut a, &mut b, &mut c, &mut d], &x, weights.each_ref());
            for (out, w) in [a, b, c, d].iter().zip(&weights) {
                let mut alone = unwritten(&device, rows, w.rows());
                ops::matmul(&mut alone, &x, w);
                assert!(out.to_vec() == alone.to_vec(), "{rows} rows, {w:?} on {}", device.name());
            }
        }
    }
}

#[test]
fn a_gated_activation_is_multiplied_to_the_bits_of_its_two_operations() {
    for device in [1, 3].iter().flat_map(|&threads| cpu_devices(threads)) {
        for (rows, inputs, outputs) in [(1, 70, 33), (9, 172, 64), (150, 1100, 100)] {
            let gate = Values::random(1, rows, inputs).map(|gate| 12.0 * gate).on(&device);
            let up = Values::random(2, rows, inputs).on(&device);
            let w = Values::random(3, outputs, inputs);
            let packed = DTYPES.map(|dtype| packed(&w, dtype, &device));
            for w in packed.into_iter().chain([w.on(&device)]) {
                let [mut apart, mut whole] = [0; 2].map(|_| unwritten(&device, rows, outputs));
                let mut gated = unwritten(&device, rows, inputs);
                ops::matmul_swiglu(&mut whole, &mut gated, &gate, &up, &w);
                ops::swiglu(&mut gated, &gate, &up);
                ops::matmul(&mut apart, &gated, &w);
                assert!(
                    whole.to_vec() == apart.to_vec(),
                    "{rows} rows, {w:?} on {}",
                    device.name()
                );
            }
        }
    }
}

#[test]
fn a_row_times_packed_weights_is_the_same_alone_and_in_company() {
    let (rows, inputs, outputs) = (600, 1100, 45);
    let (x, w) = (Values::random(1, rows, inputs), Values::random(2, outputs, inputs));
    for device in [1, 2, 4].iter().flat_map(|&threads| cpu_devices(threads)) {
        for dtype in DTYPES {
            let w = packed(&w, dtype, &device);
            let product = |first: usize, rows: usize| {
                let values = x.values[first * inputs..(first + rows) * inputs].to_vec();
                let mut out = unwritten(&device, rows, outputs);
                ops::matmul(&mut out, &Values { rows, columns: inputs, values }.on(&device), &w);
                out.to_vec()
            };
            let crowd = product(0, rows);
            for (first, rows) in [(0, 1), (599, 1), (3, 2), (7, 5), (1, 16), (20, 17), (90, 100)] {
                let expected = &crowd[first * outputs..(first + rows) * outputs];
                let case = format!("{rows} rows of {dtype:?} on {}", device.name());
                assert!(product(first, rows) == expected, "{case}");
            }
        }
    }
}

#[test]
fn losses_with_a_packed_weight_equal_the_reference() {
    let mut agreement = Agreement::within(4.0 * TOLERANCE, "cross_entropy, packed");
    for rows in [1, 7, 31] {
        let (hidden, weight) = (Values::random(1, rows, 70), Values::random(2, 130, 70));
        let labels: Vec<i32> = ids(rows, 130).into_iter().map(|id| id as i32).collect();
        let scales = vec![vec![30.0; 2 * rows]];
        for dtype in DTYPES {
            agreement.check(&format!("{rows} rows, {dtype:?}"), &scales, |device| {
                let mut losses = unwritten(device, rows, 2);
                let mut logits = unwritten(device, 5, 130);
                let (hidden, weight) = (hidden.on(device), packed(&weight, dtype, device));
                ops::cross_entropy(&mut losses, None, &mut logits, &hidden, &weight, &labels);
                vec![losses.to_vec()]
            });
        }
    }
}

#[test]
fn not_a_number_passes_through_packed_products() {
    for wrong in [f32::NAN, f32::INFINITY] {
        let (mut x, w) = (Values::random(1, 7, 70), Values::random(2, 40, 70));
        x.values[2 * 70 + 20] = wrong;
        for device in [Device::reference()].into_iter().chain(cpu_devices(2)) {
            for dtype in DTYPES {
                let mut out = unwritten(&device, 7, 40);
                ops::matmul(&mut out, &x.on(&device), &packed(&w, dtype, &device));
                let finite: Vec<bool> = out.to_vec().iter().map(|x| x.is_finite()).collect();
                let rows = finite.chunks(40).map(|row| row.iter().all(|&finite| finite));
                let company: Vec<bool> = rows.collect();
                assert_eq!(company, [true, true, false, true, true, true, true], "{dtype:?}");
                assert!(finite[80..120].iter().all(|finite| !finite), "{dtype:?}");
            }
        }
    }
}

/// Root of the mean of the squared errors.
fn rms_error(x: &[f32], rounded: &[f32]) -> f64 {
    let squares = x.iter().zip(rounded).map(|(x, y)| f64::from(x - y).powi(2));
    (squares.sum::<f64>() / x.len() as f64).sqrt()
}

/// The plainest rounding to 4 bits: -8 steps of f16 for the number farthest from zero of every 32.
fn plain_4_bits(x: &[f32]) -> Vec<f32> {
    let round = |block: &[f32]| {
        let far = block.iter().fold(0f32, |far, &x| if x.abs() > far.abs() { x } else { far });
        let inverse = if far == 0.0 { 0.0 } else { -8.0 / far };
        let scale = half::f16::from_f32(far / -8.0).to_f32();
        let number = move |x: &f32| (x * inverse + 8.5).floor().clamp(0.0, 15.0) - 8.0;
        block.iter().map(|x| scale * number(x)).collect::<Vec<_>>()
    };
    x.chunks(32).flat_map(round).collect()
}

#[test]
fn four_bits_lose_less_than_plain_rounding_and_eight_bits_next_to_nothing() {
    let even = Values::random(1, 320, 512);
    let bell = Values { values: bell_curve(&even.values), ..even.clone() };
    let outliers = bell.map(|x| if x.abs() > 1.2 { 6.0 * x } else { x });
    for (name, x) in [("even", even), ("bell", bell), ("outliers", outliers)] {
        let of = |dtype| unpacked(&packed(&x, dtype, &Device::reference()));
        let plain = rms_error(&x.values, &plain_4_bits(&x.values));
        let (four, eight) =
            (rms_error(&x.values, &of(DType::Q4)), rms_error(&x.values, &of(DType::Q8)));
        println!("{name}: plain {plain:.5}, Q4 {four:.5}, Q8 {eight:.6}");
        assert!(four < 0.98 * plain, "{name}: {four} of Q4, {plain} of plain rounding");
        assert!(eight < 0.08 * plain, "{name}: {eight} of Q8, {plain} of plain rounding");
    }
}

/// Sums of four even numbers each, scaled to about -1 ..= 1.
fn bell_curve(x: &[f32]) -> Vec<f32> {
    let mixed = |i: usize| (0..4).map(|k| x[(i * 4 + k * 7919) % x.len()]).sum::<f32>() / 2.0;
    (0..x.len()).map(mixed).collect()
}

#[test]
#[should_panic(expected = "are not whole panels")]
fn a_part_of_a_panel_is_refused() {
    let device = Device::reference();
    let mut out = Matrix::zeros(&device, 100, 70, DType::Q8).unwrap();
    ops::pack(&mut out, 0, &Values::random(1, 33, 70).on(&device));
}
