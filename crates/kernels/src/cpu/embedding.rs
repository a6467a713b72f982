//! Rows of a table by their ids, and the gradient of the table.

use crate::cpu::elements::{Convert, Elements, ElementsMut};
use crate::cpu::machine::{Machine, rows_per_task};
use crate::cpu::packed;
use crate::cpu::threads::SharedMut;
use crate::view::View;

/// Columns of a task of the backward: a few cache lines, so that threads do not share one.
const STRIPE: usize = 64;

/// `out[t] = table[ids[t]]`
pub fn forward(machine: &Machine, out: View, table: View, ids: &[u32]) {
    machine.pool.run_ranges(ids.len(), rows_per_task(table.columns), &|rows| {
        for t in rows {
            if table.dtype.is_packed() {
                packed::unpack_row(out.row_range(t, 1), table, ids[t] as usize);
                continue;
            }
            let row = table.row_range(ids[t] as usize, 1);
            // SAFETY: a row of the running operation's output that no other task writes, and its
            // input.
            let (out, x) = unsafe { (ElementsMut::of(out.row_range(t, 1)), Elements::of(row)) };
            machine.instructions.run(Convert { out, x });
        }
    });
}

/// `d_table[ids[t]] += d_out[t]` in the order of `t`; threads share the columns.
pub fn backward(machine: &Machine, d_table: View, d_out: View, ids: &[u32]) {
    let columns = d_out.columns;
    // SAFETY: the running operation's output and input.
    let (d_table, d_out) = unsafe { (d_table.f32s_mut(), d_out.f32s()) };
    let d_table = SharedMut::new(d_table);
    machine.pool.run_ranges(columns, STRIPE, &|stripe| {
        for (d_out, &id) in d_out.chunks_exact(columns).zip(ids) {
            let row = id as usize * columns;
            // SAFETY: stripes do not overlap, and a task looks at one row at a time.
            let d_row = unsafe { d_table.part(row + stripe.start..row + stripe.end) };
            d_row.iter_mut().zip(&d_out[stripe.clone()]).for_each(|(sum, x)| *sum += x);
        }
    });
}
