//! Attention to keys and values that are kept: in f32, in bf16, in rows of 8 bits.

use crate::agreement::Agreement;
use crate::attention_cases::AttentionCase;
use crate::numbers::{Values, cpu_devices};
use crate::shapes::{TOLERANCE, unwritten};
use kollama_kernels::ops::{self, Qkv};
use kollama_kernels::{DType, Device, Heads, Matrix, Span, Spans};

#[test]
fn attention_to_eight_bit_rows_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "attention to 8-bit rows");
    for case in AttentionCase::all().into_iter().chain(AttentionCase::elsewhere()) {
        // What the rows hold, so that the sizes of the terms are theirs.
        let mut input = case.input(3.0);
        let device = Device::reference();
        for kept in [&mut input.keys, &mut input.values] {
            kept.values = kept.stored_as(DType::Q8Rows, &device).to_vec();
        }
        let terms = case.terms(&input);
        agreement.check(&case.name(), &[terms.out, terms.log_sums], |device| {
            let kept = [&input.keys, &input.values].map(|x| x.stored_as(DType::Q8Rows, device));
            let queries = input.queries.on(device);
            attend(device, &queries, [&kept[0], &kept[1]], &case.spans, case.heads)
        });
    }
}

#[test]
fn rows_that_are_kept_are_rounded_alike_on_every_device() {
    for (rows, columns) in [(1, 1), (3, 31), (5, 32), (7, 33), (40, 100), (300, 256)] {
        let x = Values::random(5, rows, columns);
        let kept = |device: &Device| {
            let mut kept = Matrix::zeros(device, rows + 2, columns, DType::Q8Rows).unwrap();
            ops::copy_rows(&mut kept, 1, &x.on(device), 0..rows);
            let mut moved = Matrix::zeros(device, rows + 2, columns, DType::Q8Rows).unwrap();
            ops::copy_rows(&mut moved, 0, &kept, 0..rows + 2);
            moved.to_vec()
        };
        let expected = kept(&Device::reference());
        assert!(
            expected[..columns].iter().chain(&expected[(rows + 1) * columns..]).all(|&x| x == 0.0)
        );
        for (found, x) in expected[columns..].iter().zip(&x.values) {
            assert!((found - x).abs() <= 0.5 / 127.0 + 1e-6, "{found}, not {x}");
        }
        for device in [1, 2, 4].into_iter().flat_map(cpu_devices) {
            assert_eq!(kept(&device), expected, "{rows} x {columns} on {}", device.name());
        }
    }
}

#[test]
fn a_query_gets_the_same_bits_wherever_its_keys_stand() {
    let heads = Heads { queries: 4, keys: 2, size: 34 };
    let (all, apart) = (300, 340);
    let kept = [2, 3].map(|seed| Values::random(seed, all, heads.key_columns()));
    // The beginning behind the end, with rows between them that nobody reads.
    let rows: Vec<u32> = (200..340).chain(10..170).collect();
    let scattered = kept.each_ref().map(|x| {
        let mut values = vec![0.0; apart * x.columns];
        for (&row, x) in rows.iter().zip(x.values.chunks(x.columns)) {
            values[row as usize * x.len()..][..x.len()].copy_from_slice(x);
        }
        Values { rows: apart, columns: x.columns, values }
    });
    for (dtype, count) in [(DType::F32, 3), (DType::Bf16, 70), (DType::Q8Rows, 70)] {
        let queries = Values::random(1, count, heads.query_columns());
        for device in cpu_devices(2) {
            let spans = Spans::new(vec![Span { queries: 0..count, keys: 0..all }]);
            let of = |kept: &[Values; 2], spans: &Spans| {
                let [keys, values] = kept.each_ref().map(|x| x.stored_as(dtype, &device));
                attend(&device, &queries.on(&device), [&keys, &values], spans, heads)
            };
            let together = of(&kept, &spans);
            let elsewhere = of(&scattered, &spans.clone().with_keys_in(rows.clone().into()));
            let bits = |outputs: &[Vec<f32>]| -> Vec<u32> {
                outputs.iter().flatten().map(|x| x.to_bits()).collect()
            };
            assert!(bits(&together) == bits(&elsewhere), "{dtype:?} on {}", device.name());
        }
    }
}

/// The road of a few queries and that of many, one head at a time and all together.
#[test]
fn a_query_gets_the_same_bits_alone_and_in_every_crowd() {
    let heads = [(1, 1, 6), (4, 1, 64), (8, 2, 34), (2, 2, 128), (40, 1, 8)];
    for (queries, keys, size) in heads {
        let heads = Heads { queries, keys, size };
        let all = 300;
        let asked = Values::random(1, 70, heads.query_columns());
        let kept = [2, 3].map(|seed| Values::random(seed, all, heads.key_columns()));
        for dtype in [DType::F32, DType::Bf16, DType::Q8Rows] {
            for device in [1, 2, 4].into_iter().flat_map(cpu_devices) {
                let kept = kept.each_ref().map(|x| x.stored_as(dtype, &device));
                let of = |first: usize, count: usize| {
                    let columns = heads.query_columns();
                    let values = asked.values[first * columns..][..count * columns].to_vec();
                    let queries = Values { rows: count, columns, values }.on(&device);
                    let end = all - 70 + first + count;
                    let spans = Spans::new(vec![Span { queries: 0..count, keys: 0..end }]);
                    attend(&device, &queries, [&kept[0], &kept[1]], &spans, heads)
                };
                let crowd = of(0, 70);
                for (first, count) in [(0, 1), (69, 1), (3, 2), (20, 5), (30, 17), (10, 60)] {
                    for (output, found) in of(first, count).iter().enumerate() {
                        let columns = found.len() / count;
                        let expected = &crowd[output][first * columns..][..found.len()];
                        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                        assert!(
                            bits(found) == bits(expected),
                            "{heads:?}, {dtype:?}: queries {first}+{count} of 70 on {}",
                            device.name()
                        );
                    }
                }
            }
        }
    }
}

fn attend(
    device: &Device,
    queries: &Matrix,
    [keys, values]: [&Matrix; 2],
    spans: &Spans,
    heads: Heads,
) -> Vec<Vec<f32>> {
    let mut out = unwritten(device, spans.rows(), heads.query_columns());
    let mut log_sums = unwritten(device, spans.rows(), heads.queries);
    let input = Qkv { queries, keys, values };
    ops::attention(&mut out, &mut log_sums, input, spans, heads);
    vec![out.to_vec(), log_sums.to_vec()]
}
