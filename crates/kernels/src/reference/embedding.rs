//! Rows of a table by number, and the gradient of that table.

use super::real::{Real, add_rounded};

/// `out[t, i] = table[ids[t], i]`
pub fn embedding<T: Real>(out: &mut [T], table: &[T], ids: &[u32], columns: usize) {
    for (out, &id) in out.chunks_exact_mut(columns).zip(ids) {
        out.copy_from_slice(&table[id as usize * columns..][..columns]);
    }
}

/// `d_table[ids[t], i] += d_out[t, i]`, one addition after the other in the order of `t`.
pub fn embedding_backward<T: Real>(d_table: &mut [T], d_out: &[T], ids: &[u32], columns: usize) {
    for (d_out, &id) in d_out.chunks_exact(columns).zip(ids) {
        let row = &mut d_table[id as usize * columns..][..columns];
        for (d_table, d_out) in row.iter_mut().zip(d_out) {
            add_rounded(d_table, d_out.wide());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finite_differences::{assert_gradient, before, numbers};
    use super::super::real::dot;
    use super::*;

    const COLUMNS: usize = 3;
    const IDS: [u32; 5] = [2, 0, 2, 4, 2];

    #[test]
    fn rows_come_in_the_order_of_the_ids() {
        let mut out = [0f32; 4];
        embedding(&mut out, &[1., 2., 3., 4., 5., 6.], &[2, 0], 2);
        assert_eq!(out, [5., 6., 1., 2.]);
    }

    #[test]
    fn the_backward_equals_finite_differences_where_an_id_comes_back() {
        let (table, d_out) = (numbers(1, 5 * COLUMNS), numbers(2, IDS.len() * COLUMNS));
        let mut d_table = before(table.len());
        embedding_backward(&mut d_table, &d_out, &IDS, COLUMNS);
        assert_gradient(&d_table, &table, |table| {
            let mut out = vec![0.0; d_out.len()];
            embedding(&mut out, table, &IDS, COLUMNS);
            dot(&out, &d_out)
        });
    }
}
