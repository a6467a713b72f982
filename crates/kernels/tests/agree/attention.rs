//! Attention and its gradients over all spans and heads of `attention_cases`.

use crate::agreement::Agreement;
use crate::attention_cases::{AttentionCase, AttentionInput};
use crate::shapes::{TOLERANCE, unwritten};
use kollama_kernels::ops::{self, AttentionResult, Qkv, QkvGradients};
use kollama_kernels::{Device, Matrix};

pub fn run_attention(device: &Device, case: &AttentionCase, input: &AttentionInput) -> [Matrix; 2] {
    let (rows, heads) = (case.spans.rows(), case.heads);
    let mut out = unwritten(device, rows, heads.query_columns());
    let mut log_sums = unwritten(device, rows, heads.queries);
    let (queries, keys) = (input.queries.on(device), input.keys.on(device));
    let values = input.values.on(device);
    let qkv = Qkv { queries: &queries, keys: &keys, values: &values };
    ops::attention(&mut out, &mut log_sums, qkv, &case.spans, heads);
    [out, log_sums]
}

#[test]
fn attention_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "attention");
    for case in AttentionCase::all().into_iter().chain(AttentionCase::elsewhere()) {
        let input = case.input(3.0);
        let terms = case.terms(&input);
        agreement.check(&case.name(), &[terms.out, terms.log_sums], |device| {
            run_attention(device, &case, &input).iter().map(Matrix::to_vec).collect()
        });
    }
}

#[test]
fn attention_survives_scores_of_thousands() {
    let mut agreement = Agreement::within(TOLERANCE, "attention, large scores");
    for case in AttentionCase::all() {
        let input = case.input(30_000.0);
        let terms = case.terms(&input);
        agreement.check(&case.name(), &[terms.out, terms.log_sums], |device| {
            run_attention(device, &case, &input).iter().map(Matrix::to_vec).collect()
        });
    }
}

#[test]
fn attention_backward_equals_the_reference() {
    let mut agreement = Agreement::within(TOLERANCE, "attention_backward");
    for case in AttentionCase::all() {
        let input = case.input(3.0);
        let terms = case.terms(&input);
        let scales = [terms.d_queries, terms.d_keys, terms.d_values];
        agreement.check(&case.name(), &scales, |device| {
            let [out, log_sums] = run_attention(device, &case, &input);
            let mut starts =
                [&input.d_queries, &input.d_keys, &input.d_values].map(|d| d.on(device));
            let (queries, keys) = (input.queries.on(device), input.keys.on(device));
            let values = input.values.on(device);
            let [d_queries, d_keys, d_values] = &mut starts;
            ops::attention_backward(
                QkvGradients { queries: d_queries, keys: d_keys, values: d_values },
                &input.d_out.on(device),
                AttentionResult { out: &out, log_sums: &log_sums },
                Qkv { queries: &queries, keys: &keys, values: &values },
                &case.spans,
                case.heads,
            );
            starts.iter().map(Matrix::to_vec).collect()
        });
    }
}
